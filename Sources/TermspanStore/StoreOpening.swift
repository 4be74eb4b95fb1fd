import GRDB
import Glibc
import TermspanAccounting
package import TermspanCore

/// Whose store a file is.
package struct StorePlace: Equatable, Sendable {
    package var path: String
    /// An identity derived from machine-id(5) for this application.
    package var machine: ID128
    /// The kernel's boot id.
    package var boot: ID128
    package var keys: KeyPlace

    package init(path: String, machine: ID128, boot: ID128, keys: KeyPlace) {
        self.path = path
        self.keys = keys
        self.machine = machine
        self.boot = boot
    }

    /// The new store while it is being made beside a damaged one.
    var draft: String { path + ".new" }
    /// A file by which root asks for a recovery at the next start.
    var request: String { path + ".recover" }
}

/// What became of a damaged store.
package struct StoreReplacement: Equatable, Sendable {
    /// Where it lies now.
    package var file: String
    package var damage: String
    /// Whether the new store has its policy; else nobody is tracked.
    package var keepsPolicy: Bool
    /// What the new store has of it, and what is lost; nil where nothing of it could be read.
    package var recovery: StoreRecovery?
    /// The open sessions that the new store knows.
    package var known: Set<UUIDv7> = []
    /// Those of them that are unknown from a moment on, since the last that was stored of them is lost.
    package var unknownSince: [UUIDv7: BootInstant] = [:]
}

