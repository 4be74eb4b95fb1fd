import ArgumentParser
import Glibc
package import TermspanBus

/// `termspan erase`
struct Erase: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "erase", abstract: "Erase what is held about users, for good.",
            discussion: """
                All of their history goes: sessions, intervals, bursts, and the names of applications that nobody else's time is under. \
                Whether they are tracked stays as it is, and sessions that are open go on; their time until now is Unknown. With --forget \
                the users themselves go too: they are untracked, what was decided about them is erased, and the Do Not Track list keeps \
                their login and UID. It needs the right org.termspan1.erase, and can't be undone.
                """)
    }

    @Argument(help: "Who: logins, or UIDs as uid:1001; all who have or had them.", completion: Completions.users)
    var users: [String]

    @Option(help: "Why; kept with the receipt.")
    var reason: String = ""

    @Flag(help: "Erase the users too, and keep them from being tracked.")
    var forget = false

    @Flag(name: .customLong("dry-run"), help: "Show what would be erased, and erase nothing.")
    var isRehearsal = false

    @Flag(help: "Don't ask.")
    var yes = false

    @OptionGroup var output: FormatOptions

    func validate() throws {
        if !isRehearsal, reason.allSatisfy(\.isWhitespace) {
            throw ValidationError("--reason must not be empty: it is kept with the receipt.")
        }
    }

    func execute() throws {
        guard isRehearsal || yes || isatty(STDIN_FILENO) == 1 else {
            throw CommandError(
                .usage, "What is erased is to be confirmed, and there is no terminal.",
                remedy: "See what it is with --dry-run, then add --yes.")
        }
        let client = try Client.connect()
        if !isRehearsal, !yes {
            let held = try client.erase(users, forget: forget, rehearse: true, reason: "")
            if held.rows.isEmpty, let error = held.unknownError { throw error }
            let unknown = held.unknown.map { Printable.text("\($0): nothing is held.") }
            let question = forget ? "Erase all this and the users for good?" : "Erase all this for good?"
            guard Confirmation.ask(question, after: held.lines(isRehearsal: true) + unknown) else {
                throw CommandError(.failure, "Nothing was erased.")
            }
        }
        let erased = try client.erase(users, forget: forget, rehearse: isRehearsal, reason: reason)
        switch output.format {
        case .table: Output.lines(erased.lines(isRehearsal: isRehearsal))
        case .json, .csv: Output.write(Records.text(erased.rows.map(\.json), keys: ErasureAnswer.Row.keys, output.format))
        }
        for line in erased.warnings { Output.error(line) }
        if let error = erased.unknownError ?? erased.incompleteError { throw error }
    }
}

