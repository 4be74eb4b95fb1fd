import ArgumentParser
import Glibc
import TermspanBus
package import TermspanCore
import TermspanJournal

/// `termspan verify`
struct Verify: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "verify", abstract: "Check that what is recorded is right, and that nobody has changed the audit record.",
            discussion: """
                The audit record: each entry has a digest that depends on all before it, and the journal is told of the last one's from time to \
                time. That is compared where you may read the journal; where the journal is forwarded to another machine, compare with that. \
                Everybody may check it, and is told the digest of the last entry that is about them or about everybody: kept, and given with \
                --known later, it shows that nothing up to there was changed since.

                The store: whether it contradicts itself, whether each session's categories are its time, as a whole and day by day, and where \
                and why time is Unknown; more than 0.1 % of which nothing says why is a failure. Everybody can check their own sessions with \
                --store.
                """)
    }

    @Flag(help: "Check the audit record alone.")
    var audit = false

    @Option(help: "A digest that was told before: whether the audit record still has it.")
    var known: String?

    @Flag(help: "Check the store alone: your own sessions, for root all of it.")
    var store = false

    @Flag(help: "Everybody's sessions and the file, which needs the right org.termspan1.view-others.")
    var all = false

    @OptionGroup var output: FormatOptions

    func validate() throws {
        if output.format == .csv { throw ValidationError("This has no rows: use --format json.") }
        if audit, store { throw ValidationError("Without --audit and --store both are checked.") }
        if store, known != nil { throw ValidationError("--known is about the audit record.") }
        if let known, known.utf8.count != 64 { throw ValidationError("A digest has 64 hexadecimal digits.") }
        if audit, all { throw ValidationError("--all is about the store.") }
    }

    func execute() throws {
        let client = try Client.connect()
        let record = store ? nil : try Self.record(client, known: known)
        let sessions = audit ? nil : try Self.store(client, ActivityOptions.whose(all: all))
        switch output.format {
        case .table: Output.lines([record?.lines, sessions?.lines].compactMap { $0 }.flatMap { $0 })
        case .json, .csv:
            Output.write(JSONValue.object([.init("audit", record?.json ?? .null), .init("store", sessions?.json ?? .null)]).text + "\n")
        }
        if record?.problem != nil || sessions?.isRight == false { throw ExitCode(CommandError.Code.failure.rawValue) }
    }

    @MainActor
    private static func record(_ client: Client, known: String?) throws(CommandError) -> AuditVerdict {
        // Before the record is read, which goes on growing.
        var verdict = AuditVerdict(heads: try JournalReader.isReadable ? heads() : nil, known: known)
        try client.reports("VerifyAudit", known.map { ["known": .string($0)] } ?? [:]) { row throws(CommandError) in verdict.add(row) }
        if verdict.isBrokenOff { throw brokenOff }
        return verdict
    }

    @MainActor
    private static func store(_ client: Client, _ filter: [String: BusValue]) throws(CommandError) -> StoreVerdict {
        var verdict = StoreVerdict()
        let showsProgress = isatty(STDERR_FILENO) == 1
        func show(_ text: String) { if showsProgress { Output.writeAll(STDERR_FILENO, Array("\r\u{1B}[K\(Printable.text(text))".utf8)) } }
        defer { show("") }
        try client.reports("VerifyStore", filter) { row throws(CommandError) in
            verdict.add(row)
            if let progress = verdict.progress { show(progress) }
        }
        if !verdict.isComplete { throw brokenOff }
        return verdict
    }

    private static var brokenOff: CommandError {
        CommandError(.failure, "The reports service ended before its answer was known to be complete.", remedy: "Try again.")
    }

    private static func heads() throws(CommandError) -> [AuditVerdict.Head] {
        do throws(JournalError) {
            let reader = try JournalReader(JournalFilter(events: [.auditRecorded]))
            var heads: [AuditVerdict.Head] = []
            while let entry = try reader.next() {
                guard let store = entry.first(.store), let digest = entry.first(.digest),
                    let id = entry.first(.count).flatMap({ UInt64($0) })
                else { continue }
                heads.append(AuditVerdict.Head(store: store, id: id, digest: digest, time: entry.time))
            }
            return heads
        } catch {
            throw CommandError(error)
        }
    }
}

