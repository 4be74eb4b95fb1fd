import TermspanEvents
import Testing

@testable import TermspanX11

/// Replies and files whose lengths and counts lie.
struct HostileBytesTests {
    /// Calls `body` with every reply parser.
    private func parseAll(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { raw in
            let reply = XBytes(raw)
            XReplies.systemCounters(reply) { _, name in _ = XReplies.deviceNumber(counterName: name) }
            XReplies.slaveDevices(reply) { _, _ in }
            _ = XReplies.windowClass(reply)
            _ = XReplies.firstWord(reply)
            _ = XReplies.words(reply, contain: 0x0101_0101)
            _ = XReplies.children(reply, limit: 1024)
            _ = XReplies.localClientPID(reply)
            _ = XReplies.counterValue(reply)
            _ = XEvent(reply)
            _ = XAuthority.cookie(in: raw, display: 10)
        }
    }

    @Test func noReplyTraps() {
        var generator = SystemRandomNumberGenerator()
        for length in 0..<200 {
            for fill: UInt8 in [0, 1, 8, 32, 127, 128, 255] { parseAll(Array(repeating: fill, count: length)) }
            for _ in 0..<20 { parseAll((0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }) }
        }
    }

    private func property(_ value: [UInt8], format: UInt8 = 8, claimed: UInt32? = nil) -> [UInt8] {
        var reply = [UInt8](repeating: 0, count: 32)
        reply[0] = 1
        reply[1] = format
        let length = claimed ?? UInt32(value.count) / UInt32(format / 8)
        withUnsafeBytes(of: length) { reply.replaceSubrange(16..<20, with: $0) }
        return reply + value
    }

    @Test func theClassIsTheSecondString() {
        let cases: [([UInt8], [UInt8]?)] = [
            (Array("xterm\0XTerm\0".utf8), Array("XTerm".utf8)),
            (Array("xterm\0XTerm".utf8), Array("XTerm".utf8)),
            (Array("a\0b\0c\0".utf8), Array("b".utf8)),
            (Array("\0\0".utf8), []), (Array("\0".utf8), []),
            (Array("noclass".utf8), nil), ([], nil),
            ([0] + Array(repeating: 0x80, count: 127), Array(repeating: 0x80, count: 127)),
        ]
        for (value, expected) in cases {
            let found = property(value).withUnsafeBytes { XReplies.windowClass(XBytes($0)) }
            #expect(found == expected.map { WindowClass($0) })
        }
    }

    @Test func aPropertyThatClaimsMoreThanItHasIsNone() {
        for claimed: UInt32 in [13, 128, 1 << 20, .max] {
            let reply = property(Array("xterm\0XTerm\0".utf8), claimed: claimed)
            #expect(reply.withUnsafeBytes { XReplies.windowClass(XBytes($0)) } == nil)
        }
        #expect(property([1, 0, 0, 0], format: 32).withUnsafeBytes { XReplies.firstWord(XBytes($0)) } == 1)
        #expect(property([1, 0, 0, 0], format: 8).withUnsafeBytes { XReplies.firstWord(XBytes($0)) } == nil)
    }

    @Test func whatOtherClientsSendIsNoEvent() {
        var event = [UInt8](repeating: 0, count: 32)
        event[0] = 28 | 0x80
        let isIgnored = event.withUnsafeBytes { if case .ignored = XEvent(XBytes($0)) { true } else { false } }
        #expect(isIgnored)
    }

    @Test func implausiblePidsAreNone() {
        #expect(XReplies.plausiblePID(0) == nil)
        #expect(XReplies.plausiblePID(.max) == nil)
        #expect(XReplies.plausiblePID(1) == 1)
        #expect(XReplies.plausiblePID(1 << 22) == 1 << 22)
    }
}

struct XAuthorityTests {
    static func entry(
        family: UInt16 = 256, address: String = "host", number: String, name: String = "MIT-MAGIC-COOKIE-1", data: [UInt8]
    ) -> [UInt8] {
        func field(_ bytes: [UInt8]) -> [UInt8] { [UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes }
        return [UInt8(family >> 8), UInt8(family & 255)] + field(Array(address.utf8)) + field(Array(number.utf8))
            + field(Array(name.utf8)) + field(data)
    }

    private func cookie(_ fill: UInt8) -> [UInt8] { Array(repeating: fill, count: 16) }

    private func find(_ file: [UInt8], _ display: UInt16 = 10) -> [UInt8]? {
        file.withUnsafeBytes { XAuthority.cookie(in: $0, display: display) }
    }

    @Test func theDisplaysNumberDecides() {
        let file =
            Self.entry(number: "1", data: cookie(1)) + Self.entry(number: "10", data: cookie(2))
            + Self.entry(number: "100", data: cookie(3))
        #expect(find(file) == cookie(2))
        #expect(find(file, 2) == nil)
        #expect(find([]) == nil)
    }

    @Test func theLastOfTheBestWins() {
        let local = Self.entry(number: "10", data: cookie(1)) + Self.entry(address: "oldname", number: "10", data: cookie(2))
        let internet = Self.entry(family: 0, number: "10", data: cookie(3)) + Self.entry(family: 65535, number: "10", data: cookie(4))
        let any = Self.entry(number: "", data: cookie(5))
        #expect(find(local + internet + any) == cookie(2))
        #expect(find(internet + any) == cookie(4))
        #expect(find(any) == cookie(5))
    }

    @Test func otherProtocolsAndLengthsAreLeftOut() {
        #expect(find(Self.entry(number: "10", name: "XDM-AUTHORIZATION-1", data: cookie(1))) == nil)
        #expect(find(Self.entry(number: "10", data: [1, 2, 3])) == nil)
        #expect(find(Self.entry(number: "010", data: cookie(1))) == cookie(1))
        #expect(find(Self.entry(number: "+10", data: cookie(1))) == nil)
    }

    @Test func aFileThatBreaksOffKeepsWhatWasWhole() {
        let whole = Self.entry(number: "10", data: cookie(1))
        let broken = Self.entry(number: "10", data: cookie(2))
        for length in 0..<broken.count { #expect(find(whole + broken[..<length]) == cookie(1)) }
    }
}
