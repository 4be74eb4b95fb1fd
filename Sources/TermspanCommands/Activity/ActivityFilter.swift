import ArgumentParser
import Glibc
import TermspanBus

/// How long, on the command line; see `TimeText.length`.
struct Length: ExpressibleByArgument {
    /// The greatest number is without limit.
    var microseconds: UInt64

    init?(argument: String) {
        if argument == "unlimited" {
            microseconds = .max
            return
        }
        guard !argument.hasPrefix("-"), let seconds = TimeText.length(argument), seconds <= 1 << 40 else { return nil }
        microseconds = UInt64(seconds) * 1_000_000
    }
}

/// What becomes of the time after the last input.
enum IdleModel: String, CaseIterable, ExpressibleByArgument { case termspan, activitywatch }

/// Whose activity, in which session and when: the options of `spans`, `activity`, `summary`, `report` and `export`.
struct ActivityOptions: ParsableArguments {
    @Option(help: "Only this user; without it your own activity, for root everybody's.", completion: Completions.users)
    var user: String?

    @Flag(help: "Everybody's, which needs the right org.termspan1.view-others.")
    var all = false

    @Option(help: "Only the session of this ID, or UUID for sessions of the past.", completion: Completions.sessions)
    var session: String?

    @Option(help: "Everybody's of a calendar month, as 2026-10, by pseudonyms; needs the right org.termspan1.view-pseudonyms.")
    var pseudonyms: String?

    @Option(help: "From this moment on: \(Moment.help).")
    var since: Moment?

    @Option(help: "Up to this moment.")
    var until: Moment?

    @Flag(help: "What was imported, of other computers, in place of what was measured here.")
    var imported = false

    @Option(help: "After how long without input time is no longer active, as 90s or 3m; else as configured.")
    var idleThreshold: Length?

    @Option(help: "For how long it is then passive: 0s, 5m or unlimited; else as configured.")
    var passiveLimit: Length?

    @Option(help: "activitywatch dates inactivity back to the last input, once there was none for 3 minutes, as ActivityWatch does.")
    var idleModel: IdleModel?

    func validate() throws {
        if pseudonyms != nil, imported { throw ValidationError("--pseudonyms is of what was measured here.") }
        if pseudonyms != nil, all || user != nil || session != nil || since != nil || until != nil {
            throw ValidationError("--pseudonyms is of everybody and a month: who could choose more could find out whose they are.")
        }
        if idleThreshold?.microseconds == .max { throw ValidationError("--idle-threshold has an end.") }
        try Self.check(all: all, user: user, session: session)
        if let since, let until, since.instant > until.instant { throw ValidationError("--since is later than --until.") }
    }

    static func check(all: Bool, user: String?, session: String? = nil) throws(ValidationError) {
        if all, user != nil { throw ValidationError("--all and --user exclude each other.") }
        if let session, UInt32(session) == nil, session.utf8.count != 36 {
            throw ValidationError("'\(session)' is neither an ID nor a UUID of a session.")
        }
    }

    /// Whose, in a filter of the reports service: everybody's, one user's, else the caller's; root's is everybody's. And of which session.
    static func whose(all: Bool, user: String? = nil, session: String? = nil) -> [String: BusValue] {
        var filter: [String: BusValue] = [:]
        if all {
            filter["all"] = .bool(true)
        } else if let user {
            filter["user"] = .string(user)
        } else if geteuid() != 0 {
            filter["uid"] = .uint32(geteuid())
        }
        if let session {
            if let id = UInt32(session) { filter["session"] = .uint32(id) } else { filter["session-uuid"] = .string(session.lowercased()) }
        }
        return filter
    }

    /// Whether others' activity is asked for by name, which is for root and for who has the right.
    var isAboutOthers: Bool { pseudonyms == nil && isByName }

    private var isByName: Bool { geteuid() == 0 || all || (user != nil && user != Me.login) }

    /// Whether any of the options is there.
    var isRestricted: Bool { all || user != nil || session != nil || pseudonyms != nil || imported || since != nil || until != nil }

    func filter() -> [String: BusValue] {
        var limits: [String: BusValue] = [:]
        if let idleThreshold { limits["idle-threshold"] = .uint64(idleThreshold.microseconds) }
        if let passiveLimit { limits["passive-limit"] = .uint64(passiveLimit.microseconds) }
        if let idleModel { limits["idle-model"] = .string(idleModel.rawValue) }
        if let pseudonyms { return limits.merging(["pseudonyms": .string(pseudonyms)]) { $1 } }
        var filter = Self.whose(all: all, user: user, session: session).merging(limits) { $1 }
        if imported { filter["origin"] = "imported" }
        if let since { filter["since"] = .uint64(since.instant.microseconds) }
        if let until { filter["until"] = .uint64(until.instant.microseconds) }
        return filter
    }
}