/// Whether an audit record is what it was, by its digests and by what the journal was told of it.
package struct AuditVerdict: Sendable {
    /// What a record in the journal says: the number and digest of the last entry at that time.
    package struct Head: Hashable, Sendable {
        package var store: String
        package var id: UInt64
        package var digest: String
        package var time: WallInstant

        package init(store: String, id: UInt64, digest: String, time: WallInstant) {
            self.store = store
            self.id = id
            self.digest = digest
            self.time = time
        }
    }

    /// Nil where the journal can't be read.
    private let heads: [Head]?
    /// The digests of the entries that heads speak of.
    private var digests: [UInt64: String] = [:]
    private var store: String?
    private var isBegun = false
    /// How many entries follow from each other.
    package private(set) var entries: UInt64 = 0
    private var broken: String?
    /// The digest that was asked for, and whether it is there.
    private let known: String?
    private var isKnown = false
    /// Whether digests and numbers of entries are for somebody else's eyes, and the digest of the last one that is not.
    private var isPartial = false
    private var last: String?

    package init(heads: [Head]?, known: String? = nil) {
        self.heads = heads
        self.known = known
        for head in heads ?? [] { digests[head.id] = "" }
    }

    /// Adds a line of `VerifyAudit`.
    package mutating func add(_ row: JSONValue) {
        if let id = row["id"]?.unsigned, let digest = row["sha256"]?.string {
            isBegun = true
            if digests[id] != nil { digests[id] = digest }
        } else if let store = row["store"]?.string {
            self.store = store
            entries = row["entries"]?.unsigned ?? 0
            broken = row["problem"]?.string
            isKnown = row["known"]?.bool == true
            isPartial = row["entries"] == nil
            last = row["last"]?.string
        }
    }

    /// Whether lines came, and not the last one.
    package var isBrokenOff: Bool { isBegun && store == nil }

    /// Those of this store; a store that was begun anew has a record of its own.
    private var own: [Head] { (heads ?? []).filter { $0.store == store } }
    private var others: Set<String> { Set((heads ?? []).map(\.store).filter { $0 != store }) }

    /// What is wrong; nil if nothing is.
    package var problem: String? {
        guard store != nil else { return heads?.isEmpty == false ? "there is no audit record, though the journal tells of one" : nil }
        if let broken { return broken }
        if let known, !isKnown { return "no entry has the digest \(known)" }
        // Which entries there are they do not see.
        if isPartial { return nil }
        for head in own where digests[head.id] != head.digest {
            let time = TimeText.local(head.time)
            return head.id > entries
                ? "the journal tells of \(head.id) entries at \(time), and there are \(entries)"
                : "entry \(head.id) is another than the journal told at \(time)"
        }
        return nil
    }

    package var lines: [String] {
        var lines: [String] = []
        if let problem {
            lines.append("The audit record was changed: \(problem).")
        } else if store == nil {
            lines.append("There is no audit record yet.")
        } else if isPartial {
            lines.append("The audit record's entries follow from each other.")
            if known != nil { lines.append("The one with the digest that you gave is among them: up to there it is as it was.") }
            lines.append(
                contentsOf: last.map {
                    [
                        "The last about you or about everybody has this digest; keep it, to compare later:",
                        "  termspan verify --audit --known \($0)",
                    ]
                } ?? [])
        } else if own.isEmpty {
            lines.append("The audit record's \(entries) entries follow from each other. One that was written anew as a whole would, too:")
            lines.append(heads == nil ? "you may not read the journal, which would tell." : "the journal has nothing to compare them with.")
        } else {
            lines.append("The audit record is as it was written: \(entries) entries, of which the journal was told \(own.count) times.")
        }
        if !others.isEmpty {
            lines.append("The journal was also told of the records of \(others.count) other stores. A store is begun anew where one")
            lines.append("was damaged, as termspan log --event store-replaced tells, or the package was purged.")
        }
        return lines
    }

    package var json: JSONValue {
        .object([
            .init("store", .optional(store)), .init("entries", isPartial ? .null : .unsigned(entries)),
            .init("problem", .optional(problem)),
            .init("journal_records", heads == nil || isPartial ? .null : .unsigned(UInt64(own.count))),
            .init("other_stores", heads == nil ? .null : .unsigned(UInt64(others.count))), .init("last", .optional(last)),
            .init("known", known == nil ? .null : .bool(isKnown)),
        ])
    }
}
