import GRDB
import GRDBSQLite
import Glibc
import TermspanSystem

/// A copy of the store in one file, made while others read and write it.
///
/// It is written by VACUUM INTO, in one read transaction: it is the store as it was at one moment, without the gaps in which SQLite leaves copies of
/// what was removed. Names stay sealed, and no key is needed or copied.
package struct StoreBackup: Equatable, Sendable {
    package var bytes: UInt64
    /// The SHA-256 of the file, in hexadecimal digits.
    package var digest: String

    /// Why nothing was written where all else is right.
    package enum Refusal: Error, Equatable, CustomStringConvertible {
        /// There is such a file.
        case exists(String)
        /// Somebody else than root could put another file in its place.
        case insecure(String)
        /// Somebody else than root could have the way there lead elsewhere.
        case link(String)
        /// The store or its keys are there.
        case own(String)
        /// What is kept there others can read, as on a file system without owners.
        case readable(String)
        case cancelled

        package var description: String {
            switch self {
            case .exists(let path): "\(path) exists"
            case .insecure(let folder): "others than root may write to \(folder)"
            case .link(let folder): "on the way to \(folder) there is a link of another user's"
            case .own(let folder): "\(folder) is where the store or its keys are"
            case .readable(let folder): "files in \(folder) can be read by others, whatever their mode is to be"
            case .cancelled: "it was interrupted"
            }
        }
    }

    /// Makes the copy, under another name until it is whole, checked and durable. Whatever fails, nothing is left of it.
    ///
    /// - Parameters:
    ///   - path: the store.
    ///   - target: gets mode 0600.
    ///   - replaces: whether a file that is there is replaced.
    ///   - apart: files beside which there is to be no copy.
    ///   - progress: is told how many bytes of about how many are written, and says whether to go on. It is called often.
    ///   - recording: is told the file's whole path before anything is copied, once nothing speaks against it any more.
    package static func make(
        of path: String, to target: String, replaces: Bool = false, apart: [String] = [],
        progress: @escaping (_ done: UInt64, _ all: UInt64) -> Bool = { _, _ in true },
        recording: (_ file: String) -> Void = { _ in }
    ) throws -> StoreBackup {
        let slash = target.lastIndex(of: "/")
        let folder = slash.map { $0 == target.startIndex ? "/" : String(target[..<$0]) } ?? "."
        let name = slash.map { String(target[target.index(after: $0)...]) } ?? target
        let place = try real(folder)
        if let open = insecure(place) { throw Refusal.insecure(open) }
        for kept in apart where isSame(place, kept) { throw Refusal.own(place) }
        let final = "\(place)/\(name)"
        let partial = "\(final).partial"
        if !replaces, isThere(final) { throw Refusal.exists(target) }
        // One that was killed left them; the folder is root's. A journal would be taken for that of the new file.
        for suffix in ["", "-journal"] { unlink(partial + suffix) }
        let descriptor = open(partial, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failed("create \(partial)") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_uid == geteuid(), status.st_mode & 0o077 == 0 else {
            unlink(partial)
            throw Refusal.readable(place)
        }
        var isDone = false
        defer { if !isDone { for suffix in ["", "-journal"] { unlink(partial + suffix) } } }
        recording(final)
        try copy(path, to: partial, descriptor, progress)
        try check(partial)
        guard fsync(descriptor) == 0 else { throw failed("write \(partial)") }
        let backup = try measured(descriptor, partial)
        guard progress(backup.bytes, backup.bytes) else { throw Refusal.cancelled }
        if replaces {
            guard rename(partial, final) == 0 else { throw failed("name \(target)") }
        } else {
            guard link(partial, final) == 0 else { throw errno == EEXIST ? Refusal.exists(target) : failed("name \(target)") }
            unlink(partial)
        }
        isDone = true
        let directory = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { if directory >= 0 { close(directory) } }
        guard directory >= 0, fsync(directory) == 0 else { throw failed("write \(place)") }
        return backup
    }

    /// Where a folder is, without links.
    private static func real(_ folder: String) throws -> String {
        do throws(SystemError) {
            let opened = try openFolderByOwnLinks(folder)
            return String(decoding: try readLink("/proc/self/fd/\(opened.raw)"), as: UTF8.self)
        } catch {
            if error.code == ELOOP { throw Refusal.link(folder) }
            throw StoreError(.storage, "open \(folder)", error.text)
        }
    }

    private static func copy(_ path: String, to partial: String, _ descriptor: Int32, _ progress: @escaping (UInt64, UInt64) -> Bool) throws
    {
        let queue = try reader(path, "open \(path)")
        defer { queue.closeAndKeep() }
        do {
            try queue.inDatabase { db in
                guard try Int32.fetchOne(db, sql: "PRAGMA application_id") == Schema.applicationID else {
                    throw StoreError(.notAStore, "open \(path)", "not a store of Termspan, or still empty")
                }
                let pages = try Int64.fetchOne(db, sql: "PRAGMA page_count") ?? 0
                let free = try Int64.fetchOne(db, sql: "PRAGMA freelist_count") ?? 0
                let size = try Int64.fetchOne(db, sql: "PRAGMA page_size") ?? 0
                let all = UInt64(clamping: max(0, pages - free) * size)
                let isContinued = { progress(min(length(descriptor), all), all) }
                guard isContinued() else { throw Refusal.cancelled }
                do {
                    let watch = Watch(isContinued)
                    let context = Unmanaged.passUnretained(watch).toOpaque()
                    sqlite3_progress_handler(db.sqliteConnection, 20_000, { Watch.of($0).mustStop() ? 1 : 0 }, context)
                    defer { sqlite3_progress_handler(db.sqliteConnection, 0, nil, nil) }
                    try withExtendedLifetime(watch) { try db.execute(sql: "VACUUM INTO ?", arguments: [partial]) }
                } catch let error as DatabaseError where error.resultCode == .SQLITE_INTERRUPT {
                    throw Refusal.cancelled
                }
            }
        } catch let error as DatabaseError {
            throw StoreError(error, "copy \(path)")
        }
    }

    /// What SQLite asks now and then whether it is to go on.
    private final class Watch {
        private let isContinued: () -> Bool

        init(_ isContinued: @escaping () -> Bool) { self.isContinued = isContinued }

        func mustStop() -> Bool { !isContinued() }

        static func of(_ context: UnsafeMutableRawPointer?) -> Watch {
            guard let context else { preconditionFailure("the handler has a context") }
            return Unmanaged<Watch>.fromOpaque(context).takeUnretainedValue()
        }
    }

    /// Refuses a copy with which something is wrong: then something is with the store.
    private static func check(_ partial: String) throws {
        let queue = try reader(partial, "open \(partial)")
        defer { queue.closeAndKeep() }
        let found: String?
        do {
            found = try queue.read { db in
                guard try Int32.fetchOne(db, sql: "PRAGMA application_id") == Schema.applicationID else { return "it is no store" }
                return try String.fetchOne(db, sql: "PRAGMA quick_check(1)")
            }
        } catch {
            throw StoreError(error, "check the copy")
        }
        guard found == "ok" else { throw StoreError(.damaged, "check the copy", found ?? "") }
    }

    private static func reader(_ path: String, _ operation: String) throws(StoreError) -> DatabaseQueue {
        var configuration = GRDB.Configuration()
        configuration.label = "termspan-backup"
        configuration.readonly = true
        configuration.busyMode = .timeout(5)
        do {
            return try DatabaseQueue(path: path, configuration: configuration)
        } catch {
            throw StoreError(error, operation)
        }
    }

    private static func measured(_ descriptor: Int32, _ path: String) throws -> StoreBackup {
        let bytes = length(descriptor)
        guard bytes > 0, let start = mmap(nil, Int(bytes), PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED else {
            throw failed("read \(path)")
        }
        defer { munmap(start, Int(bytes)) }
        return StoreBackup(bytes: bytes, digest: SHA256.hexadecimalDigest(of: UnsafeRawBufferPointer(start: start, count: Int(bytes))))
    }

    private static func length(_ descriptor: Int32) -> UInt64 {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? UInt64(max(0, status.st_size)) : 0
    }

    private static func isThere(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    /// The first folder on the way to one in which somebody else than root, or than who runs this, could put other files in place of ours.
    private static func insecure(_ folder: String) -> String? {
        var path = folder
        while true {
            var status = stat()
            let isOurs = lstat(path, &status) == 0 && (status.st_uid == 0 || status.st_uid == geteuid())
            // In a folder as /tmp others can't take away what is ours, and can put beside it what is theirs.
            let isSticky = status.st_mode & S_ISVTX != 0 && path != folder
            if !isOurs || (status.st_mode & 0o022 != 0 && !isSticky) { return path }
            guard path != "/", let slash = path.lastIndex(of: "/") else { return nil }
            path = slash == path.startIndex ? "/" : String(path[..<slash])
        }
    }

    /// Whether a file is in a folder.
    private static func isSame(_ folder: String, _ file: String) -> Bool {
        guard let slash = file.lastIndex(of: "/"), let real = realpath(String(file[..<slash]), nil) else { return false }
        defer { free(real) }
        return String(cString: real) == folder
    }

    private static func failed(_ operation: String) -> StoreError {
        StoreError(.storage, operation, String(cString: strerror(errno)))
    }
}
