import Glibc
import TermspanAccounting
import TermspanBus
import TermspanCore
import TermspanStore
import TermspanSystem

// The arguments of org.termspan1.Manager's methods, which anybody may have sent: read and checked before anything is done with them.

/// SetTracking.
@MainActor
struct TrackingCall {
    var names: [String]
    var isTracked: Bool
    var reason: String
    /// Who answers for it; of no meaning where nobody is tracked by it.
    var responsible: String

    fileprivate static let maximumUsers = 10_000
    /// More than any login has (LOGIN_NAME_MAX).
    private static let maximumName = 256

    /// - Parameter usual: who answers for it where nobody is named.
    init(_ message: BusMessage, responsible usual: String) throws(BusError) {
        names = try Self.readNames(message)
        isTracked = try message.read(Bool.self)
        (reason, responsible) = try message.readGrounds(raise: isTracked, usual)
    }

    fileprivate static func readNames(_ message: BusMessage) throws(BusError) -> [String] {
        let names = try message.readStrings()
        guard !names.isEmpty, names.count <= maximumUsers, names.allSatisfy({ $0.utf8.count <= maximumName }) else {
            throw .invalidArguments("Between 1 and \(maximumUsers) users, please, with names of at most \(maximumName) bytes.")
        }
        return names
    }
}

/// Erase.
struct ErasureCall: Sendable {
    var names: [UserName] = []
    /// Their identifiers and decisions too.
    var alsoUsers: Bool
    /// Only say what would be erased.
    var isRehearsal: Bool
    var reason: String

    private static let maximumUsers = 1_000

    @MainActor
    init(_ message: BusMessage) throws(BusError) {
        let texts = try message.readStrings()
        alsoUsers = try message.read(Bool.self)
        isRehearsal = try message.read(Bool.self)
        reason = try message.readReason()
        guard !texts.isEmpty, texts.count <= Self.maximumUsers else {
            throw .invalidArguments("Between 1 and \(Self.maximumUsers) users, please.")
        }
        guard isRehearsal || !GivenText.saysNothing(reason) else { throw .invalidArguments("An erasure needs a reason.") }
        var seen: Set<UserName> = []
        for text in texts {
            guard let name = UserName(text) else { throw .invalidArguments("'\(text.prefix(80))' names nobody; write anna or uid:1001.") }
            if seen.insert(name).inserted { names.append(name) }
        }
    }
}

/// SetDoNotTrack.
@MainActor
struct DoNotTrackCall {
    var subjects: [DoNotTrackList.Subject] = []
    var isListed: Bool
    var reason: String
    /// Who answers for taking entries off.
    var responsible: String

    /// - Parameter usual: who answers for it where nobody is named.
    init(_ message: BusMessage, responsible usual: String) throws(BusError) {
        let entries = try message.readStrings()
        isListed = try message.read(Bool.self)
        (reason, responsible) = try message.readGrounds(raise: !isListed, usual)
        guard !entries.isEmpty, entries.count <= TrackingCall.maximumUsers else {
            throw .invalidArguments("Between 1 and \(TrackingCall.maximumUsers) entries, please.")
        }
        var seen: Set<DoNotTrackList.Subject> = []
        for entry in entries {
            guard let subject = DoNotTrackList.Subject(entry) else {
                throw .invalidArguments(
                    "'\(entry.prefix(80))' names nobody; write anna, anna@example.com, EXAMPLE\\anna, anna@*, uid:1001 or sid:S-1-5-21-1-2-3-1104."
                )
            }
            if seen.insert(subject).inserted { subjects.append(subject) }
        }
    }
}

extension BusError {
    /// What is wrong with grounds on which more is to be recorded; nil: nothing.
    ///
    /// - Parameter what: why it takes any, where that is not plain.
    static func missingGrounds(_ reason: String, _ responsible: String, for what: String = "") -> BusError? {
        if GivenText.saysNothing(reason) { return .invalidArguments("\(what)To have more recorded takes a reason.") }
        guard GivenText.saysNothing(responsible) else { return nil }
        return .invalidArguments(
            "\(what)Somebody has to answer for it: name them with --responsible, or for all by 'responsible' in termspan.yaml.")
    }
}

