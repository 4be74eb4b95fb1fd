import Testing

@testable import TermspanCore
@testable import TermspanEvents

@Suite struct EventCodecTests {
    static let classes = [0, 1, 28, 29, 84, 127, 128].map { count in WindowClass((0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }) }

    static var events: [Event] {
        let edges = [InputOrigin.unknown, .device, .synthetic].map { InputEdge(effective: BootInstant(nanoseconds: .max - 5), origin: $0) }
        let focuses = classes.map { Focus(window: 0x0040_0007, process: ProcessClaim(pid: 4242, origin: .server), windowClass: $0) }
        return focuses.map(Event.focusChanged) + edges.map(Event.inputBegan) + edges.map(Event.inputEnded)
            + focuses.map { .snapshot(Snapshot(id: 9, focus: $0, inputOpen: true, lastInput: edges[1])) }
            + [.snapshot(Snapshot(id: 0, focus: .none, inputOpen: false, lastInput: nil)), .sourceGap(from: BootInstant(nanoseconds: 77))]
    }

    @Test(arguments: events) func comesBackAsItWas(event: Event) {
        withUnsafeTemporaryAllocation(byteCount: EventCodec.maximumLength, alignment: 8) { buffer in
            let (type, length) = EventCodec.encode(event, into: buffer)
            let payload = UnsafeRawBufferPointer(rebasing: buffer[..<length])
            #expect(EventCodec.decode(type: type.rawValue, payload: payload) == event)
            // Neither a byte less nor one more is accepted.
            #expect(EventCodec.decode(type: type.rawValue, payload: UnsafeRawBufferPointer(rebasing: buffer[..<(length - 1)])) == nil)
            if length < buffer.count {
                #expect(EventCodec.decode(type: type.rawValue, payload: UnsafeRawBufferPointer(rebasing: buffer[...length])) == nil)
            }
        }
    }

    @Test func anyBytesDecodeToNothingOrToWhatEncodesToThem() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...200, using: &random)).map { _ in
                UInt8.random(in: 0...(Bool.random() ? 255 : 3), using: &random)
            }
            let type = UInt8.random(in: 0...7, using: &random)
            bytes.withUnsafeBytes { payload in
                guard let event = EventCodec.decode(type: type, payload: payload) else { return }
                withUnsafeTemporaryAllocation(byteCount: EventCodec.maximumLength, alignment: 8) { buffer in
                    let (again, length) = EventCodec.encode(event, into: buffer)
                    #expect(again.rawValue == type)
                    #expect(EventCodec.decode(type: type, payload: UnsafeRawBufferPointer(rebasing: buffer[..<length])) == event)
                }
            }
        }
    }

    @Test func textOfAClassIsFitToPrint() {
        #expect(WindowClass("XTerm".utf8).text == "XTerm")
        #expect(WindowClass([0x41, 0x1B, 0x5B, 0xFF, 0x42]).text == "A\u{FFFD}[\u{FFFD}B")
        #expect(WindowClass("a\u{202E}b".utf8).text == "a\u{FFFD}b")
    }
}
