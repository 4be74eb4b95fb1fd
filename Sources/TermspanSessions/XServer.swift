/// An X server that listens on a socket of this machine, as the kernel identifies it.
package struct XServer: Hashable, Sendable, Codable {
    /// The display's number: 10 for `:10`.
    package var display: UInt16
    /// The process that called listen(2) on the socket, from SO_PEERCRED.
    package var pid: UInt32
    /// When that process started: clock ticks since boot (proc(5), stat field 22); with `pid` it identifies it within a boot.
    package var startTime: UInt64
    /// The effective user of the process when it called listen(2).
    package var uid: UInt32
    /// The control group of the process below the root, `/user.slice/user-1000.slice/session-c3.scope`.
    package var controlGroup: String

    package init(display: UInt16, pid: UInt32, startTime: UInt64, uid: UInt32, controlGroup: String) {
        self.display = display
        self.pid = pid
        self.startTime = startTime
        self.uid = uid
        self.controlGroup = controlGroup
    }

    /// Whether the process lives in the unit, `session-c3.scope`.
    package func isIn(unit: String) -> Bool {
        ControlGroup.unit(of: controlGroup).map { $0 == unit } ?? false
    }
}
