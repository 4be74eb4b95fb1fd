import TermspanCore
import TermspanSessions
import Testing

@testable import TermspanCollector

@Suite struct PublicAddressTests {
    private static let url = "https://example.com/ip"

    private func network(_ interface: UInt32) -> NetworkState {
        var state = NetworkState()
        state.route = .init(interface: interface, gateway: [192, 0, 2, 1], metric: 100)
        return state
    }

    private func at(_ seconds: Double) -> BootInstant { BootInstant(nanoseconds: 1_000_000_000_000).advanced(by: .seconds(seconds)) }

    @Test func itIsAskedForOnceAnHourAndOccasion() throws {
        var address = PublicAddress()
        #expect(address.question("", from: network(1), at: at(0)) == nil)
        let first = try #require(address.question(Self.url, from: network(1), at: at(0)))
        #expect(address.take("203.0.113.7", to: first) && address.value == "203.0.113.7")
        #expect(address.question(Self.url, from: network(1), at: at(3599)) == nil)
        let second = try #require(address.question(Self.url, from: network(1), at: at(3600)))
        // What can't be had, or is the same, changes nothing.
        #expect(!address.take(nil, to: second) && !address.take("203.0.113.7", to: second) && address.value == "203.0.113.7")
    }

    @Test func whatHeldOnAnotherWayIsNotKnownOnThisOne() throws {
        var address = PublicAddress()
        let first = try #require(address.question(Self.url, from: network(1), at: at(0)))
        _ = address.take("203.0.113.7", to: first)
        let second = try #require(address.question(Self.url, from: network(2), at: at(1)))
        #expect(address.value == "" && second != first)
        // The answer of before comes late.
        #expect(!address.take("203.0.113.7", to: first) && address.value == "")
        #expect(address.take("198.51.100.7", to: second))
        // Nobody is asked any more, and nothing is known.
        #expect(address.question("", from: network(2), at: at(2)) == nil && address.value == "")
    }

    @Test func aNetworkThatComesAndGoesHasNobodyAskedEachTime() {
        var address = PublicAddress()
        let questions = (0..<600).filter { address.question(Self.url, from: network(UInt32($0)), at: at(Double($0))) != nil }
        #expect(questions.count == 4 + 600 * 12 / 3600 - 1 || questions.count == 4 + 600 * 12 / 3600, "\(questions)")
    }
}
