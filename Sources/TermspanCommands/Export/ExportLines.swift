import Glibc
import TermspanBus
import TermspanSystem

/// How far an export has come.
@MainActor
final class ExportOutcome {
    var rows: UInt64 = 0
    /// After which the next one goes on; nil where there is none.
    var cursor: String?
}

/// What the report service says between the rows of an export.
package enum ExportMark: Equatable {
    /// After so many rows the cursor is this one.
    case reached(cursor: String?, rows: UInt64, isComplete: Bool)
    case failed(String)

    private static let beginnings = [Array("{\"cursor\":".utf8), Array("{\"error\":".utf8), Array("{\"complete\":".utf8)]

    /// nil for a row: none begins like a mark.
    package init?(_ line: ArraySlice<UInt8>) {
        guard line.first == UInt8(ascii: "{"), Self.beginnings.contains(where: { line.starts(with: $0) }),
            let value = JSONValue(Array(line))
        else { return nil }
        if let error = value["error"]?.string {
            self = .failed(error)
        } else {
            self = .reached(
                cursor: value["cursor"]?.string, rows: value["rows"]?.unsigned ?? 0, isComplete: value["complete"]?.bool == true)
        }
    }
}

extension Client {
    /// Asks for an export and gives its lines to a file as they are.
    func exportLines(_ filter: [String: BusValue], to file: ExportFile, _ outcome: ExportOutcome) throws(CommandError) {
        let answer = try reportsAnswer("Export", filter)
        let descriptor = try decode(answer) { message throws(BusError) in try message.readUnixFD() }
        var progress = ExportProgress()
        var buffer: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 16)
        var isComplete = false
        while true {
            let count = Glibc.read(descriptor, &part, part.count)
            if count < 0, errno == EINTR { continue }
            if count < 0 { throw CommandError(.failure, "Reading the export: \(String(cString: strerror(errno)))") }
            if count == 0 { break }
            buffer += part[..<count]
            var start = 0
            // Rows between two marks go on together.
            var rows = 0
            while let end = buffer[start...].firstIndex(of: UInt8(ascii: "\n")) {
                if buffer[start] == UInt8(ascii: "{"), let mark = ExportMark(buffer[start..<end]) {
                    file.write(buffer[rows..<start])
                    rows = end + 1
                    switch mark {
                    case .failed(let reason): throw CommandError(.failure, "The export ended early: \(reason)")
                    case .reached(let cursor, let count, let isLast):
                        (outcome.cursor, outcome.rows) = (cursor ?? outcome.cursor, count)
                        isComplete = isComplete || isLast
                    }
                    progress.show(outcome.rows)
                }
                start = end + 1
            }
            file.write(buffer[rows..<start])
            buffer.removeFirst(start)
            if let error = file.error { throw error }
            if buffer.count > 1 << 20 { throw CommandError(.failure, "A line of the report service is too long.") }
        }
        progress.end()
        guard isComplete else {
            throw CommandError(.failure, "The report service ended before the export was complete.", remedy: "Try again.")
        }
    }

    /// Asks for the tables of an export, has a program make a database of them, and gives that to a file.
    ///
    /// - Returns: how many rows it has.
    func exportDatabase(_ filter: [String: BusValue], to file: ExportFile) throws(CommandError) -> UInt64 {
        let answer = try reportsAnswer("Export", filter)
        let descriptor = try decode(answer) { message throws(BusError) in try message.readUnixFD() }
        // SQLite opens files by their names, so that it works where nobody else can put others under them.
        var template = Array("/var/tmp/termspan-export-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw CommandError(.failure, "A folder in /var/tmp can't be made: \(String(cString: strerror(errno)))")
        }
        let folder = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        let path = folder + "/export.db"
        defer {
            for suffix in ["", "-journal"] { unlink(path + suffix) }
            rmdir(folder)
        }
        let rows = try Self.makeDatabase(of: descriptor, path)
        let database = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard database >= 0 else { throw CommandError(.failure, "\(path): \(String(cString: strerror(errno)))") }
        defer { close(database) }
        var part = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(database, &part, part.count)
            if count < 0, errno == EINTR { continue }
            if count < 0 { throw CommandError(.failure, "\(path): \(String(cString: strerror(errno)))") }
            if count == 0 { return rows }
            file.write(part[..<count])
            if let error = file.error { throw error }
        }
    }

    private static let program = "/usr/libexec/termspan/termspan-reportd"

    /// Runs the report service's program as the caller, with the pipe as its standard input, and reads how many rows it wrote.
    private static func makeDatabase(of lines: Int32, _ path: String) throws(CommandError) -> UInt64 {
        let program = getenv("TERMSPAN_REPORTD").map { String(cString: $0) } ?? program
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw CommandError(.failure, "pipe: \(String(cString: strerror(errno)))") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, lines, 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        var arguments: [UnsafeMutablePointer<CChar>?] = ([program, "--make-database", path] as [String]).map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var process: pid_t = 0
        let code = posix_spawn(&process, program, &actions, nil, &arguments, environ)
        close(ends[1])
        guard code == 0 else {
            throw CommandError(
                .failure, "\(program) can't be run: \(String(cString: strerror(code))).",
                remedy: "Is the package installed? `termspan doctor` tells more.")
        }
        var said: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = Glibc.read(ends[0], &part, part.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 || said.count > 1 << 16 { break }
            said += part[..<count]
        }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        guard status == 0, let rows = UInt64(String(decoding: said, as: UTF8.self).prefix { $0 != "\n" }) else {
            // It has said why on standard error.
            throw CommandError(.failure, "The database could not be made.")
        }
        return rows
    }
}

