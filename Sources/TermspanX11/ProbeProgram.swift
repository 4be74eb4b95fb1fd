import CTermspanProbe
import Glibc
import TermspanControl
import TermspanCore
import TermspanSystem

/// The program `termspan-probe`: without arguments the probe, its standard input being the control channel.
package enum ProbeProgram {
    /// How long the X server may take for the handshake and for one answer, in milliseconds.
    static let answerLimit: Int64 = 5000

    /// Runs to the end.
    ///
    /// - Parameter arguments: those after the program's name.
    /// - Returns: the exit status: `ProbeEnd.exitStatus`; 1 and a line on standard error where no cookie is found; 2 for arguments that
    ///   are none of ours.
    package static func run(_ arguments: [String]) -> Int32 {
        arguments.isEmpty ? watch() : CookieCommand.run(arguments)
    }

    private static func watch() -> Int32 {
        termspan_probe_ignore_broken_pipes()
        let channel: ControlChannel
        do {
            channel = try ControlChannel(OwnedDescriptor(STDIN_FILENO), takesDescriptors: true)
        } catch {
            return ProbeEnd.failed(.protocol).exitStatus
        }
        let collector = Collector(channel)
        do {
            try watch(collector)
        } catch {
            if case .failed(let reason) = error { try? collector.tell(.failed(reason)) }
            return error.exitStatus
        }
    }

    private static func watch(_ collector: Collector) throws(ProbeEnd) -> Never {
        var message = try firstMessage(collector)
        guard case .start(let start) = message.content,
            let socket = message.datagram.takeDescriptor(0), let control = message.datagram.takeDescriptor(1),
            let events = message.datagram.takeDescriptor(2), let doorbell = message.datagram.takeDescriptor(3)
        else {
            if case .stop = message.content { throw .stopped }
            throw .failed(.protocol)
        }
        collector.level = start.level
        let lane = try EventLane(control: control, events: events, doorbell: doorbell)
        let x = try connect(socket, cookie: start.cookie, collector)

        guard termspan_probe_confine(collector.raw) == 0 else { throw .failed(.confinement) }
        let session = XSession(x: x, collector: collector, answerLimit: answerLimit)
        var probe = try Probe.start(session, lane: lane, burstGapMilliseconds: start.burstGapMilliseconds)
        try probe.run()
    }

    private static func firstMessage(_ collector: Collector) throws(ProbeEnd) -> Collector.Message {
        while true {
            if let message = try collector.next() { return message }
            var descriptor = pollfd(fd: collector.raw, events: Int16(POLLIN), revents: 0)
            _ = poll(&descriptor, 1, -1)
        }
    }

    private static func connect(
        _ socket: consuming OwnedDescriptor, cookie: [UInt8], _ collector: Collector
    ) throws(ProbeEnd) -> XConnection {
        let late = ProbeFailure.timeout
        let told = ControlMessage.failed(late).encode()
        guard told.count == 2,
            termspan_probe_guard_begin(
                Int32(answerLimit), collector.raw, told[0], told[1], ProbeEnd.failed(late).exitStatus) == 0
        else { throw .failed(.confinement) }
        let errors = termspan_probe_mute()
        defer {
            termspan_probe_unmute(errors)
            termspan_probe_guard_end()
        }
        return try XConnection(socket: socket.release(), cookie: cookie)
    }
}
