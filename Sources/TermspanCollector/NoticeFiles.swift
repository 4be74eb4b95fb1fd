import Glibc
import TermspanCore
import TermspanSystem

/// The notices that tracked users see at logon: one file a user in the runtime folder, which everybody can read.
struct NoticeFiles {
    let folder: String

    /// Makes the folder hold exactly the notices of these users.
    func keep(_ texts: [UInt32: String]) {
        for name in (try? namesInFolder(folder, limit: 100_000)) ?? [] where UInt32(name).flatMap({ texts[$0] }) == nil {
            unlink("\(folder)/\(name)")
        }
        for (uid, text) in texts {
            let path = "\(folder)/\(uid)"
            guard (try? readFile(path, limit: 65_536)) != Array(text.utf8) else { continue }
            let temporary = "\(folder)/.\(uid)"
            guard let file = try? openFile(temporary, flags: O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode: 0o644) else { continue }
            _ = fchmod(file.raw, 0o644)
            guard (try? writeAll(Array(text.utf8), to: file)) != nil else { continue }
            rename(temporary, path)
        }
    }

    /// What a tracked user is told.
    static func text(level: PrivacyLevel, responsible: String) -> String {
        """
        Your activity in desktop sessions on this server is recorded (level: \(level.name)).

        Recorded are: which application has the focus and from when to when, when there is input from
        keyboard or mouse and when there is none, and when you log on, connect, disconnect and log off.
        Never recorded are: what you type, window titles, contents of the screen.

        See all of it:   termspan spans
        See the policy:  termspan policy show
        \(responsible.isEmpty ? "Questions: ask the administrators of this server." : "Who answers for it: \(responsible)")

        """
    }
}
