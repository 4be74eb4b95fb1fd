/// What tells users at logon that their activity is recorded: files of the package's below /etc, which an administrator can change.
package enum LogonNotice {
    /// For X sessions that Debian's Xsession starts, and for login shells that read /etc/profile.
    package static let scripts = ["/etc/X11/Xsession.d/95termspan-notice", "/etc/profile.d/termspan-notice.sh"]

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
}