/// A store with what a collector must know of it before it goes on.
package struct StoreOpening {
    package var writer: StoreWriter
    /// This boot's open sessions.
    package var open: [OpenSession]
    /// Sessions of other boots, which were open and are ended now.
    package var endedByReboot: [OpenSession]
    package var policy: Policy
    /// Of whom something is held.
    package var held: [HeldUser]
    /// Set where the file was damaged and this is a new one.
    package var replacement: StoreReplacement?
    /// Set where the file's keys can't be used, and why: then this is an empty store in its place, in which nobody is tracked.
    package var locked: String?

    /// An empty store for a collector whose own is closed to it for want of keys: it knows who is on the machine, and collects nothing. The files,
    /// in a folder of the process's own, are worth nothing afterwards.
    package static func locked(
        _ place: StorePlace, by problem: StoreError, folder: String, anchor: ClockAnchor
    ) throws(StoreError) -> StoreOpening {
        let path = "\(folder)/termspan-locked.db"
        for suffix in ["", "-wal", "-shm", ".keys"] { unlink(path + suffix) }
        let keys = KeyPlace(path: path + ".keys", masters: [SecretKey()])
        let empty = StorePlace(path: path, machine: place.machine, boot: place.boot, keys: keys)
        var opening = try StoreOpening(StoreWriter.open(empty, anchor: anchor))
        opening.locked = problem.description
        return opening
    }

    /// Opens the store and ends what other boots left open. A damaged one is set aside, and a new one begun with what is whole of it.
    package static func open(_ place: StorePlace, anchor: ClockAnchor) throws(StoreError) -> StoreOpening {
        // Interrupted between its last two steps, a replacement is complete.
        if access(place.path, F_OK) != 0, errno == ENOENT, access(place.draft, F_OK) == 0 { rename(place.draft, place.path) }
        do throws(StoreError) {
            if let damage = damageUnseen(place) { throw damage }
            return try StoreOpening(StoreWriter.open(place, anchor: anchor))
        } catch {
            guard error.code == .damaged else { throw error }
            return try replace(place, damage: error, policy: nil, doomed: nil, anchors: [anchor]) {}
        }
    }

    /// What SQLite does not take for damage: that somebody asks for a recovery, a file that is empty though there are users' keys, and a log that goes
    /// on behind what is not whole of it, from where SQLite forgets the rest.
    private static func damageUnseen(_ place: StorePlace) -> StoreError? {
        func found(_ message: String) -> StoreError { StoreError(.damaged, "open \(place.path)", message) }
        var status = stat()
        guard stat(place.path, &status) == 0 else { return nil }
        if access(place.request, F_OK) == 0 { return found("\(place.request) asks for its recovery") }
        if status.st_size == 0 {
            let holdsUsers = (try? KeyFile(place.keys, creates: false, writes: false))?.isEmpty == false
            return holdsUsers ? found("it is empty, and there are keys of users") : nil
        }
        let lost = DamagedPages(path: place.path)?.lostCommits ?? 0
        return lost > 0 ? found("\(lost) transactions are in its log behind a place that is not whole") : nil
    }

    /// Sets the damaged store of a writer aside and begins a new one, with the policy that is in force.
    package static func replace(_ writer: StoreWriter, damage: StoreError, anchor: ClockAnchor) throws(StoreError) -> StoreOpening {
        let anchors = writer.anchors.anchors
        return try replace(
            writer.place, damage: damage, policy: writer.lastPolicy, doomed: try? writer.read(Self.doomedKeys),
            anchors: anchors.isEmpty ? [anchor] : anchors
        ) {
            writer.close()
        }
    }

    private init(_ writer: StoreWriter) throws(StoreError) {
        self.writer = writer
        endedByReboot = try writer.closeSessionsOfOtherBoots()
        open = try writer.sessionsOpen()
        policy = try writer.policy()
        held = try writer.usersWithHistory()
    }

    /// Makes the new store first and gives it the name last, so that an end at any moment, or a full disk, leaves what there was.
    ///
    /// - Parameters:
    ///   - policy: nil is the damaged one's, if that is whole.
    ///   - doomed: keys that are to be destroyed for ever, beside those of which the damaged one tells.
    ///   - close: gives the damaged file up, once the new one is complete.
    private static func replace(
        _ place: StorePlace, damage: StoreError, policy known: Policy?, doomed: [KeyID]?, anchors: [ClockAnchor], close: () -> Void
    ) throws(StoreError) -> StoreOpening {
        for suffix in ["", "-wal", "-shm", "-journal"] { unlink(place.draft + suffix) }
        var draft = place
        draft.path = place.draft
        let recovery = try RecoveredStore.make(of: place, at: anchors[0])
        if recovery == nil {
            for suffix in ["", "-wal", "-shm", "-journal"] { unlink(place.draft + suffix) }
        }
        let first = try StoreWriter.open(draft, anchor: anchors[0])
        // First, so that nobody is carried over under one of them.
        let buried = Set((try? first.read(doomedKeys)) ?? [])
        try first.bury((doomed ?? []).filter { !buried.contains($0) }, at: anchors[0].wall)
        if let known, try first.policy() != known { try first.carryOver(known) }
        let isKept = known != nil || recovery?.keepsPolicy == true
        var batch = StoreBatch()
        batch.anchors = anchors
        try first.write(batch)
        if let recovery { try first.recordRecovery(recovery, at: anchors[0].wall) }
        // Folds the log into the file, which then stands for itself.
        first.close()
        try sync(draft.path)
        close()

        let aside = unusedName(beside: place.path)
        // The log first: one that lay beside the new file would be taken for its own.
        for suffix in ["-wal", "-shm"] where access(place.path + suffix, F_OK) == 0 {
            try move(place.path + suffix, to: aside + suffix)
        }
        try move(place.path, to: aside)
        try move(draft.path, to: place.path)
        for suffix in ["-wal", "-shm"] { unlink(draft.path + suffix) }
        unlink(place.request)
        if let recovery { write(recovery.report, beside: aside) }
        var opening = try StoreOpening(StoreWriter.open(place, anchor: anchors[0]))
        var replacement = StoreReplacement(file: aside, damage: damage.description, keepsPolicy: isKept, recovery: recovery)
        replacement.known = Set(opening.open.map(\.record.uuid))
        if let recovery, recovery.lostCommits > 0 {
            for session in opening.open { replacement.unknownSince[session.record.uuid] = session.lastDurable }
        }
        opening.replacement = replacement
        return opening
    }

    /// Makes durable what was written without.
    private static func sync(_ path: String) throws(StoreError) {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        defer { if descriptor >= 0 { Glibc.close(descriptor) } }
        guard descriptor >= 0, fsync(descriptor) == 0 else { throw StoreError(.storage, "write \(path)", String(cString: strerror(errno))) }
    }

    /// What is lost, in full; without it the journal has what matters.
    private static func write(_ report: String, beside aside: String) {
        let descriptor = Glibc.open(aside + ".txt", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return }
        defer { Glibc.close(descriptor) }
        var rest = Array(report.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    private static func doomedKeys(_ db: Database) throws -> [KeyID] {
        try DatabaseBytes.fetchAll(db, sql: "SELECT key FROM tombstone WHERE kind = 'key'").compactMap { KeyID(prefix: $0) }
    }

    /// How the names of damaged stores begin that were set aside.
    static let asidePrefix = "termspan-damaged-"

    /// `termspan-damaged-20260102T030405Z.db`: with the moment, in the store's folder.
    private static func unusedName(beside path: String) -> String {
        var now = time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        var text = [CChar](repeating: 0, count: 32)
        strftime(&text, text.count, "%Y%m%dT%H%M%SZ", &parts)
        let moment = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let folder = path.lastIndex(of: "/").map { path[...$0] } ?? ""
        for number in 1... {
            let name = "\(folder)\(asidePrefix)\(moment)\(number == 1 ? "" : "-\(number)").db"
            if access(name, F_OK) != 0 { return name }
        }
        preconditionFailure("a name is free")
    }

    private static func move(_ old: String, to new: String) throws(StoreError) {
        guard rename(old, new) == 0 else {
            throw StoreError(.storage, "set aside \(old)", String(cString: strerror(errno)))
        }
    }
}
