// What is imported, as the command hands it over: records of a fixed form, so that nobody's file is parsed as root. Docs/adr/0029-import.md.

/// One record of an import.
package enum ImportRecord: Hashable, Sendable {
    /// Whose what follows is, and in which session.
    case session(Session)
    /// A name that activities refer to by how many came before it.
    case application(executable: String?, windowClass: String?)
    case activity(Activity)
    /// There was input from the first moment to the last; in nanoseconds.
    case input(start: WallInstant, length: UInt64)
    /// The session lasted from one moment to another, whatever else is known.
    case presence(start: WallInstant, length: UInt64)
    /// Nothing follows: how many records there were.
    case end(records: UInt64)

    package struct Session: Hashable, Sendable {
        package var uuid: UUIDv7
        package var number: UInt32
        package var login: String
        /// Where it was measured.
        package var computer: String

        package init(uuid: UUIDv7, number: UInt32, login: String, computer: String) {
            self.uuid = uuid
            self.number = number
            self.login = login
            self.computer = computer
        }
    }

    package struct Activity: Hashable, Sendable {
        package var start: WallInstant
        /// In nanoseconds.
        package var length: UInt64
        /// Nil: no window had the focus.
        package var application: UInt32?
        package var switches: UInt32
        /// As the file has it; nil: it follows from the input.
        package var told: ToldTimes?

        package init(start: WallInstant, length: UInt64, application: UInt32?, switches: UInt32 = 0, told: ToldTimes? = nil) {
            self.start = start
            self.length = length
            self.application = application
            self.switches = switches
            self.told = told
        }
    }
}

/// How much of an activity counted as what, as somebody else told it. In nanoseconds.
package struct ToldTimes: Hashable, Sendable {
    package var active: UInt64
    package var passive: UInt64
    package var inactive: UInt64

    package init(active: UInt64, passive: UInt64, inactive: UInt64) {
        self.active = active
        self.passive = passive
        self.inactive = inactive
    }

    /// Nil where it is more than there can be.
    package var sum: UInt64? {
        let (first, isBeyond) = active.addingReportingOverflow(passive)
        let (second, isFarther) = first.addingReportingOverflow(inactive)
        return isBeyond || isFarther ? nil : second
    }
}

/// How much one import may have.
package enum ImportLimit {
    /// Bytes that are handed over.
    package static let bytes = 256 << 20
    /// Activities and inputs.
    package static let rows = 2_000_000
    package static let sessions = 100_000
    package static let users = 1_000
    package static let applications = 50_000
    /// Of a login.
    package static let login = 256
    /// Of a computer's name (HOST_NAME_MAX).
    package static let computer = 255
    /// Of a path (PATH_MAX).
    package static let executable = 4096
    package static let windowClass = 1024
    /// A year, in nanoseconds: nothing in front lasts longer.
    package static let length: UInt64 = 366 * 86_400 * 1_000_000_000
    /// How far ahead of this computer's clock another one's may be.
    package static let ahead: Duration = .seconds(86_400)
}

/// What is wrong with records that were handed over.
package struct ImportFormatError: Error, Equatable, CustomStringConvertible {
    /// How many records came before.
    package var record: UInt64
    package var reason: String

    package var description: String { "record \(record): \(reason)" }
}

// A record is the number of its bytes in 2, its kind in 1, and its content: numbers with the least byte first, texts with the number of their
// bytes in 2 before them.

extension ImportRecord {
    private enum Kind: UInt8 { case session = 1, application, activity, input, presence, end }

