import ArgumentParser
import Glibc
import TermspanBus

/// `termspan track`
struct Track: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "track", abstract: "Begin to record the activity of users.",
            discussion: """
                They can see that they are tracked, why and who answers for it, and what is held about them. It needs the right org.termspan1.manage-tracking; \
                \(TrackingOptions.discussion)
                """)
    }

    @OptionGroup var options: TrackingOptions

    @OptionGroup var grounds: GroundsOptions

    func execute() throws { try Tracking.set(options, true, grounds.grounds) }
}

/// `termspan untrack`
struct Untrack: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "untrack", abstract: "End the recording of users' activity at once.",
            discussion: """
                What was recorded stays. It needs the right org.termspan1.manage-tracking; \(TrackingOptions.discussion)
                """)
    }

    @OptionGroup var options: TrackingOptions

    @Option(help: "Why; kept with the policy.")
    var reason: String = ""

    func execute() throws { try Tracking.set(options, false, Grounds(reason: reason)) }
}

/// About whom `track` and `untrack` decide, and whether they ask before.
struct TrackingOptions: ParsableArguments {
    static let discussion = """
        to select users instead of naming them, and for --dry-run, org.termspan1.view-others, too. A selection is of those whom \
        `termspan users` lists.
        """

    @Argument(help: "Login names.", completion: Completions.users)
    var users: [String] = []

    @OptionGroup var selection: UserSelection

    @Flag(help: "Show what would become of each user, and change nothing.")
    var dryRun = false

    @Flag(help: "Don't ask; a selection needs it where there is no terminal.")
    var yes = false

    func validate() throws {
        if users.isEmpty, selection.isEmpty {
            throw ValidationError("Name users, or select them by --status, --group, --domain, --seen-since or --has-data.")
        }
        if !users.isEmpty, !selection.isEmpty { throw ValidationError("Either name users or select them by options.") }
    }
}

enum Tracking {
    /// What became of one user.
    package struct Outcome: Hashable, Sendable {
        package var user: String
        package var changed: Bool
        package var error: String
        /// Whether all seats are taken, so that the user waits for one.
        package var waits = false
    }

    /// Decides about those whom the options mean, in one call and transaction, once that is confirmed.
    @MainActor
    static func set(_ options: TrackingOptions, _ tracked: Bool, _ grounds: Grounds) throws {
        let consent = Self.consent(toNamed: options.users.count, yes: options.yes, isTerminal: isatty(STDIN_FILENO) == 1)
        if consent == .missing, !options.dryRun {
            throw CommandError(
                .usage, "Whom the options select is to be confirmed, and there is no terminal.",
                remedy: "See who it is with --dry-run, then add --yes.")
        }
        let client = try Client.connect()
        var (names, known) = (options.users, [JSONValue]())
        if names.isEmpty || options.dryRun {
            // Of one whose login or UID is another's by now nobody can be meant.
            known = try client.users(options.selection.filter(), all: true).filter { $0["tracked"]?.bool != nil }
        }
        if names.isEmpty { names = known.compactMap { $0["user"]?.string } }
        if names.isEmpty { return Output.error("termspan: No user is selected; nothing was changed.") }
        if options.dryRun || consent == .needed {
            let plan = Self.plan(names, known, tracked: tracked) { getpwnam($0) != nil }
            if options.dryRun { return Output.lines(plan) }
            guard Confirmation.ask(question(names.count, tracked: tracked), after: plan) else {
                throw CommandError(.failure, "Nothing was changed.")
            }
        }
        let outcomes = try decide(names, tracked, grounds, client)
        Output.lines(lines(outcomes, tracked: tracked))
        try check(
            outcomes.filter { !$0.error.isEmpty },
            remedy: tracked ? nil : "Who is no user here, or not yet, is kept from being recorded by: termspan donottrack add LOGIN")
    }

    /// One call and transaction.
    @MainActor
    static func decide(_ names: [String], _ tracked: Bool, _ grounds: Grounds, _ client: Client) throws(CommandError) -> [Outcome] {
        try client.decide("SetTracking", names, tracked, grounds).map { Outcome($0) }
    }

    /// Throws where there are any.
    ///
    /// - Parameter remedy: what helps where the first is no user.
    static func check(_ failed: [Outcome], remedy: String? = nil) throws(CommandError) {
        guard let first = failed.first else { return }
        let isUnknown = first.error.hasPrefix("org.termspan1.Error.NoSuchUser") || first.error.lowercased().contains("no such user")
        throw CommandError(
            isUnknown ? .notFound : .failure, failed.map { "\($0.user): \($0.error)" }.joined(separator: "; "),
            remedy: isUnknown ? remedy : nil)
    }

    enum Consent: Sendable { case given, needed, missing }

    /// Whether whoever runs the command has to confirm it. Scripts that name users are not asked.
    ///
    /// - Parameter count: how many are named; 0 where options select them.
    static func consent(toNamed count: Int, yes: Bool, isTerminal: Bool) -> Consent {
        if yes { return .given }
        if isTerminal { return .needed }
        return count == 0 ? .missing : .given
    }

    static func question(_ count: Int, tracked: Bool) -> String {
        "\(tracked ? "Track" : "Untrack") \(count) \(count == 1 ? "user" : "users")?"
    }

    /// What would become of each user.
    ///
    /// - Parameter known: lines of the reports service; for a user of whom there is none, something would change.
    static func plan(_ names: [String], _ known: [JSONValue], tracked: Bool, exists: (String) -> Bool) -> [String] {
        let rows = Dictionary(known.map { ($0["user"]?.string ?? "", $0) }) { first, _ in first }
        // Who is untracked is on the Do Not Track list, too.
        let (state, basis) = tracked ? ("tracked", "decision") : ("untracked", "do-not-track")
        return names.map { name in
            guard exists(name) else { return Printable.text("\(name): no such user") }
            let isDone = rows[name]?["decision"]?.string == state && rows[name]?["decided_by"]?.string == basis
            return Printable.text(isDone ? "\(name) is \(state) already." : "\(name) would be \(state).")
        }
    }

    static func lines(_ outcomes: [Outcome], tracked: Bool) -> [String] {
        let state = tracked ? "tracked" : "untracked"
        return outcomes.filter(\.error.isEmpty).map { outcome in
            let wait = outcome.waits ? ", and is not recorded until a seat is free: termspan users --seats" : ""
            return Printable.text("\(outcome.user) \(outcome.changed ? "is now \(state)" : "was \(state) already")\(wait).")
        }
    }
}

extension Tracking.Outcome {
    /// Reads a row of `SetTracking` or `SetGroup`.
    init(_ row: [String: BusValue]) {
        self.init(
            user: row["user"]?.string ?? "", changed: row["changed"]?.bool ?? false, error: row["error"]?.string ?? "",
            waits: row["seat"]?.bool == false)
    }
}
