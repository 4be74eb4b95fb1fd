import Glibc
import Synchronization
import TermspanCore
import TermspanStore
import TermspanSystem
import Testing

@testable import TermspanCollector

@Suite struct DirectoryTests {
    private static func user(_ uid: UInt32) -> UserIdentity { UserIdentity(login: "user\(uid)", uid: uid) }
    private static func sid(_ number: UInt32) -> SecurityID { SecurityID("S-1-5-21-1-2-3-\(number)")! }

    @Test func whatIsKnownOfSIDs() {
        var known = KnownSIDs()
        #expect(known[Self.user(1)] == nil)
        #expect(known.learn([Self.user(1): [Self.sid(1)], Self.user(2): []]) == [Self.user(1), Self.user(2)])
        #expect(known[Self.user(1)] == [Self.sid(1)] && known[Self.user(2)] == [])
        // Nobody has said anything of the first: that is as it was.
        #expect(known.learn([Self.user(2): []]) == [])
        #expect(known[Self.user(1)] == [Self.sid(1)])
        // Another user has that uid.
        #expect(known[UserIdentity(login: "other", uid: 1)] == nil)
        known.forget(Self.user(1))
        #expect(known[Self.user(1)] == nil)
        _ = known.learn([Self.user(1): [], Self.user(3): [], Self.user(4): [Self.sid(4)]])
        // Who had none may have one since.
        var later = known
        later.forgetNone()
        #expect([1, 3, 4].map { later[Self.user($0)] } == [nil, nil, [Self.sid(4)]])
        known.forget(allBut: [Self.user(3)])
        #expect([1, 2, 3].map { known[Self.user($0)] } == [nil, nil, []])
    }

    @Test func whoCanNotBeToldIsNotInTheAnswer() {
        let directory = Directory { $0.uid == 2 ? nil : $0.uid == 3 ? [] : [Self.sid($0.uid)] }
        let answer = directory.sids(of: Set((1...3).map(Self.user)), within: .seconds(20))
        #expect(answer == [Self.user(1): [Self.sid(1)], Self.user(3): []])
        #expect(directory.sids(of: [], within: .zero) == [:])
    }

    /// Of many some are told in time, and count.
    @Test func whatWasToldInTimeCounts() {
        let gate = Baton()
        let record = Record()
        let directory = Directory { user in
            record.asked.withLock { $0.append(user.uid) }
            if record.asked.withLock({ $0.count }) == 400 { gate.wait() }
            return [Self.sid(user.uid)]
        }
        let answer = directory.sids(of: Set((1...500).map(Self.user)), within: .milliseconds(2000))
        gate.pass()
        #expect(answer.count == 399 && answer.allSatisfy { $0.value == [Self.sid($0.key.uid)] })
    }

    /// What the directory was asked, and by how many threads.
    private final class Record: Sendable {
        let asked = Mutex<[UInt32]>([])
        let threads = Mutex<Set<Int32>>([])
    }

    /// Whoever waits goes on in time, and nothing is asked that nobody waits for any more.
    @Test func aSilentDirectoryHoldsOneThread() {
        let (gate, entered, told) = (Baton(), Baton(), Baton())
        let record = Record()
        let directory = Directory { user in
            record.asked.withLock { $0.append(user.uid) }
            record.threads.withLock { _ = $0.insert(threadID()) }
            if user.uid == 1 {
                entered.pass()
                gate.wait()
            }
            return []
        }
        directory.ask([Self.user(1)]) { _ in }
        entered.wait()
        directory.ask([Self.user(2)]) { _ in told.pass() }
        #expect(directory.sids(of: [Self.user(3)], within: .milliseconds(20)) == [:])
        gate.pass()
        told.wait()
        #expect(record.asked.withLock { $0 } == [1, 2] && record.threads.withLock { $0.count } == 1)
        #expect(directory.sids(of: [Self.user(4)], within: .seconds(20)) == [Self.user(4): []])
    }

    /// What somebody waits for comes before the rest.
    @Test func whoWaitsIsFirst() {
        let (gate, entered, told) = (Baton(), Baton(), Baton())
        let record = Record()
        let directory = Directory { user in
            record.asked.withLock { $0.append(user.uid) }
            if user.uid == 1 {
                entered.pass()
                gate.wait()
            }
            return []
        }
        directory.ask([Self.user(1)]) { _ in }
        entered.wait()
        directory.ask([Self.user(2)]) { _ in told.pass() }
        let waits = try? Thread(name: "waits") { _ = directory.sids(of: [Self.user(3)], within: .seconds(20)) }
        while directory.count < 2 { usleep(1000) }
        gate.pass()
        told.wait()
        waits?.join()
        #expect(record.asked.withLock { $0 } == [1, 3, 2])
    }
}
