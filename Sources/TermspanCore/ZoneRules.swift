/// The rules of a time zone, as a file of tzfile(5) has them: by how much its clock was ahead of UTC, and when that changes in years to come.
package struct ZoneRules: Sendable {
    private struct Change: Sendable {
        /// Seconds since 1970-01-01T00:00:00Z.
        var at: Int
        var offset: Int
    }

    private var changes: [Change] = []
    /// Before the first change.
    private var first = 0
    /// After the last change.
    private var later: YearlyRule?

    /// nil for what is no such file, or one of version 1, which ends in 2037.
    package init?(_ bytes: [UInt8]) {
        func number(_ at: Int, _ count: Int) -> Int {
            let bits = bytes[at..<at + count].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return count == 4 ? Int(Int32(truncatingIfNeeded: bits)) : Int(Int64(bitPattern: bits))
        }
        /// The counts of a header: of indicators, leap seconds, changes, types and characters.
        func header(_ at: Int) -> [Int]? {
            guard bytes.count >= at + 44, Array(bytes[at..<at + 4]) == Array("TZif".utf8), bytes[at + 4] >= UInt8(ascii: "2") else {
                return nil
            }
            let counts = (0..<6).map { number(at + 20 + 4 * $0, 4) }
            return counts.allSatisfy { (0..<100_000).contains($0) } ? counts : nil
        }
        guard let old = header(0) else { return nil }
        // The first part has times of four bytes and is for old programs.
        let second = 44 + old[3] * 5 + old[4] * 6 + old[5] + old[2] * 8 + old[1] + old[0]
        guard let counts = header(second) else { return nil }
        let (leaps, count, types, characters) = (counts[2], counts[3], counts[4], counts[5])
        let times = second + 44
        let indices = times + 8 * count
        let offsets = indices + count
        let footer = offsets + 6 * types + characters + 12 * leaps + counts[1] + counts[0]
        // A zone with leap seconds counts others than UTC.
        guard types > 0, leaps == 0, footer < bytes.count else { return nil }
        func offset(_ type: Int) -> Int { number(offsets + 6 * type, 4) }
        first = offset(0)
        for index in 0..<count {
            guard bytes[indices + index] < types else { return nil }
            changes.append(Change(at: number(times + 8 * index, 8), offset: offset(Int(bytes[indices + index]))))
        }
        guard zip(changes, changes.dropFirst()).allSatisfy({ $0.at < $1.at }), changes.allSatisfy({ abs($0.offset) < 200_000 }) else {
            return nil
        }
        let text = bytes[footer...].split(separator: UInt8(ascii: "\n")).first.map { String(decoding: $0, as: UTF8.self) }
        if let text, !text.isEmpty {
            guard let rule = YearlyRule(text) else { return nil }
            later = rule
        }
    }

    /// By how many seconds the zone's clock is ahead of UTC, so many seconds after 1970-01-01T00:00:00Z.
    package func offset(_ second: Int) -> Int {
        var low = 0
        var high = changes.count
        while low < high {
            let middle = (low + high) / 2
            if changes[middle].at <= second { low = middle + 1 } else { high = middle }
        }
        if low == changes.count, let later { return later.offset(second) }
        return low == 0 ? first : changes[low - 1].offset
    }
}

/// What a zone does every year, as the variable TZ has it: `CET-1CEST,M3.5.0,M10.5.0/3`.
private struct YearlyRule: Sendable {
    private enum Date: Sendable {
        /// The so-manieth of a weekday (0 is Sunday) in a month; 5 is the last.
        case weekday(month: Int, week: Int, day: Int)
        /// Days of the year from 1, 29 February never among them.
        case julian(Int)
        /// Days of the year from 0.
        case day(Int)
    }

    private var standard = 0
    private var summer: (offset: Int, from: (Date, Int), to: (Date, Int))?

    init?(_ text: String) {
        var rest = Substring(text)
        func name() -> Bool {
            if rest.first == "<" {
                guard let end = rest.firstIndex(of: ">") else { return false }
                rest = rest[rest.index(after: end)...]
                return true
            }
            let letters = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(letters.count)
            return letters.count >= 3
        }
        func digits() -> Int? {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(digits.count)
            return digits.count <= 4 ? Int(digits) : nil
        }
        /// Hours, minutes and seconds.
        func time() -> Int? {
            let sign = rest.first == "-" ? -1 : 1
            if rest.first == "-" || rest.first == "+" { rest = rest.dropFirst() }
            guard let hours = digits(), hours <= 167 else { return nil }
            var seconds = hours * 3600
            for unit in [60, 1] where rest.first == ":" {
                rest = rest.dropFirst()
                guard let part = digits(), part < 60 else { return nil }
                seconds += part * unit
            }
            return sign * seconds
        }
        func date() -> (Date, Int)? {
            guard rest.first == "," else { return nil }
            rest = rest.dropFirst()
            let date: Date
            if rest.first == "M" {
                var numbers: [Int] = []
                for _ in 0..<3 {
                    rest = rest.dropFirst()
                    guard let number = digits() else { return nil }
                    numbers.append(number)
                }
                guard (1...12).contains(numbers[0]), (1...5).contains(numbers[1]), numbers[2] < 7 else { return nil }
                date = .weekday(month: numbers[0], week: numbers[1], day: numbers[2])
            } else if rest.first == "J" {
                rest = rest.dropFirst()
                guard let day = digits(), (1...365).contains(day) else { return nil }
                date = .julian(day)
            } else {
                guard let day = digits(), day <= 365 else { return nil }
                date = .day(day)
            }
            guard rest.first == "/" else { return (date, 7200) }
            rest = rest.dropFirst()
            return time().map { (date, $0) }
        }
        // Written as what is to be added to get UTC.
        guard name(), let offset = time() else { return nil }
        standard = -offset
        if rest.isEmpty { return }
        guard name() else { return nil }
        var other = standard + 3600
        if rest.first != "," {
            guard let offset = time() else { return nil }
            other = -offset
        }
        guard let from = date(), let to = date(), rest.isEmpty else { return nil }
        summer = (other, from, to)
    }

    func offset(_ second: Int) -> Int {
        guard let summer else { return standard }
        let local = second + standard
        let day = CalendarDay(number: local >= 0 ? local / 86_400 : (local - 86_399) / 86_400)
        let january = CalendarDay(number: day.number).startOfYear
        let begin = Self.second(summer.from, january) - standard
        let end = Self.second(summer.to, january) - summer.offset
        let isSummer = begin < end ? (begin..<end).contains(second) : !(end..<begin).contains(second)
        return isSummer ? summer.offset : standard
    }

    /// On the clock of then, as if it were UTC's.
    private static func second(_ moment: (Date, Int), _ january: CalendarDay) -> Int {
        let isLeap = january.advanced(by: 366).startOfYear.number - january.number == 366
        let day: Int
        switch moment.0 {
        case .day(let number): day = january.number + number
        case .julian(let number): day = january.number + number - 1 + (isLeap && number > 59 ? 1 : 0)
        case .weekday(let month, let week, let weekday):
            let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
            let first = january.advanced(by: lengths[..<(month - 1)].reduce(0, +))
            // Its Sunday is 0, ours 6.
            let delay = (weekday + 6 - first.weekday + 7) % 7
            let last = first.number + lengths[month - 1] - 1
            var number = first.number + delay + 7 * (week - 1)
            while number > last { number -= 7 }
            day = number
        }
        return day * 86_400 + moment.1
    }
}
