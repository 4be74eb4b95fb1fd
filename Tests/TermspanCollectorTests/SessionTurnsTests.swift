import SeededRandom
import TermspanConfiguration
import TermspanCore
import TermspanSessions
import Testing

@testable import TermspanCollector

/// Whose openings and changes wait, and that none waits for ever.
@Suite struct SessionTurnsTests {
    private let limits: Limits = {
        var limits = Limits()
        // At once 9 logons of a user and 2 changes of a session; then 3 and 6 a minute.
        limits.logonsPerMinute = 3
        limits.stateChangesPerMinute = 6
        return limits
    }()

    private func second(_ seconds: UInt64) -> BootInstant { BootInstant(nanoseconds: (1000 + seconds) * 1_000_000_000) }

    private static let ids = (0..<10_000).map { UUIDv7(at: WallInstant(nanoseconds: Int64($0) * 1_000_000_000)) }

    private func id(_ number: Int) -> UUIDv7 { Self.ids[number] }

    private func session(_ uuid: UUIDv7, lock: LockState) -> Session {
        var desktop = Desktop(keys: [], uid: 1001, userName: "eve", stack: .xrdp, state: .active)
        desktop.lock = lock
        return Session(id: SessionID(rawValue: 1), uuid: uuid, desktop: desktop, opened: second(0))
    }

    @Test func logonsOfOneUserWaitAndThoseOfOthersDoNot() {
        var turns = SessionTurns()
        let eves = (0..<12).map(id)
        let opened = eves.filter { turns.opens($0, of: 1001, limits, at: second(0)) }
        #expect(opened == Array(eves[..<9]))
        #expect(eves.filter(turns.isCrowded) == Array(eves[9...]))
        let opensAnother = turns.opens(id(100), of: 1002, limits, at: second(0))
        #expect(opensAnother)
        #expect(turns.next(limits, at: second(0)) == second(20))
        #expect(turns.takeOpenings(limits, at: second(19)).isEmpty)
        // Who came first is first.
        #expect(turns.takeOpenings(limits, at: second(20)) == [eves[9]])
        #expect(turns.takeOpenings(limits, at: second(60)) == [eves[10], eves[11]])
        #expect(turns.next(limits, at: second(60)) == nil)
        #expect(!eves.contains(where: turns.isCrowded))
    }

    @Test func ofASessionThatEndsBeforeItsTurnNothingIsTold() {
        var turns = SessionTurns()
        for number in 0..<10 { _ = turns.opens(id(number), of: 1001, limits, at: second(0)) }
        #expect(turns.close(id(9)) == .untold)
        #expect(turns.close(id(0)) == .told(after: nil))
        #expect(turns.next(limits, at: second(0)) == nil)
        #expect(turns.takeOpenings(limits, at: second(600)).isEmpty)
    }

    @Test func aChangeThatWaitsIsToldAfterWhatWasToldLast() {
        var turns = SessionTurns()
        let (locked, unlocked) = (session(id(1), lock: .locked), session(id(1), lock: .unlocked))
        #expect(turns.change(unlocked, from: unlocked, limits, at: second(0)) == .nothing)
        #expect(turns.change(locked, from: unlocked, limits, at: second(0)) == .now(after: unlocked))
        #expect(turns.change(unlocked, from: locked, limits, at: second(0)) == .now(after: locked))
        #expect(turns.change(locked, from: unlocked, limits, at: second(0)) == .later(isFirst: true))
        // What changed back needs no record, and no turn.
        #expect(turns.change(unlocked, from: locked, limits, at: second(0)) == .nothing)
        #expect(turns.next(limits, at: second(0)) == nil)
        #expect(turns.change(locked, from: unlocked, limits, at: second(1)) == .later(isFirst: true))
        #expect(turns.waitingChanges == [id(1): unlocked])
        #expect(turns.next(limits, at: second(1)) == second(10))
        #expect(turns.change(locked, from: unlocked, limits, at: second(10)) == .now(after: unlocked))
        #expect(turns.change(unlocked, from: locked, limits, at: second(11)) == .later(isFirst: true))
        #expect(turns.close(id(1)) == .told(after: locked))
        #expect(turns.next(limits, at: second(11)) == nil)
    }

    /// However sessions come, change and go: what was told at the end is what is, each record follows the one before, and there are no
    /// more than the limits give.
    @Test(arguments: 0..<50) func nothingWaitsForEverAndNoRecordIsMissing(seed: UInt64) {
        var chance = SeededRandom(seed: seed)
        var turns = SessionTurns()
        var now: UInt64 = 0
        var present: [UUIDv7: Session] = [:]
        var told: [UUIDv7: LockState] = [:]
        var (openings, records) = ([UInt32: Int](), [UUIDv7: Int]())
        func record(_ new: Session, after old: Session) {
            guard case .now(let before) = turns.change(new, from: old, limits, at: second(now)) else { return }
            #expect(told[new.uuid] == before.desktop.lock)
            told[new.uuid] = new.desktop.lock
            records[new.uuid, default: 0] += 1
        }
        func take() {
            for uuid in turns.takeOpenings(limits, at: second(now)) {
                told[uuid] = present[uuid]?.desktop.lock
                openings[1001, default: 0] += 1
            }
            for (uuid, before) in turns.waitingChanges {
                if let session = present[uuid] { record(session, after: before) }
            }
        }
        for step in 0..<300 {
            now += chance.next() % 4
            switch chance.next() % 8 {
            case 0:
                let uuid = id(step)
                present[uuid] = session(uuid, lock: .unlocked)
                guard turns.opens(uuid, of: 1001, limits, at: second(now)) else { break }
                told[uuid] = .unlocked
                openings[1001, default: 0] += 1
            case 1:
                guard let uuid = present.keys.min() else { break }
                let before = turns.close(uuid)
                #expect((before == .untold) == (told[uuid] == nil))
                if case .told(let waiting?) = before { #expect(waiting.desktop.lock == told[uuid]) }
                present[uuid] = nil
                told[uuid] = nil
            case 2: take()
            default:
                guard let uuid = present.keys.sorted().last, let old = present[uuid] else { break }
                let new = session(uuid, lock: old.desktop.lock == .locked ? .unlocked : .locked)
                present[uuid] = new
                if !turns.isCrowded(uuid) { record(new, after: old) }
            }
        }
        // By the moments that it names itself.
        var rounds = 0
        while let next = turns.next(limits, at: second(now)), rounds < 1000 {
            now = max(now, (next.nanoseconds + 999_999_999) / 1_000_000_000 - 1000)
            take()
            rounds += 1
        }
        #expect(turns.next(limits, at: second(now)) == nil)
        #expect(told == present.mapValues(\.desktop.lock))
        #expect(openings[1001, default: 0] <= 9 + Int(now) * 3 / 60 + 1)
        for count in records.values { #expect(count <= 2 + Int(now) * 6 / 60 + 1) }
    }

    @Test func usersWhoLogOnOnceAreForgotten() {
        var turns = SessionTurns()
        for number in 0..<10_000 {
            let uuid = id(number)
            let opens = turns.opens(uuid, of: UInt32(number), limits, at: second(60 * UInt64(number)))
            #expect(opens)
            _ = turns.close(uuid)
        }
        #expect(turns.remembering <= 1024)
    }
}
