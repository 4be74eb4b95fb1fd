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

    private func asked(_ address: inout PublicAddress, on interface: UInt32, _ seconds: Double, _ url: String = url) -> Int? {
        address.question(url, from: network(interface), at: at(seconds))
    }

    private func at(_ seconds: Double) -> BootInstant { BootInstant(nanoseconds: 1_000_000_000_000).advanced(by: .seconds(seconds)) }

    @Test func itIsAskedForOnceAnHourAndOccasion() {
        var address = PublicAddress()
        #expect(asked(&address, on: 1, 0, "") == nil)
        let first = asked(&address, on: 1, 0) ?? 0
        #expect(first > 0)
        let isNew = address.take("203.0.113.7", to: first)
        #expect(isNew && address.value == "203.0.113.7")
        #expect(asked(&address, on: 1, 3599) == nil)
        let second = asked(&address, on: 1, 3600) ?? 0
        #expect(second > first)
        // What can't be had, or is the same, changes nothing.
        for answer in [nil, "203.0.113.7"] {
            let isChange = address.take(answer, to: second)
            #expect(!isChange && address.value == "203.0.113.7")
        }
    }

    @Test func whatHeldOnAnotherWayIsNotKnownOnThisOne() {
        var address = PublicAddress()
        let first = asked(&address, on: 1, 0) ?? 0
        _ = address.take("203.0.113.7", to: first)
        let second = asked(&address, on: 2, 1) ?? 0
        #expect(address.value == "" && second > first)
        // The answer of before comes late.
        let isLate = address.take("203.0.113.7", to: first)
        #expect(!isLate && address.value == "")
        _ = address.take("198.51.100.7", to: second)
        #expect(address.value == "198.51.100.7")
        // Nobody is asked any more, and nothing is known.
        #expect(asked(&address, on: 2, 2, "") == nil && address.value == "")
    }

    @Test func aNetworkThatComesAndGoesHasNobodyAskedEachTime() {
        var address = PublicAddress()
        let questions = (0..<600).filter { asked(&address, on: UInt32($0), Double($0)) != nil }
        #expect(questions.count == 4 + 600 * 12 / 3600 - 1 || questions.count == 4 + 600 * 12 / 3600, "\(questions)")
    }
}
