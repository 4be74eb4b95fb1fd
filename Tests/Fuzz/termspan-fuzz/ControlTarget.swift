import Glibc
import TermspanControl
import TermspanCore
import TermspanSystem

extension FuzzTarget {
    private static func openDescriptors() -> Int {
        // The lowest free number tells of a leak as well as a list of all does, and costs nothing.
        let next = dup(2)
        close(next)
        return Int(next)
    }

    static var control: FuzzTarget {
        let messages: [ControlMessage] =
            [
                .start(.init(level: .basic, display: 10, burstGapMilliseconds: 30_000, cookie: Array(1...16))), .snapshot(id: 7),
                .level(.basic),
                .stop, .ready(.serverPIDs), .failed(.timeout),
            ] + [Screen(width: 1920, height: 1080, depth: 24)].compactMap { $0.map { .screen($0) } }
        return FuzzTarget(
            name: "fuzz-control", about: "the control channel: datagrams of any bytes with any number of descriptors", longest: 128,
            seeds: messages.map { [UInt8($0.descriptorCount)] + $0.encode() }
        ) { bytes in
            let before = openDescriptors()
            for takesDescriptors in [true, false] { exchange(bytes, takesDescriptors) }
            require(openDescriptors() == before, "no descriptor stays open")
        }
    }

    private static func exchange(_ bytes: UnsafeRawBufferPointer, _ takesDescriptors: Bool) {
        var input = FuzzInput(bytes)
        let descriptors = [Int32](repeating: STDERR_FILENO, count: input.number(below: DescriptorList.capacity + 1))
        let datagram = Array(input.remaining())
        do {
            try SocketPair(nonblocking: true).split { (peer, own) throws in
                let channel = try ControlChannel(own, takesDescriptors: takesDescriptors)
                guard try send(datagram, descriptors: descriptors, to: peer) else { return }
                let expected = datagram.withUnsafeBytes { ControlMessage.decode($0) }
                if let expected { require(expected.encode() == datagram, "a message is coded as it was read") }
                do throws(ControlError) {
                    switch try channel.receive() {
                    case .nothing: require(false, "what was sent arrives")
                    case .closed: require(datagram.isEmpty, "only an empty datagram looks like the end")
                    case .message(let message, let received):
                        require(
                            message == expected && descriptors.count == message.descriptorCount
                                && (takesDescriptors || descriptors.isEmpty),
                            "a message has the form and the descriptors that it must have")
                        var received = received
                        for index in 0..<descriptors.count {
                            require(received.takeDescriptor(index) != nil, "each descriptor can be taken")
                        }
                    }
                } catch {
                    require(error == .malformed, "nothing else is wrong than the message: \(error)")
                    let isRefused = !takesDescriptors && !descriptors.isEmpty
                    require(
                        isRefused || expected == nil || descriptors.count != expected?.descriptorCount, "what has the form is understood")
                }
            }
        } catch {
            require(false, "a pair of sockets: \(error)")
        }
    }
}
