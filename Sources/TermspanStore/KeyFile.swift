import Glibc
import Synchronization
import TermspanCore
import TermspanSystem

/// Where the keys are, and what opens them.
package struct KeyPlace: Equatable, Sendable {
    package var path: String
    /// The master keys that there are, the newest last; none where none could be had.
    package var masters: [SecretKey]

    package init(path: String, masters: [SecretKey]) {
        self.path = path
        self.masters = masters
    }

    /// - Throws: `.keys` where the file can't be opened with one of the master keys.
    package func check() throws(StoreError) { _ = try KeyFile(self, creates: false, writes: false) }

    /// The name of the credential (systemd.exec(5), CREDENTIALS) that has the master keys: 32 bytes each, the newest last.
    package static let credential = "termspan.master"

    /// With the master keys that systemd passed to this process; none where it did not, or something else.
    package static func ofService(path: String) -> KeyPlace {
        var masters: [SecretKey] = []
        if let folder = getenv("CREDENTIALS_DIRECTORY"),
            let bytes = try? readFile("\(String(cString: folder))/\(credential)", limit: 16 * SecretKey.length),
            bytes.count % SecretKey.length == 0
        {
            masters = stride(from: 0, to: bytes.count, by: SecretKey.length).compactMap {
                SecretKey(bytes: bytes[$0..<$0 + SecretKey.length])
            }
        }
        return KeyPlace(path: path, masters: masters)
    }
}

/// Names a key of the file, for ever: also once it was destroyed.
struct KeyID: Hashable, Sendable {
    let rawValue: UInt64

    /// 8 bytes, little-endian.
    var bytes: [UInt8] { rawValue.littleEndianBytes }