/// Tells on a terminal how many rows there are, once a second.
@MainActor
struct ExportProgress {
    private let isShown = isatty(STDERR_FILENO) == 1 && isatty(STDOUT_FILENO) == 0
    private var last = ExportProgress.now()
    private var isBegun = false

    mutating func show(_ rows: UInt64) {
        guard isShown, Self.now() > last else { return }
        last = Self.now()
        isBegun = true
        Output.writeAll(STDERR_FILENO, Array("\r\(rows) rows".utf8))
    }

    func end() { if isBegun { Output.writeAll(STDERR_FILENO, Array("\r".utf8)) } }

    private static func now() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec
    }
}

/// Keeps a cursor from one export to the next: in the folder that was there when it was begun, to which no link of another user's leads, as for
/// `ExportFile`.
@MainActor
final class CursorFile {
    private let path: String
    private let folder: OwnedDescriptor
    /// In the folder.
    private let name: String
    /// What the file has; nil where there is none yet.
    let cursor: String?

    init(path: String) throws(CommandError) {
        self.path = path
        let slash = path.lastIndex(of: "/")
        name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        do throws(SystemError) {
            folder = try openFolderByOwnLinks(slash.map { String(path[...$0]) } ?? ".")
        } catch {
            throw ExportFile.failure(path, error.code)
        }
        let descriptor = openat(folder.raw, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            guard errno == ENOENT else { throw CommandError(.failure, "\(path): \(String(cString: strerror(errno)))") }
            cursor = nil
            return
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 1024)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { throw CommandError(.failure, "\(path): \(String(cString: strerror(errno)))") }
        let text = String(decoding: bytes[..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        guard !text.isEmpty else {
            throw CommandError(.failure, "\(path) is empty, and has no cursor.", remedy: "Remove it to begin anew.")
        }
        cursor = text
    }

    /// Puts the cursor into a new file beside it, durably, and that in its place.
    func keep(_ cursor: String) throws(CommandError) {
        let temporary = name + ".new"
        unlinkat(folder.raw, temporary, 0)
        let descriptor = openat(folder.raw, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure(cursor) }
        let bytes = Array((cursor + "\n").utf8)
        let isWritten = Glibc.write(descriptor, bytes, bytes.count) == bytes.count && fsync(descriptor) == 0
        close(descriptor)
        guard isWritten, renameat(folder.raw, temporary, folder.raw, name) == 0 else {
            let error = failure(cursor)
            unlinkat(folder.raw, temporary, 0)
            throw error
        }
    }

    private func failure(_ cursor: String) -> CommandError {
        CommandError(
            .failure, "The cursor could not be kept in \(path): \(String(cString: strerror(errno)))",
            remedy: "The rows are complete. For what comes later: --after \(cursor)")
    }
}
