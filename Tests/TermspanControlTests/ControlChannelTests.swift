import Glibc
import TermspanCore
import TermspanSystem
import Testing

@testable import TermspanControl

/// The control channel over a real socket pair.
struct ControlChannelTests {
    /// What there is to receive, in a form that can be compared.
    private enum Receipt: Equatable {
        case nothing
        case closed
        case message(ControlMessage)
        case failed(ControlError)
    }

    /// A channel, and the bare other end.
    private struct Ends: ~Copyable {
        let channel: ControlChannel
        let other: OwnedDescriptor

        init(takesDescriptors: Bool = true) throws {
            var other: OwnedDescriptor?
            var channel: ControlChannel?
            try SocketPair().split { first, second throws in
                channel = try ControlChannel(consume first, takesDescriptors: takesDescriptors)
                other = consume second
            }
            guard let channel = channel.take(), let other = other.take() else { preconditionFailure() }
            self.channel = channel
            self.other = other
        }

        func receive() -> Receipt {
            do {
                switch try channel.receive() {
                case .nothing: return .nothing
                case .closed: return .closed
                case .message(let message, _): return .message(message)
                }
            } catch {
                return .failed(error)
            }
        }

        /// Sends anything from the other end.
        func push(_ bytes: [UInt8], descriptors: [Int32] = []) throws {
            guard try send(bytes, descriptors: descriptors, to: other) else { throw ControlError.full }
        }
    }

    private static let start = ControlMessage.start(
        .init(level: .basic, display: 10, burstGapMilliseconds: 30_000, cookie: Array(0..<16)))

    @Test func messagesComeInOrderAndOneByOne() throws {
        let ends = try Ends()
        let messages: [ControlMessage] = [.snapshot(id: 7), .level(.sites), .stop]
        for message in messages { try ends.push(message.encode()) }
        var received = messages.map { _ in ends.receive() }
        #expect(received == messages.map { .message($0) })
        received = [ends.receive()]
        #expect(received == [.nothing])
    }

    @Test func aStartBringsItsDescriptors() throws {
        let ends = try Ends()
        let counter = try EventCounter()
        let channel = try ControlChannel(ends.other.duplicate(), takesDescriptors: false)
        try channel.send(Self.start, descriptors: Array(repeating: counter.descriptor.raw, count: 4))
        guard case .message(let message, var datagram) = try ends.channel.receive(), let last = datagram.takeDescriptor(3) else {
            Issue.record("no message with descriptors")
            return
        }
        #expect(message == Self.start)
        let theirs = EventCounter(last)
        theirs.ring()
        let count = counter.drain()
        #expect(count == 1)
    }

    @Test(arguments: [[0], [1, 2, 3], [200], [2, 0], Array(repeating: 2, count: 64), Array(repeating: 4, count: 65)] as [[UInt8]])
    func anythingElseIsMalformedAndTheChannelGoesOn(_ bytes: [UInt8]) throws {
        let ends = try Ends()
        try ends.push(bytes)
        try ends.push(ControlMessage.ready([]).encode())
        let received = [ends.receive(), ends.receive()]
        #expect(received == [.failed(.malformed), .message(.ready([]))])
    }

    @Test func otherDescriptorsThanBelongAreMalformed() throws {
        let ends = try Ends()
        let raw = ends.other.raw
        try ends.push(ControlMessage.ready([]).encode(), descriptors: [raw])
        for count in [0, 1, 3, 5] { try ends.push(Self.start.encode(), descriptors: Array(repeating: raw, count: count)) }
        let received = (0..<5).map { _ in ends.receive() }
        #expect(received == Array(repeating: .failed(.malformed), count: 5))
    }

    /// The writing end of a pipe goes with each message: where none is taken, none is left, and the pipe has ended.
    @Test func theCollectorsEndTakesNoDescriptorAtAll() throws {
        let ends = try Ends(takesDescriptors: false)
        var pair: [Int32] = [0, 0]
        #expect(pipe(&pair) == 0)
        let reading = OwnedDescriptor(pair[0])
        let writing = pair[1]
        try ends.push(ControlMessage.ready([]).encode(), descriptors: [writing])
        try ends.push(Self.start.encode(), descriptors: [writing, writing, writing, writing])
        try ends.push([], descriptors: [writing])
        try ends.push(ControlMessage.ready([]).encode())
        close(writing)
        let received = (0..<5).map { _ in ends.receive() }
        #expect(received == Array(repeating: .failed(.malformed), count: 3) + [.message(.ready([])), .nothing])
        try reading.setNonblocking(true)
        var byte: UInt8 = 0
        let count = read(reading.raw, &byte, 1)
        #expect(count == 0)
    }

    @Test func anEndThatIsGoneIsClosed() throws {
        let ends = try Ends()
        shutdown(ends.other.raw, Int32(SHUT_RDWR))
        let received = ends.receive()
        #expect(received == .closed)
        let error = fill(ends)
        #expect(error == .closed)
    }

    @Test func anEndThatDoesNotReadIsFull() throws {
        let ends = try Ends()
        let error = fill(ends)
        #expect(error == .full)
    }

    /// Sends until it fails.
    private func fill(_ ends: borrowing Ends) -> ControlError? {
        do {
            for _ in 0..<100_000 { try ends.channel.send(.stop) }
            return nil
        } catch {
            return error
        }
    }
}