/// What `Erase` of org.termspan1.Manager answers.
package struct ErasureAnswer: Hashable, Sendable {
    package struct Row: Hashable, Sendable {
        package var user: String
        package var userID: UInt32?
        /// What is held, or was: name and number, in the order in which they are shown.
        package var counts: [Count]
        package var sessionsGoingOn: UInt64
        /// Empty where nothing was erased.
        package var receipt: String
        package var digest: String
        /// Whether the report service, which may have read what was erased, has ended since; nil where nothing was erased.
        package var haveReportsEnded: Bool?
        /// Whether the Do Not Track list has the SID of who was forgotten, if there is one; nil where none was asked for.
        package var isSIDKnown: Bool?

        package struct Count: Hashable, Sendable {
            package var name: String
            package var number: UInt64
        }

        static let countNames = ["sessions", "focus-intervals", "input-bursts", "unknown-intervals", "state-changes", "facts"]

        package static let keys =
            ["user", "uid"] + countNames.map(ErasureAnswer.Row.key) + [
                "sessions_going_on", "receipt", "sha256", "reports_ended", "sid_known",
            ]

        private static func key(_ name: String) -> String { String(name.map { $0 == "-" ? "_" : $0 }) }

        package init(_ values: [String: BusValue]) {
            user = values["user"]?.string ?? ""
            userID = values["uid"]?.unsigned.flatMap { UInt32(exactly: $0) }
            counts = Self.countNames.map { Count(name: $0, number: values[$0]?.unsigned ?? 0) }
            sessionsGoingOn = values["sessions-going-on"]?.unsigned ?? 0
            receipt = values["receipt"]?.string ?? ""
            digest = values["sha256"]?.string ?? ""
            haveReportsEnded = values["reports-ended"]?.bool
            isSIDKnown = values["sid-known"]?.bool
        }

        package var json: JSONValue {
            var members: [JSONValue.Member] = [.init("user", .string(user)), .init("uid", userID.map { .unsigned(UInt64($0)) } ?? .null)]
            for count in counts { members.append(.init(Self.key(count.name), .unsigned(count.number))) }
            members.append(.init("sessions_going_on", .unsigned(sessionsGoingOn)))
            members.append(.init("receipt", receipt.isEmpty ? .null : .string(receipt)))
            members.append(.init("sha256", digest.isEmpty ? .null : .string(digest)))
            members.append(.init("reports_ended", haveReportsEnded.map { .bool($0) } ?? .null))
            members.append(.init("sid_known", isSIDKnown.map { .bool($0) } ?? .null))
            return .object(members)
        }

        func lines(isRehearsal: Bool) -> [String] {
            let numbers = counts.map { count in
                let words = String(count.name.map { $0 == "-" ? " " : $0 })
                return "\(count.number) \(count.number == 1 ? String(words.dropLast()) : words)"
            }.joined(separator: ", ")
            let who = user + (userID.map { " (uid \($0))" } ?? "")
            var lines = ["\(who): \(numbers) \(isRehearsal ? "are held" : "erased")."]
            if sessionsGoingOn > 0 {
                let (number, verb) = (sessionsGoingOn, sessionsGoingOn == 1 ? "goes" : "go")
                lines.append("  \(number) of the sessions \(verb) on, with nothing held from before\(isRehearsal ? "" : " now").")
            }
            if !receipt.isEmpty { lines += ["  Receipt: \(receipt)", "  SHA-256: \(digest)"] }
            if isSIDKnown == false { lines.append("  By which SID, if any, no directory said: it is not on the Do Not Track list.") }
            return lines.map { Printable.text($0) }
        }
    }

    package var rows: [Row]
    /// Names that nobody has or had.
    package var unknown: [String]
    /// Files that can hold the same: an erasure removes them, and names those that it could not remove.
    package var setAside: [String]
    /// Whether bytes are left in the store's files for now.
    package var isLeft: Bool

    package init(rows: [[String: BusValue]], unknown: [String], setAside: [String], isLeft: Bool) {
        self.isLeft = isLeft
        self.rows = rows.map { Row($0) }
        self.unknown = unknown
        self.setAside = setAside
    }

    package func lines(isRehearsal: Bool) -> [String] { rows.flatMap { $0.lines(isRehearsal: isRehearsal) } }

    package var warnings: [String] {
        let isErased = rows.contains { !$0.receipt.isEmpty }
        let files = setAside.map {
            Printable.text(
                isErased
                    ? "termspan: The damaged store \($0) could not be removed and may hold the same still: delete it."
                    : "termspan: The damaged store \($0) may hold the same: it goes with all that is in it when anybody is erased.")
        }
        return files
            + (isLeft
                ? ["termspan: Bytes of it are left in the store's files until nobody reads them and there is room to write them anew."]
                : [])
    }

    /// What is erased, and not all that goes with it done: somebody has to do something about it.
    package var incompleteError: CommandError? {
        var (problems, remedies): ([String], [String]) = ([], [])
        let strangers = rows.filter { $0.isSIDKnown == false }.map(\.user)
        if !strangers.isEmpty {
            problems.append("no directory said in time which SID \(strangers.joined(separator: ", ")) had, if any")
            remedies.append("once one does, termspan donottrack add sid:S-1-...")
        }
        if rows.contains(where: { $0.haveReportsEnded == false }) {
            problems.append("the report service did not end in time and may have in memory what it read before")
            remedies.append("sudo systemctl kill --signal=KILL termspan-reportd.service")
        }
        return problems.isEmpty
            ? nil
            : CommandError(
                .failure, "All of it is erased, but \(problems.joined(separator: "; ")).", remedy: remedies.joined(separator: "; "))
    }

    package var unknownError: CommandError? {
        unknown.isEmpty
            ? nil
            : CommandError(
                .notFound, "Nothing is held of \(unknown.joined(separator: ", ")).", remedy: "See: termspan session history --user NAME")
    }
}