extension BusMessage {
    @MainActor
    fileprivate func readReason() throws(BusError) -> String {
        let reason: String = try read()
        guard reason.utf8.count <= 1_000, GivenText.isPlain(reason) else {
            throw .invalidArguments("A reason has at most 1000 bytes, and neither control characters nor others that are not seen.")
        }
        return reason
    }

    /// Why something is decided, and who answers for it. Whoever has more collected says both, since both are told to those whom it is about.
    ///
    /// - Parameter usual: who answers for it where nobody is named.
    @MainActor
    fileprivate func readGrounds(raise: Bool, _ usual: String) throws(BusError) -> (reason: String, responsible: String) {
        let (reason, responsible) = try readOptionalGrounds(usual)
        guard raise else { return (reason, "") }
        if let problem = BusError.missingGrounds(reason, responsible) { throw problem }
        return (reason, responsible)
    }

    /// Likewise, where it is seen later whether it takes both.
    @MainActor
    fileprivate func readOptionalGrounds(_ usual: String) throws(BusError) -> (reason: String, responsible: String) {
        let reason = try readReason()
        let named = try read(String.self)
        guard named.count <= 200, named.utf8.count <= 1_000, GivenText.isPlain(named) else {
            throw .invalidArguments(
                "Who answers for it has at most 200 characters, none of them a control character or one that is not seen.")
        }
        return (reason, named.allSatisfy(\.isWhitespace) ? usual : named)
    }
}

/// SetPolicy.
@MainActor
struct PolicyCall {
    var key: String
    var value: String
    var reason: String
    /// Who answers for it; of no meaning where new users are not tracked.
    var responsible: String

    /// - Parameter usual: who answers for it where nobody is named.
    init(_ message: BusMessage, responsible usual: String) throws(BusError) {
        key = try message.read(String.self)
        guard key == "new-users" else { throw .invalidArguments("'\(key.prefix(40))' is no setting; there is new-users.") }
        guard let value = try message.readValue().string, ["tracked", "untracked"].contains(value) else {
            throw .invalidArguments("new-users is tracked or untracked.")
        }
        self.value = value
        (reason, responsible) = try message.readGrounds(raise: value == "tracked", usual)
    }
}

/// SetRoles.
@MainActor
struct RolesCall {
    var grants: [RoleGrant] = []
    var isGranted: Bool
    var reason: String

    private static let most = 1000

    init(_ message: BusMessage) throws(BusError) {
        var grants: [RoleGrant] = []
        try message.readArray(of: "(sss)") { message throws(BusError) in
            let (name, group, views) = try message.readStructure("sss") { message throws(BusError) in
                (try message.read(String.self), try message.read(String.self), try message.read(String.self))
            }
            guard let role = Role(rawValue: name) else {
                let names = Role.allCases.map(\.rawValue).joined(separator: ", ")
                throw .invalidArguments("'\(name.prefix(40))' is no role; there are \(names).")
            }
            guard let grant = RoleGrant(role, group: group, views: views) else {
                throw .invalidArguments("A role takes the name of a group, and a viewer's, and no other, that of a group to see.")
            }
            grants.append(grant)
        }
        guard (1...Self.most).contains(grants.count) else { throw .invalidArguments("Between 1 and \(Self.most) roles, please.") }
        self.grants = grants
        isGranted = try message.read(Bool.self)
        reason = try message.readReason()
    }
}

/// SetGroup.
@MainActor
struct GroupCall {
    var group: OwnGroup
    var names: [String]
    var isMember: Bool
    var reason: String
    /// Who answers for it where it has more recorded of somebody.
    var responsible: String

    /// - Parameter usual: who answers for it where nobody is named.
    init(_ message: BusMessage, responsible usual: String) throws(BusError) {
        guard let group = OwnGroup(name: try message.read(String.self)) else {
            throw .invalidArguments("A group's name has between 1 and 64 bytes and neither colons, commas nor control characters.")
        }
        self.group = group
        names = try TrackingCall.readNames(message)
        isMember = try message.read(Bool.self)
        (reason, responsible) = try message.readOptionalGrounds(usual)
    }
}

/// SetAggregates. What is nil stays.
@MainActor
struct AggregatesCall {
    /// In the order in which they are considered.
    var groups: [String]?
    var minimum: UInt64?
    var reason: String

