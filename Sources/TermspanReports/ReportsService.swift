import Glibc
package import TermspanAccounting
package import TermspanBus
package import TermspanCore
package import TermspanStore
import TermspanSystem

/// org.termspan1.Reports: answers from the store and the collector, each through a pipe of its own and from a thread of its own.
///
/// The loop never touches the store, a pipe or the user database for long: a reader that does not read costs only itself.
@MainActor
package final class ReportsService {
    package struct Options: Sendable {
        package var store = "/var/lib/termspan/termspan.db"
        package var keys = KeyPlace(path: "/var/lib/termspan-keys/users.keys", masters: [])
        package var thresholds = Thresholds()
        /// Without a call or an unfinished answer for this long the service ends.
        package var idle: Duration = .seconds(30)
        /// For how long all that is recorded of anybody is kept at least; nil: without end.
        package var kept: Duration?
        /// By which months begin and end.
        package var calendar = LocalCalendar.system
        /// How long a reader may take nothing, and an answer may take in all.
        package var patience: Duration = .seconds(60)
        package var limit: Duration = .seconds(1800)
        package var answersPerUser = 16
        /// Beyond this many answers of all users, each gets two at a time.
        package var answersBeforeSharing = 32
        package var answers = 64
        package var calls = CallLimits.Settings()

        package init() {}
    }

    package static let name = "org.termspan1.Reports"
    package static let path = "/org/termspan1/reports"

    let options: Options
    private let loop: EventLoop
    let bus: BusConnection
    let board: AnswerBoard
    private let gate: CallGate
    private var slots: [BusSlot] = []
    /// What threads have worked out before an answer is given, and the calls that wait for it.
    let inbox: MainInbox
    var waiting: [Int: BusInvocation] = [:]
    var lastWaiting = 0
    private var inboxSource: EventSource?
    private var bellSource: EventSource?
    private var idleTimer: EventSource?
    private var signals: EventSource?
    /// Calls and answers that are being worked on, by uid.
    private var active: [UInt32: Int] = [:]
    /// When it ends at the latest; nil: not yet.
    private var ending: BootInstant?
    /// No more calls come.
    private var isDrained = false

    /// How many answers are being worked on.
    var activeAnswers: Int { active.values.reduce(0, +) }

    /// Exports the object and takes the name.
    package init(options: Options, bus: BusConnection, loop: EventLoop) throws {
        self.options = options
        self.bus = bus
        self.loop = loop
        // A reader that goes away is an error of write(2), not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        board = try AnswerBoard()
        inbox = try MainInbox()
        gate = try bus.limitCalls(options.calls, loop: loop)
        bellSource = try loop.watch(board.bell.descriptor.raw) { [unowned self] _ in collectFinished() }
        inboxSource = try inbox.attach(to: loop)
        idleTimer = try loop.timer { [unowned self] in idled() }
        let interface = BusInterface(
            Self.name,
            methods: [
                BusMethod("Spans", in: ["filter": "a{sv}"], out: ["lines": "h"]) { [unowned self] call throws(BusError) in
                    try answer(call, .spans)
                },
                BusMethod("Timeline", in: ["filter": "a{sv}"], out: ["lines": "h"]) { [unowned self] call throws(BusError) in
                    try answer(call, .timeline)
                },
                BusMethod("Export", in: ["filter": "a{sv}"], out: ["lines": "h"]) { [unowned self] call throws(BusError) in
                    try answer(call, .export)
                },
                BusMethod("Summary", in: ["filter": "a{sv}"], out: ["lines": "h"]) { [unowned self] call throws(BusError) in
                    try answer(call, .sessions)
                },
                BusMethod("Report", in: ["filter": "a{sv}"], out: ["lines": "h"]) { [unowned self] call throws(BusError) in
                    try answer(call, .report)
                },
                BusMethod("Records", in: ["filter": "a{sv}"], out: ["lines": "h"]) { [unowned self] call throws(BusError) in
                    try answer(call, .records)
                },
                BusMethod("History", in: ["filter": "a{sv}"], out: ["lines": "h"]) { [unowned self] call throws(BusError) in
                    try answer(call, .history)
                },
                BusMethod("Users", in: ["filter": "a{sv}"], out: ["lines": "h"]) { [unowned self] call throws(BusError) in
                    try answer(call, .users)
                },
                BusMethod("Audit", in: ["filter": "a{sv}"], out: ["lines": "h"]) { [unowned self] call throws(BusError) in
                    try answer(call, .audit)
                },
                BusMethod("VerifyAudit", in: ["filter": "a{sv}"], out: ["lines": "h"]) { [unowned self] call throws(BusError) in
                    try answer(call, .auditCheck)
                },
                BusMethod("VerifyStore", in: ["filter": "a{sv}"], out: ["lines": "h"]) { [unowned self] call throws(BusError) in
                    try answer(call, .storeCheck)
                },
                BusMethod("Facts", in: ["filter": "a{sv}"], out: ["lines": "h"]) { [unowned self] call throws(BusError) in
                    try answer(call, .facts)
                },
                BusMethod("Aggregates", in: ["filter": "a{sv}"], out: ["lines": "h"]) { [unowned self] call throws(BusError) in
                    try answer(call, .aggregates)
                },
            ])
        slots.append(try bus.export(path: Self.path, interface))
        try bus.requestName(Self.name)
        rearm()
    }

    /// Ends the loop on SIGTERM and SIGINT, once the answers under way have said that they are not complete.
    ///
    /// To be called before any thread is started.
    package func endOnSignals() throws(BusError) {
        signals = try loop.signals([SIGTERM, SIGINT]) { [unowned self] _ in
            board.stopAll()
            end()
        }
    }

    // MARK: Life

    private func rearm() {
        guard ending == nil, active.isEmpty else { return }
        idleTimer?.arm(at: loop.now.advanced(by: options.idle))
    }

    private func idled() {
        if let ending {
            isDrained = true
            guard !active.isEmpty, loop.now < ending else { return loop.exit() }
            idleTimer?.arm(at: ending)
            return
        }
        guard active.isEmpty else { return }
        // Refused calls keep it alive too: a flood would only start it again, and while the bus starts a service it refuses others' calls.
        let idle = gate.lastCall.advanced(by: options.idle)
        guard idle <= loop.now else {
            idleTimer?.arm(at: idle)
            return
        }
        end()
    }

    /// Gives up the name, so that calls start the next service. Those that came before are still answered: they were delivered to this connection.
    private func end() {
        guard ending == nil else { return }
        ending = loop.now.advanced(by: .seconds(3))
        try? bus.releaseName(Self.name)
        idleTimer?.arm(at: loop.now.advanced(by: .milliseconds(100)))
    }

    private func collectFinished() {
        for uid in board.take() { release(uid) }
    }

    func release(_ uid: UInt32) {
        let count = (active[uid] ?? 0) - 1
        active[uid] = count > 0 ? count : nil
        if active.isEmpty {
            if isDrained { loop.exit() } else { rearm() }
        }
    }

    private func claim(_ uid: UInt32) throws(BusError) {
        let all = activeAnswers
        let own = active[uid] ?? 0
        let limit = all >= options.answersBeforeSharing ? min(2, options.answersPerUser) : options.answersPerUser
        guard own < limit, all < options.answers else {
            throw BusError(
                name: "org.freedesktop.DBus.Error.LimitsExceeded", message: "Too many answers are being read; read or close some.")
        }
        active[uid] = own + 1
        if ending == nil { idleTimer?.disarm() }
    }

    // MARK: Answering

    private func answer(_ call: BusInvocation, _ kind: Question.Kind) throws(BusError) {
        let credentials = try call.credentials()
        let request = try Request(call.message.readProperties(), kind)
        let uid = credentials.userID
        try claim(uid)
        do throws(BusError) {
            // One's own: the user that has both this uid and its login, so that nobody inherits what a freed uid did.
            let own = Account(uid: uid).map { UserIdentity(login: $0.login, uid: uid) }
            // What is of nobody is not of oneself either.
            let isOfNobody = request.kind == .auditCheck || request.kind == .aggregates || request.pseudonyms != nil
            let isOwn =
                own != nil && !isOfNobody && !request.everybody && (request.login == nil || request.login == own?.login)
                && (request.uid == nil || request.uid == uid)
            var question = Question(kind: request.kind, filter: request.filter, thresholds: request.thresholds ?? options.thresholds)
            if request.model == .activitywatch {
                question.thresholds = Thresholds(idle: Thresholds.activityWatchIdle)
                question.thresholds.model = .activitywatch
            }
            if let idle = request.idle { question.thresholds.idle = idle }
            if let passiveLimit = request.passiveLimit { question.thresholds.passiveLimit = passiveLimit }
            question.includeOpen = request.includeOpen
            question.details = request.details
            question.own = own
            question.known = request.known
            if !request.history { question.moment = request.moment ?? .now() }
            question.users = request.users
            question.choice = request.choice
            question.export = request.export(calendar: options.calendar)
            question.calendar = request.zone ?? options.calendar
            question.report = request.report
            question.keptSince = options.kept.map { WallInstant.now().advanced(by: .zero - $0) }
            if let month = request.pseudonyms {
                guard options.calendar.moment(month.first, 0) <= .now() else { throw .invalidArguments("\(month) has not begun.") }
                question.pseudonyms = month
                question.filter.since = options.calendar.moment(month.first, 0)
                question.filter.until = options.calendar.moment(month.next.first, 0)
            }
            if request.kind == .aggregates {
                let now = WallInstant.now()
                if let month = request.month, !AggregateMonths(options.calendar, now: now).isClosed(month) {
                    throw .invalidArguments("\(month) is told from \(AggregateMonths.opening(of: month)) on.")
                }
                question.aggregation = Aggregation(month: request.month, now: now, calendar: options.calendar, kept: options.kept)
            }
            if credentials.isRoot {
                question.filter.login = request.login
                question.filter.uid = request.uid
                // Without a name it is everybody's.
                let isOthers = !isOwn || (request.login == nil && request.uid == nil)
                return isOthers ? record(call, uid, question) : askCollector(call, uid, question)
            }
            if isOwn {
                question.filter.identities = own.map { [$0] }
                return askCollector(call, uid, question)
            }
            question.filter.login = request.login
            question.filter.uid = request.uid
            guard request.login != nil || request.uid != nil || request.everybody || isOfNobody else {
                throw .accessDenied("The user database does not know who asks.")
            }
            askSight(call, uid, question)
        } catch {
            release(uid)
            throw error
        }
    }

    /// Goes on if roles or polkit let the caller see what is others', with as much of it as they let.
    private func askSight(_ call: BusInvocation, _ uid: UInt32, _ question: Question) {
        bus.call(
            "org.termspan1", path: "/org/termspan1", interface: "org.termspan1.Manager", member: "GetSight", timeout: .seconds(20),
            autoStart: false,
            arguments: { writer in
                writer.append(uid)
                writer.append(question.right.rawValue)
                writer.properties { writer in
                    if let login = question.filter.login { writer.property("user", login) }
                    if let user = question.filter.uid { writer.property("uid", user) }
                }
            },
            reply: { [weak self] result in
                guard let self else { return }
                var sight: [String: BusValue] = [:]
                switch result {
                case .success(let message):
                    message.valueLimit = 1_000_000
                    sight = (try? message.readProperties()) ?? [:]
                // Nobody has a role that can't be asked for.
                case .failure: break
                }
                if sight["all"]?.bool == true { return record(call, uid, question) }
                if question.kind == .auditCheck { return checkAudit(call, uid, question) }
                let users = sight["users"]?.strings.map { Set($0.compactMap { UserIdentity($0) }) }
                var limited = question
                limited.filter.identities = users?.filter { question.filter.names($0) }
                // Who is in Termspan's own groups is told to who sees the policy.
                let asksOwnGroup = question.namesOwnGroups
                let isAnswered = limited.filter.identities?.isEmpty == false && !asksOwnGroup
                // Where a part can be told, nobody needs a password to see that.
                Polkit.check(question.right.action, call, on: bus, mayAsk: !isAnswered) { [weak self] result in
                    guard let self else { return }
                    switch result {
                    case .success: record(call, uid, question)
                    case .failure where isAnswered: record(call, uid, limited)
                    case .failure(let error):
                        call.fail(error)
                        release(uid)
                    }
                }
            })
    }

    /// That nobody has changed the record everybody may check; what is told of it beside that is what somebody sees of it.
    private func checkAudit(_ call: BusInvocation, _ uid: UInt32, _ question: Question) {
        Polkit.check(question.right.action, call, on: bus, mayAsk: false) { [weak self] result in
            guard let self else { return }
            var question = question
            if case .failure = result {
                question.filter.identities = Set(Account(uid: uid).map { [UserIdentity(login: $0.login, uid: uid)] } ?? [])
            }
            askCollector(call, uid, question)
        }
    }

    /// Goes on once the collector has recorded, durably, who is about to see whose data.
    ///
    /// Root is not kept waiting, and not refused where nothing can be recorded: whoever can read the file can do without this service.
    private func record(_ call: BusInvocation, _ uid: UInt32, _ question: Question) {
        guard let kind = question.audited?.rawValue else { return askCollector(call, uid, question) }
        let filter = question.filter
        bus.call(
            "org.termspan1", path: "/org/termspan1", interface: "org.termspan1.Manager", member: "RecordRead", timeout: .seconds(15),
            autoStart: false,
            arguments: { writer in
                writer.properties { writer in
                    writer.property("reader", uid)
                    writer.property("kind", kind)
                    if let users = filter.identities {
                        writer.property("users", .strings(users.map(\.description)))
                    }
                    if let login = filter.login { writer.property("user", login) }
                    if let user = filter.uid { writer.property("uid", user) }
                    if let session = filter.session { writer.property("session-uuid", session.description) }
                    if question.pseudonyms != nil {
                        // Another month is another look.
                        if let since = filter.since { writer.property("since", since.nanoseconds) }
                    }
                    if let id = filter.id {
                        writer.property("session", id.rawValue)
                        // Others had the number before.
                        if let since = filter.since { writer.property("since", since.nanoseconds) }
                        if let until = filter.until { writer.property("until", until.nanoseconds) }
                    }
                }
            },
            reply: { [weak self] result in
                guard let self else { return }
                switch result {
                case .success where uid != 0: askCollector(call, uid, question)
                case .failure(let error) where uid != 0:
                    call.fail(
                        BusError(
                            name: "org.termspan1.Error.NotRecorded",
                            message: "Whoever looks at what is others' is recorded, and that can't be done now: \(error)"))
                    release(uid)
                case .failure(let error): Self.log("root reads \(kind) of others, which can't be recorded: \(error)")
                case .success: break
                }
            })
        if uid == 0 { askCollector(call, uid, question) }
    }

    /// First the collector, then the store: what is closed in between is in both, and told once.
    func askCollector(_ call: BusInvocation, _ uid: UInt32, _ question: Question) {
        if question.kind == .audit || question.kind == .auditCheck { return start(call, uid, question) }
        if let aggregation = question.aggregation, aggregation.groups == nil { return askAggregation(call, uid, question) }
        if question.isOfApplications, question.classification == nil { return askClassification(call, uid, question) }
        askActivity(call, uid, question)
    }

    /// Goes on with the rules by which activities are classified; without the collector with those of the store.
    private func askClassification(_ call: BusInvocation, _ uid: UInt32, _ question: Question) {
        bus.call(
            "org.termspan1", path: "/org/termspan1", interface: "org.termspan1.Manager", member: "GetClassification", timeout: .seconds(10),
            autoStart: false,
            reply: { [weak self] result in
                var question = question
                switch result {
                case .success(let message):
                    message.valueLimit = 1_000_000
                    question.classification = (try? message.readProperties()).map { ClassificationPolicy($0) }
                case .failure(let error):
                    if !error.isUnreachable { Self.log("GetClassification: \(error)") }
                }
                self?.askActivity(call, uid, question)
            })
    }

    private func askActivity(_ call: BusInvocation, _ uid: UInt32, _ question: Question) {
        let filter = question.filter
        let isAboutUsers = question.kind == .users
        let member = isAboutUsers ? "ListSessions" : "CollectActivity"
        bus.call(
            "org.termspan1", path: "/org/termspan1", interface: "org.termspan1.Manager", member: member, timeout: .seconds(5),
            autoStart: false,
            arguments: { writer in
                if isAboutUsers { return }
                writer.properties { writer in
                    // Of several all is asked for, and theirs taken.
                    let only = filter.identities?.count == 1 ? filter.identities?.first?.uid : nil
                    if let user = only ?? filter.uid { writer.property("uid", user) }
                    if let session = filter.session { writer.property("session-uuid", session.description) }
                }
            },
            reply: { [weak self] result in
                guard let self else { return }
                var question = question
                switch result {
                case .success(let message) where isAboutUsers:
                    let loggedOn = Self.loggedOn((try? message.readRows()) ?? [])
                    question.present = loggedOn.map(\.user)
                    question.sids = Dictionary(loggedOn) { one, _ in one }
                case .success(let message):
                    message.valueLimit = 1_000_000
                    question.live = (try? message.readRows())?.compactMap { ActivityRow(properties: $0) }
                    if question.kind == .aggregates, question.live == nil {
                        return failAggregates(call, uid, .failed("What is open could not be read."))
                    }
                case .failure(let error) where question.kind == .aggregates: return failAggregates(call, uid, error)
                case .failure(let error):
                    // Without it the answer ends with what is durable.
                    if !error.isUnreachable { Self.log("\(member): \(error)") }
                }
                if question.kind == .aggregates { workOut(call, uid, question) } else { start(call, uid, question) }
            })
    }

    /// Who is logged on by ListSessions' rows, which the services and the logon screens have, too.
    private static func loggedOn(_ rows: [[String: BusValue]]) -> [(user: UserIdentity, sids: Set<SecurityID>)] {
        rows.compactMap { row in
            guard let login = row["user"]?.string, !login.isEmpty, let uid = row["uid"]?.unsigned.flatMap({ UInt32(exactly: $0) }),
                row["stack"]?.string != "services", row["state"]?.string != ConnectState.connected.name
            else { return nil }
            return (UserIdentity(login: login, uid: uid), Set((row["sids"]?.strings ?? []).compactMap { SecurityID($0) }))
        }
    }

    func start(_ call: BusInvocation, _ uid: UInt32, _ question: Question) {
        do {
            var ends: [Int32] = [-1, -1]
            // Nothing is ever executed here, so that a descriptor without close-on-exec would not matter in between.
            try check(pipe(&ends) == 0 ? 0 : -errno, "pipe")
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            let reading = OwnedDescriptor(ends[0])
            let writing = ends[1]
            let (board, options) = (board, options)
            do {
                _ = try Thread(name: "answer", stackSize: 1 << 20) {
                    Self.work(question, OwnedDescriptor(writing), options, board)
                    board.finish(uid)
                }
            } catch {
                close(writing)
                throw error
            }
            call.reply { $0.append(unixFD: reading.raw) }
        } catch {
            release(uid)
            call.fail(BusError(name: "org.freedesktop.DBus.Error.LimitsExceeded", message: "The answer could not be started: \(error)"))
        }
    }

    /// Runs on the answer's thread.
    nonisolated private static func work(
        _ question: Question, _ descriptor: consuming OwnedDescriptor, _ options: Options, _ board: AnswerBoard
    ) {
        do {
            var pipe = try AnswerPipe(descriptor, patience: options.patience, limit: options.limit)
            do {
                let reader = try openStore(options)
                try Answer(question, reader: reader).write { line in
                    if board.isStopping { throw ReportError(reason: "the service is stopping") }
                    // Nothing is to be said yet.
                    if line.isEmpty { try pipe.pulse() } else { try pipe.write(line) }
                }
                try pipe.flush()
            } catch let error as AnswerPipe.Abandoned {
                throw error
            } catch {
                try pipe.write(((error as? ReportError) ?? ReportError(reason: "\(error)")).line)
                try pipe.flush()
            }
        } catch {
            // Nobody reads any more.
        }
    }

    nonisolated static func openStore(_ options: Options) throws(StoreError) -> StoreReader? {
        do throws(StoreError) {
            return try StoreReader(path: options.store, keys: options.keys)
        } catch {
            // Before the collector has run for the first time there is nothing to tell.
            if error.code == .missing { return nil }
            throw error
        }
    }

    nonisolated static func log(_ text: String) {
        let line = Array((text + "\n").utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }
}

extension ClassificationPolicy {
    /// Reads what GetClassification answers.
    init(_ values: [String: BusValue]) {
        self.init(
            rules: values["rules"]?.string ?? "",
            members: (values["members"]?.properties ?? [:]).compactMapValues { value in
                value.strings.map { Set($0.compactMap { UserIdentity($0) }) }
            })
    }
}

/// What a caller's filter asks for.
@MainActor
struct Request {
    var kind: Question.Kind
    var filter = SessionFilter()
    var login: String?
    var uid: UInt32?
    var everybody = false
    var includeOpen = true
    /// Whether others' details are asked for that are not business, or ignored.
    var details = false
    var idle: Duration?
    var passiveLimit: Duration??
    var thresholds: Thresholds?
    /// Of which moment facts are asked for; nil: now.
    var moment: WallInstant?
    /// Whether facts of all times are.
    var history = false
    var model = Thresholds.Model.termspan
    /// Whose days a report or an export is by; nil: the machine's.
    var zone: LocalCalendar?
    var report = ReportShape()
    /// The month of which everybody's is asked for by pseudonyms.
    var pseudonyms: CalendarMonth?
    /// A digest that is looked for in the audit record.
    var known: String?
    /// Of which aggregates are asked for; nil: all that are told.
    var month: CalendarMonth?
    /// Which of the users that are asked for are told of.
    var users = UserFilter()
    var choice = ActivityChoice()
    private var format = ExportRequest.Format.jsonl
    private var after: ExportCursor?
    /// What was asked for, but for times and forms.
    private var selection: [String] = []

    /// Throws `InvalidArgs` for a key that is not known, so that a misspelt one does not widen the answer.
    init(_ values: [String: BusValue], _ kind: Question.Kind) throws(BusError) {
        self.kind = kind
        if values["at"] != nil, values["history"] != nil { throw .invalidArguments("'at' and 'history' exclude each other.") }
        // Who may choose users, sessions or times could find out whose a pseudonym is.
        let isByPseudonym = values["pseudonyms"] != nil
        for (key, value) in values {
            // All others choose among sessions.
            let allowed: [String]? =
                switch kind {
                case .users: ["user", "uid", "all", "search", "status", "group", "domain", "seen-since", "has-data"]
                case .storeCheck: ["user", "uid", "all"]
                case .audit: ["user", "uid", "all", "since", "until"]
                case .auditCheck: ["known"]
                case .facts: ["user", "uid", "all", "at", "history"]
                case .aggregates: ["period"]
                // Applications and categories of time tell no more of whose they are than the rows do.
                default:
                    isByPseudonym
                        ? [
                            "pseudonyms", "open", "by", "events", "idle-threshold", "passive-limit", "executable", "description",
                            "category", "classified", "languages", "format", "idle-model",
                        ] : nil
                }
            if let allowed, !allowed.contains(key) { throw .invalidArguments("There is no filter '\(key)'.") }
            func invalid() -> BusError { .invalidArguments("'\(key)' has a value of the wrong type or size.") }
            func wall() throws(BusError) -> WallInstant {
                guard let microseconds = value.unsigned, let number = Int64(exactly: microseconds) else { throw invalid() }
                let (nanoseconds, overflow) = number.multipliedReportingOverflow(by: 1000)
                return WallInstant(nanoseconds: overflow ? .max : nanoseconds)
            }
            func duration() throws(BusError) -> Duration? {
                guard let microseconds = value.unsigned else { throw invalid() }
                return microseconds == .max ? nil : .microseconds(Int64(clamping: min(microseconds, 1 << 50)))
            }
            let choosesActivities = kind == .spans || kind == .export
            let choosesApplications = choosesActivities || kind == .report
            func text() throws(BusError) -> String {
                guard let text = value.string, !text.isEmpty, text.utf8.count <= (choosesApplications ? 1024 : UserFilter.longest) else {
                    throw invalid()
                }
                return text
            }
            switch key {
            case "search" where kind == .users: users.search = try text()
            case "group" where kind == .users: users.group = try text()
            case "domain" where kind == .users: users.domain = try text()
            case "seen-since" where kind == .users: users.seenSince = try wall()
            case "has-data" where kind == .users:
                guard let flag = value.bool else { throw invalid() }
                users.hasData = flag
            case "status" where kind == .users:
                switch value.string {
                case "tracked": users.isTracked = true
                case "untracked": users.isTracked = false
                default: throw invalid()
                }
            case "group" where choosesActivities: choice.group = try text()
            case "computer" where choosesActivities: choice.computer = try text()
            case "executable" where choosesApplications: choice.executable = try text()
            case "description" where choosesApplications: choice.description = try text()
            case "classified" where choosesApplications: choice.classified = try text()
            case "category" where choosesActivities:
                guard let name = value.string, let category = Category.allCases.first(where: { $0.name == name }),
                    [.active, .passive, .inactive].contains(category)
                else { throw .invalidArguments("A category of activities is active, passive or inactive.") }
                choice.category = category
            case "languages" where choosesApplications:
                guard let names = value.strings, names.count <= 8, names.allSatisfy({ $0.utf8.count <= 64 }) else { throw invalid() }
                choice.languages = names
            case "format" where kind == .export:
                guard let format = value.string.flatMap({ ExportRequest.Format(rawValue: $0) }) else {
                    throw .invalidArguments("A format of exports is jsonl, csv, tables or activitywatch.")
                }
                self.format = format
            case "after" where kind == .export:
                guard let cursor = value.string.flatMap({ ExportCursor($0) }) else {
                    throw .invalidArguments("The cursor is damaged: give it as an export printed it, or begin anew without one.")
                }
                after = cursor
            case "zone" where kind == .export || kind == .report:
                guard let name = value.string, let zone = LocalCalendar.zone(named: name) else {
                    throw .invalidArguments("There is no time zone '\(value.string ?? "")'; one is named as Europe/Vienna.")
                }
                self.zone = zone
            case "user":
                guard let name = value.string, !name.isEmpty else { throw invalid() }
                login = name
            case "uid":
                guard let number = value.unsigned.flatMap({ UInt32(exactly: $0) }) else { throw invalid() }
                uid = number
            case "session":
                guard let number = value.unsigned.flatMap({ UInt32(exactly: $0) }) else { throw invalid() }
                filter.id = SessionID(rawValue: number)
            case "session-uuid":
                guard let uuid = value.string.flatMap({ UUIDv7($0) }) else { throw invalid() }
                filter.session = uuid
            case "period":
                guard kind == .aggregates else { throw .invalidArguments("There is no filter '\(key)'.") }
                guard let name = value.string, let month = CalendarMonth(name) else {
                    throw .invalidArguments("A period is a calendar month, as 2026-10.")
                }
                self.month = month
            case "pseudonyms" where kind != .records:
                guard let name = value.string, let month = CalendarMonth(name) else {
                    throw .invalidArguments("Pseudonyms are of a calendar month, as 2026-10.")
                }
                pseudonyms = month
            case "known" where kind == .auditCheck:
                guard let digest = value.string, digest.utf8.count == 64 else { throw invalid() }
                known = digest
            case "at" where kind == .facts: moment = try wall()
            case "history" where kind == .facts:
                guard let flag = value.bool else { throw invalid() }
                history = flag
            case "origin" where kind != .facts:
                switch value.string {
                case "measured": filter.imported = false
                case "imported": filter.imported = true
                case "all": filter.imported = nil
                default: throw .invalidArguments("An origin is measured, imported or all.")
                }
            case "since": filter.since = try wall()
            case "until": filter.until = try wall()
            case "open":
                guard let flag = value.bool else { throw invalid() }
                includeOpen = flag
            case "details" where Question.areOfApplications.contains(kind):
                guard let flag = value.bool else { throw invalid() }
                details = flag
            case "all":
                guard let flag = value.bool else { throw invalid() }
                everybody = flag
            case "idle-threshold": idle = try duration()
            case "passive-limit": passiveLimit = .some(try duration())
            case "idle-model" where kind != .records:
                guard let model = value.string.flatMap({ Thresholds.Model(rawValue: $0) }) else { throw invalid() }
                self.model = model
            case "by" where kind == .report:
                guard let shape = value.string.flatMap({ ReportShape.By($0) }) else { throw invalid() }
                guard !isByPseudonym || !shape.isByGroup else { throw .invalidArguments("By pseudonyms there are no groups.") }
                report.by = shape
            case "groups" where kind == .report:
                guard let groups = value.strings, (1...50).contains(groups.count) else { throw invalid() }
                report.groups = groups.reduce(into: []) { names, name in if !names.contains(name) { names.append(name) } }
            case "own-time" where kind == .report:
                guard let flag = value.bool else { throw invalid() }
                report.isOwnTime = flag
            case "by" where kind == .sessions:
                switch value.string {
                case "session": self.kind = .sessions
                case "user": self.kind = .userTimes
                default: throw invalid()
                }
            case "events" where kind == .history:
                guard let flag = value.bool else { throw invalid() }
                if flag { self.kind = .events }
            default:
                throw .invalidArguments("There is no filter '\(key)'.")
            }
        }
        // What is held is checked whole, wherever it is from.
        if kind == .storeCheck { filter.imported = nil }
        if kind == .export {
            if choice.languages == nil { choice.languages = [] }
            if isByPseudonym, format == .tables || format == .activitywatch {
                throw .invalidArguments("By pseudonyms rows alone are exported: as jsonl or csv.")
            }
            if after != nil, format == .tables || format == .activitywatch {
                throw .invalidArguments("A cursor is for rows: jsonl or csv.")
            }
            let chosen = [
                "user", "uid", "all", "session", "session-uuid", "group", "computer", "executable", "description", "category", "classified",
                "details", "origin",
            ]
            selection = chosen.compactMap { key in values[key].map { "\(key)=\($0)" } }
        }
    }

    /// What is exported; nil for other questions.
    ///
    /// - Parameter calendar: by which days begin where no zone is named.
    func export(calendar: LocalCalendar) -> ExportRequest? {
        guard kind == .export else { return nil }
        return ExportRequest(
            format: format, after: after, selection: ExportCursor.digest(selection.joined(separator: "\n")), calendar: zone ?? calendar)
    }
}
