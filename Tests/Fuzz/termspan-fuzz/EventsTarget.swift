import TermspanCore
import TermspanEvents

extension FuzzTarget {
    static var events: FuzzTarget {
        FuzzTarget(
            name: "fuzz-events", about: "the codec of events: any bytes are nothing, or an event that is coded as they are", longest: 192,
            seeds: Event.examples.map(\.coded)
        ) { bytes in
            guard let type = bytes.first else { return }
            let payload = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
            guard let event = EventCodec.decode(type: type, payload: payload) else { return }
            let coded = event.coded
            let again = coded.withUnsafeBytes { EventCodec.decode(type: $0[0], payload: UnsafeRawBufferPointer(rebasing: $0[1...])) }
            require(again == event, "an event comes back as it was")
            require(coded.count == bytes.count && coded[0] == type, "an event's code has the length of what it was read from")
        }
    }
}

extension Event {
    static let examples: [Event] = {
        let focus = Focus(window: 7, process: ProcessClaim(pid: 1234, origin: .server), windowClass: WindowClass("Firefox".utf8))
        let edge = InputEdge(effective: BootInstant(nanoseconds: 5_000_000_000), origin: .device)
        return [
            .focusChanged(focus), .focusChanged(.none), .inputBegan(edge), .inputEnded(edge),
            .snapshot(Snapshot(id: 3, focus: focus, inputOpen: true, lastInput: edge)),
            .snapshot(Snapshot(id: 0, focus: .none, inputOpen: false, lastInput: nil)), .sourceGap(from: edge.effective),
        ]
    }()

    /// The type and the payload.
    var coded: [UInt8] {
        withUnsafeTemporaryAllocation(byteCount: 160, alignment: 8) { buffer in
            let (type, length) = EventCodec.encode(self, into: buffer)
            return [type.rawValue] + buffer.prefix(length)
        }
    }
}