    init(_ message: BusMessage) throws(BusError) {
        for (key, value) in try message.readProperties() {
            switch key {
            case "groups":
                guard value.signature == "as", let names = value.strings, names.count <= AggregateTable.mostGroups,
                    Set(names).count == names.count, names.allSatisfy({ RoleGrant.isName($0) })
                else { throw .invalidArguments("The groups are at most \(AggregateTable.mostGroups) names of groups, each once.") }
                groups = names
            case "minimum":
                guard let number = value.unsigned, AggregateTable.minima.contains(number) else {
                    let (least, most) = (AggregateTable.minima.lowerBound, AggregateTable.minima.upperBound)
                    throw .invalidArguments("The minimum is between \(least) and \(most) users.")
                }
                minimum = number
            default: throw .invalidArguments("'\(key.prefix(40))' is no setting of aggregates; there are groups and minimum.")
            }
        }
        reason = try message.readReason()
    }
}

/// SetClassification.
@MainActor
struct ClassificationCall {
    /// As the file has them; empty: none but those that are shipped.
    var text: String
    var rules: Int
    var reason: String

    init(_ message: BusMessage) throws(BusError) {
        text = try message.read(String.self)
        do {
            rules = try ClassificationRules(text).rules.count
        } catch {
            throw .invalidArguments("The rules are wrong in \(error).")
        }
        // Without a rule it is as if there were no file.
        if rules == 0 { text = "" }
        reason = try message.readReason()
    }
}

/// Import.
@MainActor
struct ImportCall {
    /// What is to be imported, as ImportRecord has it.
    var records: ReceivedFile
    var format = ""
    var digest = ""
    var isRehearsal = false
    var reason = ""
    var responsible: String

    /// - Parameter usual: who answers for it where nobody is named.
    init(_ message: BusMessage, responsible usual: String) throws(BusError) {
        responsible = usual
        let descriptor = try message.readUnixFD()
        do {
            records = try ReceivedFile(copyOf: descriptor, limit: ImportLimit.bytes)
        } catch {
            throw .invalidArguments("The records come in a sealed file in memory of at most \(ImportLimit.bytes >> 20) MiB: \(error)")
        }
        for (key, value) in try message.readProperties() {
            func text(_ limit: Int) throws(BusError) -> String {
                guard let text = value.string, text.utf8.count <= limit,
                    !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
                else { throw .invalidArguments("'\(key)' has at most \(limit) bytes and no control characters.") }
                return text
            }
            switch key {
            case "format": format = try text(32)
            case "sha256":
                digest = try text(64)
                guard digest.utf8.count == 64, digest.utf8.allSatisfy({ "0123456789abcdef".utf8.contains($0) }) else {
                    throw .invalidArguments("A SHA-256 has 64 hexadecimal digits.")
                }
            case "reason": reason = try text(1000)
            case "responsible":
                let named = try text(1000)
                if !named.allSatisfy(\.isWhitespace) { responsible = named }
            case "rehearse":
                guard let flag = value.bool else { throw .invalidArguments("'rehearse' is true or false.") }
                isRehearsal = flag
            default: throw .invalidArguments("There is no '\(key.prefix(40))' of an import.")
            }
        }
        guard ["activitywatch", "jsonl", "csv"].contains(format), !digest.isEmpty else {
            throw .invalidArguments("An import has the format activitywatch, jsonl or csv, and the file's SHA-256.")
        }
        if !isRehearsal, let problem = BusError.missingGrounds(reason, responsible) { throw problem }
    }
}

/// A file in memory that a caller sent, and that nobody can change any more.
final class ReceivedFile: Sendable {
    let descriptor: OwnedDescriptor

    /// - Parameter descriptor: stays the message's.
    init(copyOf descriptor: Int32, limit: Int) throws(SystemError) {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw SystemError(code: errno, operation: "dup") }
        self.descriptor = OwnedDescriptor(copy)
        guard try self.descriptor.seals().isSuperset(of: [.write, .shrink, .grow]) else {
            throw SystemError(code: EPERM, operation: "F_GET_SEALS")
        }
        guard try self.descriptor.status().size <= limit else { throw SystemError(code: EFBIG, operation: "fstat") }
    }

    /// The bytes from a place on; none at the end.
    func read(at place: Int) throws(SystemError) -> [UInt8] {
        var part = [UInt8](repeating: 0, count: 1 << 16)
        let count = pread(descriptor.raw, &part, part.count, place)
        guard count >= 0 else { throw SystemError(code: errno, operation: "pread") }
        return Array(part[..<count])
    }
}

