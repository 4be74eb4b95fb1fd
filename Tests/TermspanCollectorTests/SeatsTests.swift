import SeededRandom
import TermspanCore
import Testing

@testable import TermspanCollector
@testable import TermspanStore

@Suite struct SeatsTests {
    private static func user(_ number: Int) -> UserIdentity { UserIdentity(login: "user\(number)", uid: UInt32(1000 + number)) }

    private static func held(_ number: Int, isCurrent: Bool = true) -> HeldUser {
        HeldUser(row: Int64(number), uuid: UUIDv7(at: WallInstant(nanoseconds: 0)), names: [], identity: user(number), isCurrent: isCurrent)
    }

    @Test func whoIsNewFindsOneOrNotAndWhoHasOneKeepsIt() {
        var seats = Seats([Self.held(1), Self.held(9, isCurrent: false)])
        #expect(seats.taken == 2)
        #expect(seats.admits(Self.user(2), limit: nil) && seats.admits(Self.user(2), limit: 3) && !seats.admits(Self.user(2), limit: 2))
        seats.take(Self.user(2))
        seats.take(Self.user(2))
        // Also below what is taken.
        #expect(seats.taken == 3 && seats.admits(Self.user(1), limit: 1) && seats.admits(Self.user(2), limit: 1))
        #expect(!seats.admits(Self.user(3), limit: 3))
        // Somebody else who has the login now, and whoever has the one of a former user.
        #expect(!seats.admits(UserIdentity(login: "user1", uid: 7), limit: 3) && !seats.admits(Self.user(9), limit: 3))
    }

    @Test func anAnswerThatCouldNotBeGivenChangesNothing() {
        var seats = Seats([Self.held(1)])
        let isAsked = seats.beginReading()
        let before = seats.taken
        let isStale = seats.endReading(nil)
        #expect(isAsked && !isStale && seats.taken == before)
    }

    /// Sessions are told to a store that takes its time, erased from it, and the store is asked at any moment: whoever has something held or on
    /// its way is never refused, and once all is durable and asked the seats are exactly theirs.
    @Test(arguments: 0..<200) func nobodyLosesASeatThatIsTheirs(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var seats = Seats()
        var durable: Set<Int> = []
        var onTheirWay: Set<Int> = []
        var answer: Set<Int>?
        let limit = Int.random(in: 1...5, using: &random)
        func end() {
            guard let stored = answer else { return }
            answer = nil
            if seats.endReading(stored.map { Self.held($0) }) { begin() }
        }
        func begin() {
            guard seats.beginReading() else { return }
            // Once all that waits is durable.
            durable.formUnion(onTheirWay)
            onTheirWay = []
            answer = durable
        }
        for _ in 0..<200 {
            let number = Int.random(in: 0..<8, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1:
                if seats.admits(Self.user(number), limit: limit) {
                    seats.take(Self.user(number))
                    onTheirWay.insert(number)
                }
            case 2:
                durable.formUnion(onTheirWay)
                onTheirWay = []
            case 3:
                durable.remove(number)
                begin()
            case 4: begin()
            default: end()
            }
            let held = durable.union(onTheirWay)
            #expect(held.allSatisfy { seats.admits(Self.user($0), limit: limit) } && held.count <= limit && seats.taken >= held.count)
        }
        while answer != nil { end() }
        begin()
        while answer != nil { end() }
        #expect(seats.taken == durable.union(onTheirWay).count)
    }
}
