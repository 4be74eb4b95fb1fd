import TermspanCore
import Testing

@testable import TermspanControl

/// The wire form of control messages.
struct ControlMessageTests {
    static let messages: [ControlMessage] =
        [
            .start(.init(level: .basic, display: 10, burstGapMilliseconds: 30_000, cookie: Array(0..<16))),
            .start(.init(level: .details, display: .max, burstGapMilliseconds: .max, cookie: Array(repeating: 255, count: 16))),
            .snapshot(id: 0), .snapshot(id: .max), .level(.basic), .level(.screens), .stop,
            .ready([]), .ready([.serverPIDs, .idleTime, .deviceIdleTime, .activeWindow]),
        ] + ProbeFailure.allCases.map { .failed($0) }
        + [Screen(width: 1, height: .max, depth: 1), Screen(width: 1920, height: 1080, depth: 32)].compactMap { $0.map { .screen($0) } }

    @Test(arguments: messages)
    func everyMessageComesBack(_ message: ControlMessage) {
        let bytes = message.encode()
        #expect(bytes.count <= ControlMessage.maximumLength)
        #expect(bytes.withUnsafeBytes { ControlMessage.decode($0) } == message)
    }

    @Test(arguments: messages)
    func anyOtherLengthIsRefused(_ message: ControlMessage) {
        let bytes = message.encode()
        for length in 0..<bytes.count {
            #expect(bytes[..<length].withUnsafeBytes { ControlMessage.decode($0) } == nil)
        }
        #expect((bytes + [0]).withUnsafeBytes { ControlMessage.decode($0) } == nil)
    }

    @Test func unknownTypesAndValuesAreRefused() {
        let known: Set<UInt8> = [1, 2, 3, 4, 65, 66, 67]
        for type in UInt8.min...UInt8.max where !known.contains(type) {
            for length in [1, 2, 5, 9, 24, 64] {
                let bytes = [type] + Array(repeating: UInt8(0), count: length - 1)
                #expect(bytes.withUnsafeBytes { ControlMessage.decode($0) } == nil)
            }
        }
        for bytes: [UInt8] in [
            [3, 200], [66, 0], [66, 200], [67, 0, 0, 1, 0, 24], [67, 1, 0, 0, 0, 24], [67, 1, 0, 1, 0, 0], [67, 1, 0, 1, 0, 33],
            [1, 99] + Array(repeating: 0, count: 22),
        ] {
            #expect(bytes.withUnsafeBytes { ControlMessage.decode($0) } == nil)
        }
    }

    /// The layout is a contract between two programs that may be of different versions for a moment during an upgrade.
    @Test func theLayoutIsFixed() {
        let start = ControlMessage.start(.init(level: .basic, display: 0x0102, burstGapMilliseconds: 0x0304_0506, cookie: Array(1...16)))
        #expect(start.encode() == [1, PrivacyLevel.basic.rawValue, 2, 1, 6, 5, 4, 3] + Array(1...16))
        #expect(ControlMessage.snapshot(id: 1).encode() == [2, 1, 0, 0, 0, 0, 0, 0, 0])
        #expect(ControlMessage.ready(.activeWindow).encode() == [65, 8, 0, 0, 0])
        #expect(Screen(width: 0x0102, height: 0x0304, depth: 24).map { ControlMessage.screen($0).encode() } == [67, 2, 1, 4, 3, 24])
    }
}