/// RevealPseudonym.
@MainActor
struct RevealCall {
    var pseudonym: String
    var reason: String

    init(_ message: BusMessage) throws(BusError) {
        pseudonym = try message.read(String.self)
        reason = try message.readReason()
        guard Pseudonyms.month(of: pseudonym) != nil else {
            throw .invalidArguments("'\(pseudonym.prefix(40))' is no user's pseudonym; one is like u202610-k7f3q2zxam.")
        }
        guard !GivenText.saysNothing(reason) else { throw .invalidArguments("To say whose a pseudonym is takes a reason.") }
    }
}

/// RecordRead.
struct ReadCall: Hashable, Sendable {
    /// Who reads.
    var reader: UInt32
    /// What is asked for.
    var kind: AuditedRead
    /// Whose; empty is everybody's.
    var filter = SessionFilter()

    private static let minute: Int64 = 60_000_000_000

    private static func roundedUp(_ nanoseconds: Int64) -> Int64 {
        let (sum, overflow) = nanoseconds.addingReportingOverflow(minute - 1)
        return overflow ? .max : sum - max(0, sum) % minute
    }

    @MainActor
    init(_ message: BusMessage) throws(BusError) {
        // A viewer's users may be many.
        message.valueLimit = 1_000_000
        let values = try message.readProperties()
        guard let reader = values["reader"]?.unsigned.flatMap({ UInt32(exactly: $0) }),
            let kind = values["kind"]?.string.flatMap({ AuditedRead(rawValue: $0) })
        else { throw .invalidArguments("Say who reads, and which kind of answer.") }
        self.reader = reader
        self.kind = kind
        // Whatever of theirs is looked at.
        filter.imported = nil
        for (key, value) in values {
            switch key {
            case "reader", "kind": continue
            case "users": filter.identities = (value.strings).map { Set($0.compactMap { UserIdentity($0) }) }
            case "user": filter.login = value.string
            case "uid": filter.uid = value.unsigned.flatMap { UInt32(exactly: $0) }
            case "session": filter.id = value.unsigned.flatMap { UInt32(exactly: $0) }.map { SessionID(rawValue: $0) }
            case "session-uuid": filter.session = value.string.flatMap { UUIDv7($0) }
            // To the minute, outwards, so that the same question a moment later is the same.
            case "since": filter.since = value.signed.map { WallInstant(nanoseconds: $0 - max(0, $0) % Self.minute) }
            case "until": filter.until = value.signed.map { WallInstant(nanoseconds: Self.roundedUp($0)) }
            default: throw .invalidArguments("There is no filter '\(key.prefix(40))'.")
            }
        }
        guard (filter.login?.utf8.count ?? 0) <= 256 else { throw .invalidArguments("A login has at most 256 bytes.") }
    }
}

/// RecordBackup.
@MainActor
struct BackupCall {
    /// Fit for an entry, which is one line.
    var file: String

    private static let most = 1000

    init(_ message: BusMessage) throws(BusError) {
        let path = try message.read(String.self)
        guard path.utf8.first == UInt8(ascii: "/") else { throw .invalidArguments("Say where the copy goes, from the root on.") }
        let unfit: Set<Unicode.GeneralCategory> = [.control, .format, .lineSeparator, .paragraphSeparator]
        let fit = path.unicodeScalars.prefix(Self.most).map { unfit.contains($0.properties.generalCategory) ? "?" : $0 }
        file = String(String.UnicodeScalarView(fit))
    }
}

/// CollectActivity. What is nil is not asked for.
@MainActor
struct ActivityCall {
    var uid: UInt64?
    var session: String?

    init(_ message: BusMessage) throws(BusError) {
        let filter = try message.readProperties()
        uid = filter["uid"]?.unsigned
        session = filter["session-uuid"]?.string
    }
}
