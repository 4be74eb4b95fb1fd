import Glibc
package import TermspanSystem

/// Why a control channel can't be used.
package enum ControlError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The other end is closed.
    case closed
    /// The other end doesn't read: there is no room for a message.
    case full
    /// The other end sent what the protocol does not have.
    case malformed
    case system(SystemError)

    package var description: String {
        switch self {
        case .closed: "the control channel is closed"
        case .full: "the other end of the control channel does not read"
        case .malformed: "a message on the control channel was not understood"
        case .system(let error): error.description
        }
    }

    init(_ error: SystemError) {
        switch error.code {
        case EPIPE, ECONNRESET: self = .closed
        case EMSGSIZE: self = .malformed
        default: self = .system(error)
        }
    }
}

/// What there is to receive on a control channel.
package enum ControlReceipt: ~Copyable, Sendable {
    /// Nothing now; wait until the descriptor is readable.
    case nothing
    /// The other end is closed.
    case closed
    /// A message and the datagram that brought it, whose descriptors can be taken out: 4 with `start`, in the order of the protocol's table, else none.
    case message(ControlMessage, ReceivedMessage)
}

/// One end of the channel between the collector and a probe: a SEQPACKET socket that never blocks.
package struct ControlChannel: ~Copyable, Sendable {
    private let descriptor: OwnedDescriptor
    private let takesDescriptors: Bool

    /// Takes a connected socket and makes it non-blocking.
    ///
    /// - Parameter takesDescriptors: whether this is the probe's end. The collector's takes none, whatever comes: a probe that was taken over
    ///   could have it close a file of the user's making.
    package init(_ descriptor: consuming OwnedDescriptor, takesDescriptors: Bool) throws(ControlError) {
        do {
            try descriptor.setNonblocking(true)
        } catch {
            throw ControlError(error)
        }
        self.descriptor = descriptor
        self.takesDescriptors = takesDescriptors
    }

    /// The descriptor's number, for an event loop alone.
    package var raw: Int32 { descriptor.raw }

    /// Gives the descriptor back, for keeping it over a restart.
    package consuming func takeDescriptor() -> OwnedDescriptor { descriptor }

    /// Sends a message.
    ///
    /// - Parameter descriptors: as many as the message needs; they stay the caller's.
    package borrowing func send(_ message: ControlMessage, descriptors: [Int32] = []) throws(ControlError) {
        precondition(descriptors.count == message.descriptorCount)
        let sent: Bool
        do {
            sent = try TermspanSystem.send(message.encode(), descriptors: descriptors, to: descriptor)
        } catch {
            throw ControlError(error)
        }
        if !sent { throw .full }
    }

    /// Receives a message that anybody may have sent; `malformed` unless it has the form and the descriptors that it must have.
    package borrowing func receive() throws(ControlError) -> ControlReceipt {
        let received: ReceivedMessage?
        do {
            received = try TermspanSystem.receive(
                limit: ControlMessage.maximumLength, takesDescriptors: takesDescriptors, from: descriptor)
        } catch {
            throw ControlError(error)
        }
        switch consume received {
        case .none: return .nothing
        case .some(let datagram):
            if datagram.bytes.isEmpty { return .closed }
            guard let message = datagram.bytes.withUnsafeBytes({ ControlMessage.decode($0) }),
                datagram.descriptors.count == message.descriptorCount
            else { throw .malformed }
            return .message(message, datagram)
        }
    }
}
