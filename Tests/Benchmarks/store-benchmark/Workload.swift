import Glibc
import SeededRandom
import TermspanAccounting
import TermspanCore
import TermspanEvents
import TermspanStore

/// A made-up year of a server's users, the same for the same seed. `usage` says what a day is like.
struct Workload {
    var users: Int
    /// How many days of the calendar, of which five in seven are worked.
    var days: Int
    /// Focus intervals of a day that is worked, about.
    var intervals: Double
    var seed: UInt64

    /// Midnight of a Monday, UTC.
    static let beginning = WallInstant(nanoseconds: 1_735_516_800_000_000_000)
    private static let second: UInt64 = 1_000_000_000
    private static let day: UInt64 = 86_400 * second
    /// What is written together.
    private static let batch: UInt64 = 300 * second
    /// The machine is started anew this often.
    private static let bootDays = 28

    /// The last day that is worked.
    var lastDay: Int { (0..<days).last { $0 % 7 < 5 } ?? 0 }

    func wall(day: Int) -> WallInstant { Self.beginning.advanced(by: .seconds(86_400 * day)) }

    static func user(_ number: Int) -> UserIdentity {
        UserIdentity(login: "user\(number)", uid: UInt32(100_000 + number))
    }

    static let applications = (0..<30).map { number in
        Application(executable: "/usr/lib/suite\(number % 7)/bin/application\(number)", windowClass: "Application\(number)")
    }

    /// What is stored, and what it comes to by plain addition.
    struct Made {
        var intervals = 0
        var bursts = 0
        /// How many days users worked.
        var workedDays = 0
        /// Of the first user, by application's number.
        var year: [Int: CategoryTimes] = [:]
        /// Of each user on the last day, the whole day.
        var lastDay: [CategoryTimes]
    }

    private func random(_ values: UInt64...) -> SeededRandom {
        SeededRandom(seed: values.reduce(seed) { SeededRandom.mix($0 ^ $1) })
    }

    /// Writes it as the collector does, in the order of time, users one beside the other.
    func write(to place: StorePlace) throws -> Made {
        var made = Made(lastDay: Array(repeating: CategoryTimes(), count: users))
        var place = place
        var writer: StoreWriter?
        var carried: [Int: Desk] = [:]
        var number: UInt32 = 0
        for day in 0..<days {
            let bootDay = day % Self.bootDays
            if bootDay == 0 {
                place.boot = ID128(high: 1, low: UInt64(day / Self.bootDays + 1))
                carried = [:]
                writer = nil
                let opened = try StoreWriter.open(place, anchor: ClockAnchor(boot: .zero, wall: wall(day: day)))
                _ = try opened.closeSessionsOfOtherBoots()
                writer = opened
            }
            guard day % 7 < 5 else { continue }
            let midnight = UInt64(bootDay) * Self.day
            var batches = Array(repeating: StoreBatch(), count: Int(Self.day / Self.batch))
            func slot(_ moment: UInt64) -> Int { min(batches.count - 1, Int((moment - midnight) / Self.batch)) }
            for user in 0..<users {
                var random = random(UInt64(user), UInt64(day))
                // 25 days of vacation in three blocks, and some of illness.
                let isAway = [(30, 5), (180, 15), (330, 5)].contains { start, length in
                    let first = start + user * 7 % 60
                    return (first..<first + length * 7 / 5).contains(day)
                }
                guard !isAway, random.unit() > 0.02 else { continue }
                made.workedDays += 1
                // Whoever only disconnected in the evening goes on in the session of the day before.
                let isLast = bootDay == Self.bootDays - 3 || random.unit() < 0.7
                let began = midnight + UInt64((8 * 3600 + random.normal() * 1800) * 1e9)
                func session(_ start: UInt64) -> Desk {
                    number += 1
                    let uuid = UUIDv7(at: wall(day: day).advanced(by: .nanoseconds(Int64(start - midnight))))
                    let desk = Desk(uuid: uuid, start: start)
                    batches[slot(start)].sessions.append(
                        SessionRecord(
                            uuid: uuid, id: SessionID(rawValue: number % 1000 + 1), user: Self.user(user), stack: "xrdp",
                            start: BootInstant(nanoseconds: start)))
                    return desk
                }
                var desks: [Desk] = []
                var main = carried[user] ?? session(began)
                carried[user] = nil
                main.work(from: began, hours: 8.75, intervals: intervals, &random)
                if isLast { main.end = main.position + 3 * Self.second } else { main.change(.disconnected) }
                desks.append(main)
                // On one day in twenty there is a second desk beside it for an hour.
                if random.unit() < 0.05 {
                    var second = session(began + 7200 * Self.second)
                    second.work(from: second.start, hours: 1, intervals: intervals / 8.75, &random)
                    second.end = second.position + Self.second
                    desks.append(second)
                }
                for desk in desks {
                    made.intervals += desk.focus.count
                    made.bursts += desk.bursts.count
                    if user == 0 || day == lastDay {
                        let sum = desk.sum(upTo: midnight + Self.day)
                        if user == 0 { for (application, times) in sum { made.year[application, default: CategoryTimes()] += times } }
                        if day == lastDay { for times in sum.values { made.lastDay[user] += times } }
                    }
                    for (span, application) in desk.focus {
                        batches[slot(span.end.nanoseconds)].focus.append(
                            FocusRecord(session: desk.uuid, span: span, application: application.map { Self.applications[$0] }))
                    }
                    for burst in desk.bursts {
                        batches[slot(burst.end.nanoseconds)].bursts.append(
                            BurstRecord(session: desk.uuid, burst: InputBurst(start: burst.start, end: burst.end, origin: .device)))
                    }
                    for unknown in desk.unknown {
                        batches[slot(unknown.end.nanoseconds)].unknowns.append(
                            UnknownRecord(
                                session: desk.uuid,
                                interval: UnknownInterval(start: unknown.start, end: unknown.end, reason: .starting)))
                    }
                    for change in desk.changes {
                        let address = change.kind == .connected ? "192.0.2.\(user % 250 + 1)" : ""
                        batches[slot(change.at.nanoseconds)].events.append(
                            SessionEvent(session: desk.uuid, change: change, clientAddress: address))
                    }
                    if let end = desk.end {
                        batches[slot(end)].ended.append(
                            SessionEnd(session: desk.uuid, at: BootInstant(nanoseconds: end), reason: .logoff))
                    }
                }
                if !isLast { carried[user] = desks[0].carriedOver }
            }
            for (index, batch) in batches.enumerated() where !batch.isEmpty {
                var batch = batch
                batch.seen = BootInstant(nanoseconds: midnight + UInt64(index + 1) * Self.batch)
                let result = try writer?.write(batch)
                guard result?.rejected == 0, result?.repeated == 0 else { fatalError("rows were not taken: \(String(describing: result))") }
            }
        }
        return made
    }
}

