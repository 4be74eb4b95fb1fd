import Foundation
package import TermspanCore
package import TermspanSessions
import TermspanSystem

/// What the collector remembers over a restart within a boot: the numbered sessions and which lane is whose.
///
/// It lives in the runtime folder, which systemd keeps over a restart of the service and nothing keeps over a reboot; a file of another
/// boot is ignored all the same.
package struct RuntimeState: Codable, Equatable, Sendable {
    package var bootID: String
    package var table: SessionTable
    package var probes: [ProbeRecord]
    /// Probes that have ended and whose lanes hold what is not durable yet.
    package var ended: [ProbeRecord]
    /// Users' own pauses; nil in a file of a version that had none.
    package var pauses: Pauses?
    /// The tracking hours, and who is in their groups; nil likewise.
    var hours: HoursWatch.Saved?
    /// Which SIDs users have; nil likewise.
    package var sids: KnownSIDs?
    /// When what is older than is kept is to be removed next; nil likewise.
    package var retentionDue: BootInstant?
    /// Whether the store was locked since it was known last which of its sessions were there; nil: no.
    var wasLocked: Bool?

    /// A probe that runs in a unit of its own and so outlives the collector.
    package struct ProbeRecord: Codable, Equatable, Sendable {
        package var session: UUIDv7
        package var unit: String
        /// The lane's generation; its descriptors have the name that belongs to it in the descriptor store.
        package var generation: UInt64
        /// The X server that it watches.
        package var xServer: XServer
        /// What the probe said about its server; nil before it was ready.
        package var features: UInt32?
    }

    package init(
        bootID: String, table: SessionTable = SessionTable(), probes: [ProbeRecord] = [], ended: [ProbeRecord] = [], pauses: Pauses? = nil
    ) {
        self.bootID = bootID
        self.table = table
        self.probes = probes
        self.ended = ended
        self.pauses = pauses
    }

    /// Reads the file; an empty state if there is none, if it is damaged, or if it is of another boot.
    package static func load(path: String, bootID: String) -> RuntimeState {
        guard let bytes = try? readFile(path, limit: 64 << 20),
            let state = try? JSONDecoder().decode(RuntimeState.self, from: Data(bytes)), state.bootID == bootID
        else { return RuntimeState(bootID: bootID) }
        return state
    }

    /// Replaces the file as a whole, readable by root alone.
    package func save(path: String) throws {
        let data = try JSONEncoder().encode(self)
        let temporary = path + ".new"
        let file = try openFile(temporary, flags: O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode: 0o600)
        try writeAll(Array(data), to: file)
        guard rename(temporary, path) == 0 else { throw SystemError(code: errno, operation: "rename", subject: path) }
    }
}
