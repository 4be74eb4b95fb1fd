import CXCB
import TermspanControl
import TermspanCore
import TermspanEvents

/// The display's idle counter, and those of its devices where the server has them.
struct IdleCounters {
    /// SYNC's IDLETIME.
    var display: UInt32
    /// Whether there are DEVICEIDLETIME counters and XInput 2 tells which devices are XTEST's.
    var hasDevices: Bool

    /// How many devices are asked for at most.
    static let deviceLimit = 64

    /// Finds the counters; `missingExtension` if the display has none.
    init(of session: inout XSession) throws(ProbeEnd) {
        // No counter may be asked for before.
        guard try session.answer(session.x.syncInitialize(), { _ in () }) != nil else { throw .failed(.missingExtension) }
        var display: UInt32?
        var devices = false
        try session.answer(session.x.listSystemCounters()) { reply -> Void? in
            XReplies.systemCounters(reply) { counter, name in
                if name.equals("IDLETIME") { display = counter }
                if XReplies.deviceNumber(counterName: name) != nil { devices = true }
            }
        }
        guard let display else { throw .failed(.missingExtension) }
        self.display = display

        // Without counters of devices nothing is asked about devices.
        guard devices, session.x.firstEvent(of: TERMSPAN_X_INPUT) != nil else {
            hasDevices = false
            return
        }
        hasDevices = try session.answer(session.x.inputQueryVersion()) { $0.load(UInt16.self, at: 8) } ?? 0 >= 2
    }
}

extension XSession {
    /// The display's counter in milliseconds, and how it came to it.
    mutating func readIdle(_ counters: IdleCounters) throws(ProbeEnd) -> (idle: Int64, origin: InputOrigin)? {
        guard let idle = try answer(x.queryCounter(counters.display), { XReplies.counterValue($0) }) else { return nil }
        return (idle, try readOrigin(counters, idle: { idle }))
    }

    /// Where the last input came from.
    ///
    /// Devices come and go, so they are listed each time: this is asked for only where a burst begins or ends, and saves an event
    /// mask on the devices.
    ///
    /// - Parameter idle: what the display's counter is to be taken for once the devices' have been read.
    mutating func readOrigin(_ counters: IdleCounters, idle: () -> Int64) throws(ProbeEnd) -> InputOrigin {
        guard counters.hasDevices else { return .unknown }
        let list = x.listSystemCounters()
        let devices = x.queryDevices()
        var numbered: [(device: UInt16, counter: UInt32)] = []
        try answer(list) { reply -> Void? in
            XReplies.systemCounters(reply) { counter, name in
                guard let device = XReplies.deviceNumber(counterName: name), numbered.count < IdleCounters.deviceLimit else { return }
                numbered.append((device, counter))
            }
        }
        var requests: [(request: XConnection.Request, isSynthetic: Bool)] = []
        var wanted: [(counter: UInt32, isSynthetic: Bool)] = []
        try answer(devices) { reply -> Void? in
            XReplies.slaveDevices(reply) { device, isSynthetic in
                guard let counter = numbered.first(where: { $0.device == device })?.counter else { return }
                wanted.append((counter, isSynthetic))
            }
        }
        for (counter, isSynthetic) in wanted.prefix(IdleCounters.deviceLimit) {
            requests.append((x.queryCounter(counter), isSynthetic))
        }
        var times = DeviceIdleTimes()
        for (request, isSynthetic) in requests {
            if let value = try answer(request, { XReplies.counterValue($0) }) { times.add(value, isSynthetic: isSynthetic) }
        }
        return times.origin(idle: idle())
    }
}