/// One session of one day, as it is made.
private struct Desk {
    let uuid: UUIDv7
    let start: UInt64
    var end: UInt64?
    var position: UInt64
    var focus: [(span: TimeSpan, application: Int?)] = []
    var bursts: [TimeSpan] = []
    var unknown: [TimeSpan] = []
    var changes: [StateChange] = []
    private var isCarried = false

    init(uuid: UUIDv7, start: UInt64) {
        self.uuid = uuid
        self.start = start
        position = start
    }

    /// What the next day begins with.
    var carriedOver: Desk {
        var desk = Desk(uuid: uuid, start: start)
        desk.position = position
        desk.isCarried = true
        return desk
    }

    mutating func change(_ kind: StateChange.Kind) { changes.append(StateChange(kind, at: BootInstant(nanoseconds: position))) }

    /// A day at work: two blocks with a locked lunch in between, four pauses, of which some are locked, and a connection that is lost now and then.
    mutating func work(from begin: UInt64, hours: Double, intervals: Double, _ random: inout SeededRandom) {
        if isCarried {
            // The last window keeps the focus over night.
            show(until: begin, application: 0)
            change(.connected)
        } else {
            change(.connected)
            let known = position + UInt64(random.range(0.3, 1.5) * 1e9)
            unknown.append(TimeSpan(start: BootInstant(nanoseconds: position), end: BootInstant(nanoseconds: known)))
            position = known
        }
        let end = begin + UInt64(hours * 3600e9)
        let pauses = hours > 4 ? 5 : 0
        var input = position
        for block in 0...pauses {
            let until = begin + (end - begin) * UInt64(block + 1) / UInt64(pauses + 1)
            let away = block == pauses ? 0 : block == 2 ? random.range(1800, 3000) : random.range(240, 900)
            let working = until - min(until - position - 1, UInt64(away * 1e9))
            let mean = hours * 3600 * 0.87 / intervals
            // Log-normal: the median is well below the mean.
            while position < working {
                let length = exp(random.normal() * 1.4) * mean / exp(0.98)
                show(until: min(working, position + max(50_000_000, UInt64(min(length, 3600) * 1e9))), application: random.zipf())
                if random.unit() < 0.03 { show(until: position + UInt64(random.range(0.05, 0.3) * 1e9), application: nil) }
            }
            input = max(input, bursts.last?.end.nanoseconds ?? 0)
            while true {
                let start = input + UInt64((30 + random.exponential(12)) * 1e9)
                guard start < working else { break }
                // Now and then only something is read.
                let length = random.unit() < 0.03 ? 0 : min(exp(random.normal() * 1.2) * 12, 1200)
                let rest = random.unit() < 0.04 ? random.range(60, 600) : 0
                let end = min(working, start + UInt64(length * 1e9))
                bursts.append(TimeSpan(start: BootInstant(nanoseconds: start), end: BootInstant(nanoseconds: end)))
                input = end + UInt64(rest * 1e9)
            }
            guard block < pauses else { break }
            let kinds: (StateChange.Kind, StateChange.Kind)? =
                block == 2 || random.unit() < 0.4 ? (.locked, .unlocked) : random.unit() < 0.1 ? (.disconnected, .connected) : nil
            if let kinds { change(kinds.0) }
            show(until: max(until, position + 1), application: kinds?.0 == .locked ? nil : 0)
            if let kinds { change(kinds.1) }
            input = max(input, position)
        }
    }

