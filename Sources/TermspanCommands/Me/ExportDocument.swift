import Glibc
package import TermspanBus
package import TermspanCore
import TermspanSystem

/// Everything that is held about a user: one JSON object, written part by part, each row as the reports service gives it.
package enum ExportDocument {
    /// A listing in it, and what the reports service is asked for it.
    package struct Part: Sendable {
        package var key: String
        package var member: String
        package var filter: [String: BusValue]
    }

    package static let parts = [
        Part(key: "sessions", member: "History", filter: ["origin": "all"]),
        Part(key: "events", member: "History", filter: ["events": true, "origin": "all"]),
        Part(key: "spans", member: "Spans", filter: ["open": true, "origin": "all"]),
        Part(key: "records", member: "Records", filter: ["origin": "all"]),
        Part(key: "audit", member: "Audit", filter: [:]), Part(key: "facts", member: "Facts", filter: ["history": true]),
    ]

    /// What comes before the parts.
    package static func opening(login: String, userID: UInt32, time: WallInstant, policy: OwnPolicy) -> String {
        let members = JSONValue.object(
            [
                .init("user", .string(login)), .init("uid", .unsigned(UInt64(userID))), .init("time", .string(TimeText.utc(time))),
                .init("policy", policy.policy.json),
            ] + OwnPolicy.json(policy))
        return String(members.text.dropLast())
    }

    /// What comes before the rows of a part, which `Records` writes.
    package static func opening(of part: Part) -> String { ",\n\"\(part.key)\":" }

    /// The end, by which a complete document is told from one that broke off: the number of rows of each part.
    package static func closing(_ counts: [(part: Part, rows: UInt64)]) -> String {
        ",\n\"rows\":" + JSONValue.object(counts.map { .init($0.part.key, .unsigned($0.rows)) }).text + "}\n"
    }
}

extension Client {
    /// Writes everything that is held about the caller.
    func export(_ policy: OwnPolicy, of login: String, to file: ExportFile) throws(CommandError) {
        file.write(ExportDocument.opening(login: login, userID: geteuid(), time: .present, policy: policy))
        var counts: [(part: ExportDocument.Part, rows: UInt64)] = []
        for part in ExportDocument.parts {
            file.write(ExportDocument.opening(of: part))
            let rows = try rows(of: part, to: file)
            counts.append((part: part, rows: rows))
        }
        file.write(ExportDocument.closing(counts))
    }

    /// Writes the rows of one part; returns how many.
    private func rows(of part: ExportDocument.Part, to file: ExportFile) throws(CommandError) -> UInt64 {
        var count: UInt64 = 0
        var writer = Records.Writer(.json, keys: []) { file.write($0) }
        let sender = try ownReports(part.member, part.filter) { row throws(CommandError) in
            writer.write(row)
            count += 1
            if let error = file.error { throw error }
        }
        writer.finish()
        try confirm(sender)
        return count
    }

    /// The answer of a service that was ended in the middle ends like any other: whoever gave it must be there still.
    private func confirm(_ sender: String?) throws(CommandError) {
        guard let sender else { return }
        do throws(BusError) {
            _ = try bus.callAndWait(
                sender, path: "/org/termspan1/reports", interface: "org.freedesktop.DBus.Peer", member: "Ping", timeout: Self.timeout,
                autoStart: false)
        } catch {
            if error.isUnreachable {
                throw CommandError(.failure, "The reports service ended before its answer was known to be complete.", remedy: "Try again.")
            }
        }
    }
}

/// Where an export goes: standard output, or a new file of the caller's alone, in the folder that was there when it was begun.
///
/// Whoever runs this may be root, and the folder another's: the way to it is gone once, and by nobody else's links, and from then on it is a
/// descriptor, since what its path leads to may be another folder by the time.
@MainActor
final class ExportFile {
    private let path: String?
    private let descriptor: Int32
    private let folder: Int32
    /// In the folder.
    private let name: String
    private var buffer: [UInt8] = []
    /// Whether the file has its name. One that gets it when it is complete goes by itself if this program ends before (open(2), O_TMPFILE).
    private var isNamed = false
    /// Why not all could be written; nothing more is then.
    private(set) var error: CommandError?

    init(path: String?) throws(CommandError) {
        // A name that many programs take for standard output.
        let path = path == "-" ? nil : path
        self.path = path
        guard let path else {
            (descriptor, folder, name) = (STDOUT_FILENO, -1, "")
            return
        }
        let slash = path.lastIndex(of: "/")
        name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        do throws(SystemError) {
            folder = try openFolderByOwnLinks(slash.map { String(path[...$0]) } ?? ".").release()
        } catch {
            throw Self.failure(path, error.code)
        }
        var status = stat()
        if fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0,
            let unnamed = try? openUnnamedFile(in: "/proc/self/fd/\(folder)", mode: 0o600).release()
        {
            descriptor = unnamed
            return
        }
        // Not every file system has such files.
        isNamed = true
        descriptor = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        if descriptor < 0 { throw Self.failure(path, errno) }
    }

    static func failure(_ path: String, _ code: Int32) -> CommandError {
        if code == ELOOP {
            return CommandError(
                .failure, "\(path): On the way there is a link of another user's, who could have it lead elsewhere.",
                remedy: "Name the folder itself.")
        }
        return CommandError(
            .failure, "\(path): \(String(cString: strerror(code)))",
            remedy: code == EEXIST
                ? "Nothing is overwritten: name a file that is not there." : "Without a name the document goes to standard output.")
    }

    func write(_ text: String) { write(text.utf8) }

    func write(_ bytes: some Sequence<UInt8>) {
        buffer += bytes
        if buffer.count >= 1 << 16 { flush() }
    }

    /// Has all of it written, durably if it is a file; throws what failed since the beginning.
    func finish() throws(CommandError) {
        flush()
        if error == nil, path != nil, fsync(descriptor) != 0 { error = failure() }
        if let error { throw error }
        guard let path else { return }
        if !isNamed, linkat(AT_FDCWD, "/proc/self/fd/\(descriptor)", folder, name, AT_SYMLINK_FOLLOW) != 0 {
            throw Self.failure(path, errno)
        }
        close(descriptor)
        close(folder)
    }

    /// Removes what is not complete.
    func discard() {
        if isNamed, isOurs { unlinkat(folder, name, 0) }
    }

    /// Whether what has the name is the file: whose folder it is may have put another there.
    private var isOurs: Bool {
        var (own, named) = (stat(), stat())
        return fstat(descriptor, &own) == 0 && fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && own.st_ino == named.st_ino
            && own.st_dev == named.st_dev
    }

    private func flush() {
        var offset = 0
        while error == nil, offset < buffer.count {
            let count = buffer.withUnsafeBytes { bytes in
                Glibc.write(descriptor, bytes.baseAddress.map { $0 + offset }, bytes.count - offset)
            }
            if count < 0, errno == EINTR { continue }
            if count <= 0 { error = failure() } else { offset += count }
        }
        buffer.removeAll(keepingCapacity: true)
    }

    private func failure() -> CommandError {
        let reason = String(cString: strerror(errno))
        return CommandError(.failure, "Writing \(path ?? "to standard output"): \(reason)")
    }
}
