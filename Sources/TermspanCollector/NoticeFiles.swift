import Glibc
import TermspanCore
import TermspanSystem

/// The notices that tracked users see at logon: in the runtime folder one folder for each user about whom somebody decided, which that user
/// alone can enter, with the file `text` in it, which is empty if the user is not tracked; and the file `default` for those without a folder, where new users are
/// tracked. So it is there before whoever logs on for the first time, and nobody sees whether another is tracked.
struct NoticeFiles {
    let folder: String

    /// Makes the folder hold exactly these notices.
    ///
    /// - Parameters:
    ///   - texts: By uid; empty for a user who is not tracked.
    ///   - others: For all other users; nil if they are not tracked.
    func keep(_ texts: [UInt32: String], others: String?) {
        // Whoever can't list it finds no other user's.
        chmod(folder, 0o711)
        for name in (try? namesInFolder(folder, limit: 100_000)) ?? [] {
            if let uid = UInt32(name), texts[uid] != nil { continue }
            if name != "default" || others == nil { remove("\(folder)/\(name)") }
        }
        for (uid, text) in texts {
            let own = "\(folder)/\(uid)"
            var status = stat()
            if lstat(own, &status) == 0, status.st_mode & S_IFMT != S_IFDIR { unlink(own) }
            mkdir(own, 0o700)
            // A file system without lists of rights shows who is tracked rather than hides it from whom it concerns.
            if !allow(uid, to: own) { chmod(own, 0o755) }
            write(text, to: "\(own)/text")
        }
        if let others { write(others, to: "\(folder)/default") }
    }

    private func write(_ text: String, to path: String) {
        guard (try? readFile(path, limit: 65_536)) != Array(text.utf8) else { return }
        let temporary = "\(path).new"
        guard let file = try? openFile(temporary, flags: O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode: 0o644) else { return }
        fchmod(file.raw, 0o644)
        guard (try? writeAll(Array(text.utf8), to: file)) != nil else { return }
        rename(temporary, path)
    }

    private func remove(_ path: String) {
        for name in (try? namesInFolder(path, limit: 16)) ?? [] { unlink("\(path)/\(name)") }
        if rmdir(path) != 0 { unlink(path) }
    }

    /// Gives one user besides the owner the right to read and enter: acl(5), in the form that the kernel takes.
    private func allow(_ uid: UInt32, to path: String) -> Bool {
        let anybody = UInt32.max
        var list: [UInt8] = [2, 0, 0, 0]
        for (tag, rights, id) in [
            (1, 7, anybody), (2, 5, uid), (4, 0, anybody), (0x10, 5, anybody), (0x20, 0, anybody),
        ] as [(UInt8, UInt8, UInt32)] {
            list += [tag, 0, rights, 0] + (0..<4).map { UInt8(truncatingIfNeeded: id >> (8 * $0)) }
        }
        return (try? setAttribute("system.posix_acl_access", of: path, to: list)) != nil
    }

    /// What a tracked user is told, on lines that fit a terminal.
    static func text(level: PrivacyLevel, reason: String, responsible: String) -> String {
        let why = reason.isEmpty ? [] : ["Why: \(reason)"]
        let lines =
            [
                "Your activity in desktop sessions on this server is recorded (level: \(level.name)).", "",
                "Recorded are: \(WhatIsRecorded.recorded).", "Never recorded are: \(WhatIsRecorded.never).", "",
            ] + why + [
                "See all of it, why, and how to object: termspan me",
                responsible.isEmpty ? "Questions: ask the administrators of this server." : "Who answers for it: \(responsible)", "",
            ]
        return lines.flatMap { $0.wrapped(to: 80) }.joined(separator: "\n")
    }
}