    private mutating func show(until: UInt64, application: Int?) {
        guard until > position else { return }
        focus.append((TimeSpan(start: BootInstant(nanoseconds: position), end: BootInstant(nanoseconds: until)), application))
        position = until
    }

    /// How its time goes by application, -1 where there is none: every stretch between two edges of anything, looked at by itself.
    func sum(upTo limit: UInt64) -> [Int: CategoryTimes] {
        enum Edge { case focus(Int?), noFocus, burst, rest, state(StateChange.Kind), tick }
        let beginning = isCarried ? focus.first?.span.start.nanoseconds ?? position : start
        let last = end ?? position
        var edges: [(at: UInt64, order: Int, edge: Edge)] = []
        for (span, application) in focus {
            edges.append((span.start.nanoseconds, 1, .focus(application)))
            edges.append((span.end.nanoseconds, 0, .noFocus))
        }
        for burst in bursts {
            edges.append((burst.start.nanoseconds, 1, .burst))
            edges.append((burst.end.nanoseconds, 2, .rest))
            for seconds in [120, 420] { edges.append((burst.end.nanoseconds + UInt64(seconds) * 1_000_000_000, 3, .tick)) }
        }
        for change in changes { edges.append((change.at.nanoseconds, 4, .state(change.kind))) }
        edges.append((last, 5, .tick))
        edges.sort { ($0.at, $0.order) < ($1.at, $1.order) }
        var result: [Int: CategoryTimes] = [:]
        var (now, hasFocus, application) = (beginning, false, Int?.none)
        var (isInBurst, input) = (false, UInt64?.none)
        var (isLocked, isConnected) = (false, !isCarried)
        for (at, _, edge) in edges {
            let at = min(at, last)
            if at > now {
                let age = input.map { now - min(now, $0) }
                let category: TermspanAccounting.Category =
                    if !hasFocus { .unknown } else if !isConnected { .disconnected } else if isLocked { .locked } else if isInBurst {
                        .active
                    } else if let age, age < 120_000_000_000 { .active } else if let age, age < 420_000_000_000 { .passive } else {
                        .inactive
                    }
                result[hasFocus ? application ?? -1 : -1, default: CategoryTimes()].add(at - now, to: category)
                now = at
            }
            switch edge {
            case .focus(let number): (hasFocus, application) = (true, number)
            case .noFocus: hasFocus = false
            case .burst: isInBurst = true
            case .rest: (isInBurst, input) = (false, at)
            case .state(let kind):
                switch kind {
                case .locked: isLocked = true
                case .unlocked: isLocked = false
                case .disconnected: isConnected = false
                case .connected: isConnected = true
                default: break
                }
            case .tick: break
            }
        }
        return result
    }
}

extension SeededRandom {
    /// From 0 up to 1.
    fileprivate mutating func unit() -> Double { Double(next() >> 11) / 9_007_199_254_740_992 }
    fileprivate mutating func range(_ low: Double, _ high: Double) -> Double { low + unit() * (high - low) }
    fileprivate mutating func normal() -> Double { sqrt(-2 * log(1 - unit())) * cos(2 * .pi * unit()) }
    fileprivate mutating func exponential(_ mean: Double) -> Double { -log(1 - unit()) * mean }

    /// Of 30, the first twice as often as the second, three times as often as the third.
    fileprivate mutating func zipf() -> Int {
        var rest = unit() * Self.harmonic
        for number in 0..<30 {
            rest -= 1 / Double(number + 1)
            if rest < 0 { return number }
        }
        return 29
    }
    private static let harmonic = (1...30).reduce(0) { $0 + 1 / Double($1) }
}
