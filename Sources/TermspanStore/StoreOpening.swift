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
}

/// What became of a damaged store.
package struct StoreReplacement: Equatable, Sendable {
    /// Where it lies now.
    package var file: String
    package var damage: String
    /// Whether the new store has its policy; else nobody is tracked.
    package var keepsPolicy: Bool
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

    /// Opens the store and ends what other boots left open. A damaged one is set aside, never deleted, and a new one is begun.
    package static func open(_ place: StorePlace, anchor: ClockAnchor) throws(StoreError) -> StoreOpening {
        // Interrupted between its last two steps, a replacement is complete.
        if access(place.path, F_OK) != 0, errno == ENOENT, access(place.draft, F_OK) == 0 { rename(place.draft, place.path) }
        do throws(StoreError) {
            return try StoreOpening(StoreWriter.open(place, anchor: anchor))
        } catch {
            guard error.code == .damaged else { throw error }
            return try replace(place, damage: error, policy: nil, doomed: nil, anchors: [anchor]) {}
        }
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
    ///   - doomed: the keys that are to be destroyed for ever; nil likewise, as far as it can be read.
    ///   - close: gives the damaged file up, once the new one is complete.
    private static func replace(
        _ place: StorePlace, damage: StoreError, policy known: Policy?, doomed: [KeyID]?, anchors: [ClockAnchor], close: () -> Void
    ) throws(StoreError) -> StoreOpening {
        let policy = known ?? salvaged(place, salvagedPolicy)
        let doomed = doomed ?? salvaged(place) { try? doomedKeys($0) } ?? []
        for suffix in ["", "-wal", "-shm"] { unlink(place.draft + suffix) }
        var draft = place
        draft.path = place.draft
        let first = try StoreWriter.open(draft, anchor: anchors[0])
        // First, so that nobody is carried over under one of them.
        try first.bury(doomed, at: anchors[0].wall)
        if let policy { try first.carryOver(policy) }
        var batch = StoreBatch()
        batch.anchors = anchors
        try first.write(batch)
        // Folds the log into the file, which then stands for itself.
        first.close()
        close()

        let aside = unusedName(beside: place.path)
        // The log first: one that lay beside the new file would be taken for its own.
        for suffix in ["-wal", "-shm"] where access(place.path + suffix, F_OK) == 0 {
            try move(place.path + suffix, to: aside + suffix)
        }
        try move(place.path, to: aside)
        try move(draft.path, to: place.path)
        for suffix in ["-wal", "-shm"] { unlink(draft.path + suffix) }
        var opening = try StoreOpening(StoreWriter.open(place, anchor: anchors[0]))
        opening.replacement = StoreReplacement(file: aside, damage: damage.description, keepsPolicy: policy != nil)
        return opening
    }

    private static func doomedKeys(_ db: Database) throws -> [KeyID] {
        try DatabaseBytes.fetchAll(db, sql: "SELECT key FROM tombstone WHERE kind = 'key'").compactMap { KeyID(prefix: $0) }
    }

    /// What can still be read of a damaged store.
    private static func salvaged<T>(_ place: StorePlace, _ body: (Database) throws -> T?) -> T? {
        guard let keys = try? KeyFile(place.keys, creates: false, writes: false) else { return nil }
        var configuration = GRDB.Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { try SealedValues(keys: keys).register($0) }
        guard let queue = try? DatabaseQueue(path: place.path, configuration: configuration) else { return nil }
        defer { queue.closeAndKeep() }
        return try? queue.read(body)
    }

    /// The policy of a damaged store; nil unless all that it rests on is whole: a missing row could have somebody tracked who must not be.
    private static func salvagedPolicy(_ db: Database) throws -> Policy? {
        for table in ["user", "user_identifier", "tracking", "setting", "do_not_track", "role", "own_group"]
        where try db.tableExists(table) {
            guard try String.fetchAll(db, sql: "PRAGMA integrity_check(\(table))") == ["ok"] else { return nil }
        }
        return try Policy(db)
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
