/// What tells users at logon that their activity is recorded: files of the package's below /etc, which an administrator can change.
package enum LogonNotice {
    /// For X sessions that Debian's Xsession starts, for login shells that read /etc/profile, for fish, and for desktops on Wayland.
    package static let scripts = [
        "/etc/X11/Xsession.d/95termspan-notice", "/etc/profile.d/termspan-notice.sh", "/etc/fish/conf.d/termspan-notice.fish",
        "/etc/xdg/autostart/termspan-notice.desktop",
    ]

    /// Where the package has them, too, so that it is seen when they are changed.
    package static let originals = "/usr/share/termspan/notice/"

    /// Those that are missing or not as the package has them.
    ///
    /// - Parameter content: of a file; nil where there is none.
    package static func changed(_ content: (String) -> [UInt8]?) -> [String] {
        scripts.filter { script in
            guard let now = content(script), let name = script.split(separator: "/").last else { return true }
            return now != content(originals + name)
        }
    }

    /// More than any of them has, in bytes.
    package static let limit = 1 << 16

    /// Shells that read /etc/profile when somebody logs on, and fish.
    private static let told: Set = [
        "sh", "bash", "rbash", "dash", "ash", "busybox", "ksh", "ksh93", "rksh93", "lksh", "mksh", "posh", "yash", "fish",
    ]
    /// With these nobody works at a terminal.
    private static let none: Set = ["", "nologin", "false", "true", "sync"]
    /// What zsh reads when somebody logs on: another package's files, to which only the administrator may add.
    package static let zshFiles = ["/etc/zsh/zlogin", "/etc/zsh/zprofile", "/etc/zsh/zshrc"]
    /// What has zsh show the notice, in one of them.
    package static let zshLine = "[[ -o login ]] && emulate sh -c '. /etc/profile.d/termspan-notice.sh'"

    /// Whether who has this login shell is told at a terminal's logon.
    ///
    /// - Parameters:
    ///   - shell: its path.
    ///   - content: of a file; nil where there is none.
    package static func reaches(shell: String, _ content: (String) -> [UInt8]?) -> Bool {
        let name = shell.split(separator: "/").last.map(String.init) ?? ""
        if told.contains(name) || none.contains(name) { return true }
        guard ["zsh", "rzsh", "zsh-static"].contains(name) else { return false }
        return zshFiles.contains { file in
            let lines = (content(file) ?? []).split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
            return lines.contains { line in line.contains("termspan-notice") && line.first { $0 != " " && $0 != "\t" } != "#" }
        }
    }
}
