import TermspanControl
import TermspanCore
import TermspanSystem

/// The collector at the other end of the control channel, and what it asked for.
///
/// A class since whoever ends the probe's work must still be able to tell the collector why.
final class Collector {
    private let channel: ControlChannel
    /// The number of the last snapshot that was asked for and not given.
    var snapshot: UInt64?
    /// What the probe may read. This version reads the same at every level: nothing of what the levels above basic allow.
    var level: PrivacyLevel

    init(_ channel: consuming ControlChannel) {
        self.channel = channel
        level = .basic
    }

    /// For poll(2) and the filter of system calls alone.
    var raw: Int32 { channel.raw }

    /// Takes the messages that have come.
    func serve() throws(ProbeEnd) {
        while let message = try next() {
            switch message.content {
            case .snapshot(let id): snapshot = id
            case .level(let level): self.level = level
            case .stop: throw .stopped
            case .start, .ready, .failed, .screen: throw .failed(.protocol)
            }
        }
    }

    /// Sends a message; a collector that doesn't listen any more is gone.
    func tell(_ message: ControlMessage) throws(ProbeEnd) {
        do {
            try channel.send(message)
        } catch {
            throw .controlClosed
        }
    }

    /// The next message with its descriptors; nil when there is none now.
    func next() throws(ProbeEnd) -> Message? {
        let receipt: ControlReceipt
        do {
            receipt = try channel.receive()
        } catch .malformed {
            throw .failed(.protocol)
        } catch {
            throw .controlClosed
        }
        switch consume receipt {
        case .nothing: return nil
        case .closed: throw .controlClosed
        case .message(let message, let datagram): return Message(content: message, datagram: datagram)
        }
    }

    struct Message: ~Copyable {
        let content: ControlMessage
        var datagram: ReceivedMessage
    }
}
