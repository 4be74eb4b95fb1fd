import Glibc
import TermspanCore
import TermspanSystem

/// The notices that tracked users see at logon: one file a user in the runtime folder, which everybody can read, and `default` for those
/// without one, where new users are tracked. So it is there before whoever logs on for the first time.
struct NoticeFiles {
    let folder: String

    /// Makes the folder hold exactly these notices.
    ///
    /// - Parameters:
    ///   - texts: By uid; empty for a user whom `others` doesn't concern.
    ///   - others: For all other users; nil if they are not tracked.
    func keep(_ texts: [UInt32: String], others: String?) {
        var files = Dictionary(uniqueKeysWithValues: texts.map { (String($0.key), $0.value) })
        files["default"] = others
        for name in (try? namesInFolder(folder, limit: 100_000)) ?? [] where files[name] == nil {
            unlink("\(folder)/\(name)")
        }
        for (name, text) in files {
            let path = "\(folder)/\(name)"
            guard (try? readFile(path, limit: 65_536)) != Array(text.utf8) else { continue }
            let temporary = "\(folder)/.\(name)"
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
        keyboard or mouse and when there is none, and when you log on, lock, connect, disconnect and log off,
        with the address and name of the computer that you connect from.
        Never recorded are: what you type, window titles, contents of the screen.

        See all of it:   termspan spans
        See the policy:  termspan policy show
        \(responsible.isEmpty ? "Questions: ask the administrators of this server." : "Who answers for it: \(responsible)")

        """
    }
}