    init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Takes the first 8 bytes; nil if there are less.
    init?(prefix bytes: some Collection<UInt8>) {
        guard bytes.count >= 8 else { return nil }
        rawValue = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// The file of the users' keys: one each, under the master key. It lies apart from the store, so that it is backed up apart: what was sealed
/// under a key that is destroyed here is gone from every copy of the store.
///
/// Records of 128 bytes, none across two sectors, so that a write leaves the old one or the new one: `TSPK`, kind, version, 2 bytes of zero;
/// the key's ID, 8 bytes; of whom it is, 16 bytes; the key, sealed under the master key with these 32 bytes as its context: nonce 12, key 32,
/// tag 16; zeros. The first record is the root key, by which the master key is known to be the right one, and under which the user is named: HMAC
/// of login and UID. A record of zeros is one that was destroyed, or never was.
///
/// One process writes; others may read beside it. Use it from any thread.
final class KeyFile: Sendable {
    /// What happened to the file, for those who replay it.
    enum Change: Sendable {
        case write(offset: Int, bytes: [UInt8])
        case sync
    }

    private struct Record {
        static let length = 128
        static let contextLength = 32
        static let magic: [UInt8] = Array("TSPK".utf8)
        static let version: UInt8 = 1

        enum Kind: UInt8 {
            case root = 1
            case user = 2
        }

        var kind: Kind
        var id: KeyID
        var owner: ID128
        var sealed: [UInt8]

        var context: [UInt8] { Self.magic + [kind.rawValue, Self.version, 0, 0] + id.bytes + owner.bytes }
        var bytes: [UInt8] {
            let bytes = context + sealed
            return bytes + [UInt8](repeating: 0, count: Self.length - bytes.count)
        }

        init(_ kind: Kind, _ id: KeyID, owner: ID128, _ key: SecretKey, under master: SecretKey) {
            (self.kind, self.id, self.owner, sealed) = (kind, id, owner, [])
            sealed = master.seal(key.bytes, context: context)
        }

        /// Nil for what is none.
        init?(_ bytes: ArraySlice<UInt8>) {
            let start = bytes.startIndex
            guard bytes.count == Self.length, bytes.starts(with: Self.magic), let kind = Kind(rawValue: bytes[start + 4]),
                bytes[start + 5] == Self.version,
                let id = KeyID(prefix: bytes[(start + 8)..<(start + 16)]), let owner = ID128(bytes: bytes[(start + 16)..<(start + 32)])
            else { return nil }
            (self.kind, self.id, self.owner) = (kind, id, owner)
            sealed = Array(bytes[(start + 32)..<(start + 32 + SecretKey.length + SecretKey.overhead)])
        }

        func key(under master: SecretKey) -> SecretKey? {
            master.open(sealed, context: context).flatMap { SecretKey(bytes: $0) }
        }
    }

    private struct Entry {
        var offset: Int
        var record: Record
        /// Once it was needed.
        var key: SecretKey?
    }

    /// What tells one state of the file from another.
    private struct Stamp: Equatable {
        var inode: UInt64 = 0
        var size: Int64 = 0
        var modified: [Int] = []
    }

    private struct State {
        var root: SecretKey
        var rootID: KeyID
        var master: SecretKey
        var entries: [KeyID: Entry] = [:]
        var byOwner: [ID128: [KeyID]] = [:]
        /// Where destroyed ones leave room.
        var free: [Int] = []
        var end = 0
        /// Which may not be durable yet.
        var unsynced: [KeyID] = []
        /// Whether the last sync failed.
        var isUnsure = false
        var stamp = Stamp()
    }

    let place: KeyPlace
    private let state: Mutex<State>
    /// The writer's; nil where the file is only read.
    private let writing: Mutex<Int32>?
    /// For tests: told of each change of the file, after it.
    private let observer: Mutex<(@Sendable (Change) -> Void)?> = Mutex(nil)

    /// Half a million keys.
    private static let most = 64 << 20

    /// Opens the file.
    ///
    /// - Parameters:
    ///   - creates: makes a new one where there is none; else that is an error, since what it held is lost.
    ///   - writes: whether this process is the one that writes.
    /// - Throws: `.keys`, with what to do about it. The file is as it was then.
    init(_ place: KeyPlace, creates: Bool, writes: Bool) throws(StoreError) {
        self.place = place
        guard let newest = place.masters.last else {
            throw Self.failure(
                place, "systemd passed no master key: the journal of 'termspan-keys@*' says why; see termspan-keys(7)")
        }
        var bytes: [UInt8]
        // Before the file is read: what is written meanwhile is looked for again.
        var stamp = Self.stamp(place.path)
        do {
            bytes = try Self.readAll(place)
        } catch {
            guard error.code == .missing else { throw error }
            guard creates else {
                throw Self.failure(place, "the file is gone, and with it the names in the store: restore it; see termspan-keys(7)")
            }
            bytes = Record(.root, Self.newID(), owner: ID128(high: 0, low: 0), SecretKey(), under: newest).bytes
            try Self.replace(place.path, with: bytes)
        }
        var (state, isOld) = try Self.parse(bytes, place)
        // Where there is no room for a new one, the old one goes on.
        if writes, isOld, (try? Self.replace(place.path, with: Self.rewrapped(state, under: newest))) != nil {
            stamp = Self.stamp(place.path)
            (state, isOld) = try Self.parse(Self.readAll(place), place)
        }
        state.stamp = stamp
        if writes {
            let descriptor = Glibc.open(place.path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
            guard descriptor >= 0 else { throw Self.systemFailure("open \(place.path)") }
            writing = Mutex(descriptor)
        } else {
            writing = nil
        }
        self.state = Mutex(state)
    }

    deinit { close() }

    /// Nothing is written any more. Whoever has the file still, as a connection that is kept for ever, keeps no descriptor with it.
    func close() {
        writing?.withLock { descriptor in
            if descriptor >= 0 { Glibc.close(descriptor) }
            descriptor = -1
        }
    }

    var root: SecretKey { state.withLock { $0.root } }

    /// By which a store knows that the file is its own.
    var rootID: KeyID { state.withLock { $0.rootID } }

    // MARK: Reading

    /// Whether no user has a key.
    var isEmpty: Bool { state.withLock { $0.entries.isEmpty } }

    /// A key; nil where it was destroyed, or never was in this file. A reader looks again where the writer has been at work.
    func key(_ id: KeyID) -> SecretKey? {
        state.withLock { state in
            if let key = Self.key(id, &state) { return key }
            guard writing == nil else { return nil }
            let stamp = Self.stamp(place.path)
            guard stamp != state.stamp, let bytes = try? Self.readAll(place), let fresh = try? Self.parse(bytes, place).state,
                fresh.rootID == state.rootID
            else { return nil }
            state = fresh
            state.stamp = stamp
            return Self.key(id, &state)
        }
    }

    private static func key(_ id: KeyID, _ state: inout State) -> SecretKey? {
        guard let entry = state.entries[id] else { return nil }
        if let key = entry.key { return key }
        let key = entry.record.key(under: state.master)
        state.entries[id]?.key = key
        return key
    }

    /// The keys of a user: more than one where an erasure was interrupted, and one that can't be opened counts as well.
    func keys(of user: UserIdentity) -> [KeyID] {
        state.withLock { $0.byOwner[Self.owner(user, $0.root)] ?? [] }
    }

    // MARK: Writing

    /// Makes a key for a user. `sync` must follow before anything that is sealed under it is durable.
    func makeKey(of user: UserIdentity) throws(StoreError) -> KeyID {
        try change { state throws(StoreError) in
            var id = Self.newID()
            while state.entries[id] != nil || id == state.rootID { id = Self.newID() }
            let owner = Self.owner(user, state.root)
            let key = SecretKey()
            let record = Record(.user, id, owner: owner, key, under: state.master)
            let offset = state.free.last ?? state.end
            guard offset < Self.most else { throw Self.failure(place, "there are too many keys") }
            try write(record.bytes, at: offset)
            if state.free.popLast() == nil { state.end += Record.length }
            state.entries[id] = Entry(offset: offset, record: record, key: key)
            state.byOwner[owner, default: []].append(id)
            state.unsynced.append(id)
            return id
        }
    }

    /// Makes durable what was made.
    func sync() throws(StoreError) {
        try change { state throws(StoreError) in
            guard !state.unsynced.isEmpty else { return }
            // What a sync that failed was about is taken for durable by the next one, unless it is written again (fsync(2)).
            if state.isUnsure {
                for entry in state.unsynced.compactMap({ state.entries[$0] }) { try write(entry.record.bytes, at: entry.offset) }
            }
            try flush(&state)
            state.unsynced = []
        }
    }

    /// Overwrites keys with zeros, for good. Those that are not there are none.
    func destroy(_ ids: some Sequence<KeyID>) throws(StoreError) {
        let ids = Array(ids)
        try change { state throws(StoreError) in
            let doomed = ids.compactMap { id in state.entries[id].map { (id, $0) } }
            guard !doomed.isEmpty else { return }
            for (_, entry) in doomed { try write([UInt8](repeating: 0, count: Record.length), at: entry.offset) }
            try flush(&state)
            for (id, entry) in doomed {
                state.entries[id] = nil
                state.byOwner[entry.record.owner]?.removeAll { $0 == id }
                state.free.append(entry.offset)
            }
        }
    }

    func observe(_ body: (@Sendable (Change) -> Void)?) { observer.withLock { $0 = body } }

    private func change<T>(_ body: (inout State) throws(StoreError) -> T) throws(StoreError) -> T {
        try state.withLock { state throws(StoreError) in try body(&state) }
    }

    private func write(_ bytes: [UInt8], at offset: Int) throws(StoreError) {
        guard let descriptor = writing?.withLock({ $0 }) else { preconditionFailure("the file of keys is only read here") }
        guard pwrite(descriptor, bytes, bytes.count, off_t(offset)) == bytes.count else { throw Self.systemFailure("write \(place.path)") }
        observer.withLock { $0?(.write(offset: offset, bytes: bytes)) }
    }

    /// An error is told once, of all that was written before: that is to be written again.
    private func flush(_ state: inout State) throws(StoreError) {
        state.isUnsure = true
        guard let descriptor = writing?.withLock({ $0 }), fdatasync(descriptor) == 0 else { throw Self.systemFailure("sync \(place.path)") }
        state.isUnsure = false
        observer.withLock { $0?(.sync) }
    }

    // MARK: The file

    private static func readAll(_ place: KeyPlace) throws(StoreError) -> [UInt8] {
        do {
            return try readFile(place.path, limit: most)
        } catch {
            throw StoreError(error.code == ENOENT ? .missing : .storage, "read \(place.path)", "\(error)")
        }
    }

    /// What the bytes say, and whether it is not the newest of the master keys that opens them.
    private static func parse(_ bytes: [UInt8], _ place: KeyPlace) throws(StoreError) -> (state: State, isOld: Bool) {
        guard let first = Record(bytes.prefix(Record.length)), first.kind == .root else {
            throw failure(place, "this is no file of keys, or it is damaged: restore it; see termspan-keys(7)")
        }
        guard
            let (master, root) = place.masters.reversed().lazy.compactMap({ master in first.key(under: master).map { (master, $0) } }).first
        else { throw failure(place, "the master key is not the one that the keys are under: restore that; see termspan-keys(7)") }
        var state = State(root: root, rootID: first.id, master: master)
        // An append that power was lost over leaves part of a record, which nothing refers to.
        state.end = bytes.count / Record.length * Record.length
        for offset in stride(from: Record.length, to: state.end, by: Record.length) {
            let part = bytes[offset..<offset + Record.length]
            if let record = Record(part), record.kind == .user {
                state.entries[record.id] = Entry(offset: offset, record: record)
                state.byOwner[record.owner, default: []].append(record.id)
            } else if part.allSatisfy({ $0 == 0 }) {
                state.free.append(offset)
            }
        }
        return (state, master != place.masters.last)
    }

    /// All keys under another master key. One that can't be opened stays as it is.
    private static func rewrapped(_ state: State, under master: SecretKey) -> [UInt8] {
        var bytes = Record(.root, state.rootID, owner: ID128(high: 0, low: 0), state.root, under: master).bytes
        for entry in state.entries.values.sorted(by: { $0.offset < $1.offset }) {
            let record = entry.record
            let key = record.key(under: state.master)
            bytes += key.map { Record(record.kind, record.id, owner: record.owner, $0, under: master).bytes } ?? record.bytes
        }
        return bytes
    }

    /// Gives the path these bytes, all or none, and overwrites what it had.
    private static func replace(_ path: String, with bytes: [UInt8]) throws(StoreError) {
        let draft = path + ".new"
        unlink(draft)
        let descriptor = Glibc.open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard descriptor >= 0 else { throw systemFailure("make \(draft)") }
        defer { Glibc.close(descriptor) }
        guard pwrite(descriptor, bytes, bytes.count, 0) == bytes.count, fsync(descriptor) == 0 else {
            throw systemFailure("write \(draft)")
        }
        let old = Glibc.open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
        defer { if old >= 0 { Glibc.close(old) } }
        guard rename(draft, path) == 0 else { throw systemFailure("replace \(path)") }
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let directory = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        let isDurable = directory >= 0 && fsync(directory) == 0
        if directory >= 0 { Glibc.close(directory) }
        var status = stat()
        // The old one may be what a loss of power leaves.
        guard isDurable, old >= 0, fstat(old, &status) == 0, status.st_size <= most else { return }
        let zeros = [UInt8](repeating: 0, count: Int(status.st_size))
        if pwrite(old, zeros, zeros.count, 0) == zeros.count { fdatasync(old) }
    }

    private static func newID() -> KeyID { KeyID(rawValue: .random(in: 1 ... .max)) }

    private static func owner(_ user: UserIdentity, _ root: SecretKey) -> ID128 {
        let code = root.authenticationCode(of: Array("user\0\(user.login)\0\(user.uid)".utf8))
        return ID128(bytes: code.prefix(16)) ?? ID128(high: 0, low: 0)
    }

    private static func stamp(_ path: String) -> Stamp {
        var status = stat()
        guard stat(path, &status) == 0 else { return Stamp() }
        return Stamp(
            inode: UInt64(status.st_ino), size: Int64(status.st_size), modified: [status.st_mtim.tv_sec, status.st_mtim.tv_nsec])
    }

    private static func failure(_ place: KeyPlace, _ message: String) -> StoreError {
        StoreError(.keys, "open \(place.path)", message)
    }

    private static func systemFailure(_ operation: String) -> StoreError {
        StoreError(.storage, operation, String(cString: strerror(errno)))
    }
}

extension UInt64 {
    fileprivate var littleEndianBytes: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: self >> (8 * UInt64($0))) } }
}