    /// Appends the record's bytes.
    package func append(to bytes: inout [UInt8]) {
        let start = bytes.count
        func number<Number: FixedWidthInteger & UnsignedInteger>(_ value: Number) {
            for shift in stride(from: 0, to: Number.bitWidth, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> Number(shift))) }
        }
        func text(_ value: String?) {
            let content = Array((value ?? "").utf8.prefix(Int(UInt16.max)))
            number(UInt16(content.count))
            bytes += content
        }
        func moment(_ value: WallInstant) { number(UInt64(bitPattern: value.nanoseconds)) }
        func begin(_ kind: Kind) {
            number(UInt16(0))
            bytes.append(kind.rawValue)
        }
        switch self {
        case .session(let session):
            begin(.session)
            bytes += session.uuid.bytes
            number(session.number)
            text(session.login)
            text(session.computer)
        case .application(let executable, let windowClass):
            begin(.application)
            text(executable)
            text(windowClass)
        case .activity(let activity):
            begin(.activity)
            moment(activity.start)
            number(activity.length)
            number(activity.application ?? .max)
            number(activity.switches)
            if let told = activity.told {
                number(told.active)
                number(told.passive)
                number(told.inactive)
            }
        case .input(let start, let length):
            begin(.input)
            moment(start)
            number(length)
        case .presence(let start, let length):
            begin(.presence)
            moment(start)
            number(length)
        case .end(let records):
            begin(.end)
            number(records)
        }
        let length = UInt16(clamping: bytes.count - start - 3)
        bytes[start] = UInt8(truncatingIfNeeded: length)
        bytes[start + 1] = UInt8(truncatingIfNeeded: length >> 8)
    }

    /// Reads one record's content; nil if it is none.
    fileprivate init?(kind: UInt8, _ content: ArraySlice<UInt8>) {
        var reader = Reader(bytes: content)
        switch Kind(rawValue: kind) {
        case .session:
            guard let uuid = reader.take(16).flatMap({ UUIDv7(bytes: $0) }), let number: UInt32 = reader.number(),
                let login = reader.text(ImportLimit.login), let computer = reader.text(ImportLimit.computer), !login.isEmpty,
                !computer.isEmpty,
                Self.isLine(login), Self.isLine(computer)
            else { return nil }
            self = .session(Session(uuid: uuid, number: number, login: login, computer: computer))
        case .application:
            guard let executable = reader.text(ImportLimit.executable), let windowClass = reader.text(ImportLimit.windowClass) else {
                return nil
            }
            self = .application(executable: executable.isEmpty ? nil : executable, windowClass: windowClass.isEmpty ? nil : windowClass)
        case .activity:
            guard let start = reader.moment(), let length = reader.length(), length > 0, let application: UInt32 = reader.number(),
                let switches: UInt32 = reader.number()
            else { return nil }
            var told: ToldTimes?
            if !reader.isAtEnd {
                guard let active: UInt64 = reader.number(), let passive: UInt64 = reader.number(), let inactive: UInt64 = reader.number()
                else {
                    return nil
                }
                let times = ToldTimes(active: active, passive: passive, inactive: inactive)
                guard let sum = times.sum, sum <= length else { return nil }
                told = times
            }
            self = .activity(
                Activity(
                    start: start, length: length, application: application == .max ? nil : application, switches: switches, told: told))
        case .input:
            guard let start = reader.moment(), let length = reader.length() else { return nil }
            self = .input(start: start, length: length)
        case .presence:
            guard let start = reader.moment(), let length = reader.length() else { return nil }
            self = .presence(start: start, length: length)
        case .end:
            guard let records: UInt64 = reader.number() else { return nil }
            self = .end(records: records)
        case nil: return nil
        }
        guard reader.isAtEnd else { return nil }
    }

    private static func isLine(_ text: String) -> Bool {
        !text.unicodeScalars.contains { $0.properties.generalCategory == .control || $0.properties.generalCategory == .lineSeparator }
    }

    private struct Reader {
        var bytes: ArraySlice<UInt8>

        var isAtEnd: Bool { bytes.isEmpty }

        mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
            guard bytes.count >= count else { return nil }
            defer { bytes = bytes.dropFirst(count) }
            return bytes.prefix(count)
        }

        mutating func number<Number: FixedWidthInteger & UnsignedInteger>() -> Number? {
            take(Number.bitWidth / 8)?.reversed().reduce(0) { $0 << 8 | Number($1) }
        }

        /// From 1970 on.
        mutating func moment() -> WallInstant? {
            guard let value: UInt64 = number(), let nanoseconds = Int64(exactly: value), nanoseconds <= .max - Int64(ImportLimit.length)
            else {
                return nil
            }
            return WallInstant(nanoseconds: nanoseconds)
        }

        mutating func length() -> UInt64? {
            guard let value: UInt64 = number(), value <= ImportLimit.length else { return nil }
            return value
        }

        mutating func text(_ limit: Int) -> String? {
            guard let count: UInt16 = number(), Int(count) <= limit, let content = take(Int(count)), !content.contains(0) else {
                return nil
            }
            return String(validating: content, as: UTF8.self)
        }
    }
}

/// Reads records from bytes that come in pieces. Bytes of any kind may come.
package struct ImportReader: Sendable {
    private var bytes: [UInt8] = []
    private var position = 0
    private(set) package var records: UInt64 = 0
    private var hasEnded = false

    package init() {}

    /// Adds what comes next.
    package mutating func append(_ part: some Collection<UInt8>) {
        bytes.removeFirst(position)
        position = 0
        bytes += part
    }

    /// The next record; nil where more bytes are to come.
    package mutating func next() throws(ImportFormatError) -> ImportRecord? {
        guard bytes.count - position >= 3 else {
            guard hasEnded, position < bytes.count else { return nil }
            throw error("something follows the end")
        }
        if hasEnded { throw error("something follows the end") }
        let length = Int(bytes[position]) | Int(bytes[position + 1]) << 8
        guard bytes.count - position - 3 >= length else { return nil }
        let content = bytes[(position + 3)..<(position + 3 + length)]
        guard let record = ImportRecord(kind: bytes[position + 2], content) else { throw error("it is none that there is") }
        position += 3 + length
        if case .end(let count) = record {
            guard count == records else { throw error("\(count) were to be here") }
            hasEnded = true
        } else {
            records += 1
        }
        return record
    }

    /// To be called when no more bytes come: what has no end is not whole.
    package func finish() throws(ImportFormatError) {
        if !hasEnded || position < bytes.count { throw error("it ends too early") }
    }

    private func error(_ reason: String) -> ImportFormatError { ImportFormatError(record: records, reason: reason) }
}
