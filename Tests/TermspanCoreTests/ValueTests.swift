import Foundation
import Testing

@testable import TermspanCore

@Suite struct ValueTests {
    @Test func instantsSaturate() {
        let late = BootInstant(nanoseconds: .max)
        #expect(late.advanced(by: .seconds(1)) == late)
        #expect(BootInstant(nanoseconds: 5).advanced(by: .seconds(-1)) == .zero)
        #expect(BootInstant(nanoseconds: 5).duration(to: BootInstant(nanoseconds: 3)) == .nanoseconds(-2))
        #expect(Duration.seconds(Int64.max).wholeNanoseconds == .max)
        #expect(WallInstant(nanoseconds: .max).advanced(by: .seconds(1)).nanoseconds == .max)
    }

    @Test func anAnchorGoesBothWays() {
        let anchor = ClockAnchor(boot: BootInstant(nanoseconds: 1_000), wall: WallInstant(nanoseconds: 5_000))
        #expect(anchor.wall(at: BootInstant(nanoseconds: 400)).nanoseconds == 4_400)
        #expect(anchor.boot(at: WallInstant(nanoseconds: 5_007)).nanoseconds == 1_007)
    }

    @Test func uuidsSortByTimeAndComeBack() throws {
        let early = UUIDv7(at: WallInstant(nanoseconds: 1_700_000_000_000_000_000))
        let late = UUIDv7(at: WallInstant(nanoseconds: 1_700_000_000_001_000_000))
        #expect(early < late)
        #expect(early.description.count == 36)
        #expect(try #require(UUIDv7(early.description)) == early)
        #expect(try #require(UUIDv7(bytes: early.bytes)) == early)
        #expect(Array(early.description.utf8)[14] == UInt8(ascii: "7"))
        #expect(UUIDv7("0190b2f4-0000-4000-8000-000000000000") == nil)
        #expect(UUIDv7("not a uuid") == nil)
    }

    @Test(arguments: ConnectState.allCases) func statesHaveNames(state: ConnectState) {
        #expect(ConnectState(name: state.name) == state)
        #expect(state.word.count <= 6)
    }

    @Test func theVersionIsTheChangelogs() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let changelog = try String(contentsOf: root.appending(path: "CHANGELOG.md"), encoding: .utf8)
        let heading = try #require(changelog.split(separator: "\n").first { $0.hasPrefix("## [") && !$0.hasPrefix("## [Unreleased]") })
        #expect(heading.hasPrefix("## [\(Version.text)]"))
    }

    @Test func idsAreThirtyTwoDigits() throws {
        let id = try #require(ID128("0123456789abcdef00000000000000ff"))
        #expect(id.description == "0123456789abcdef00000000000000ff")
        #expect(ID128(bytes: id.bytes) == id)
        #expect(ID128("0123") == nil)
        #expect(ID128("+123456789abcdef00000000000000ff") == nil)
    }
}
