/// What tells users at logon that their activity is recorded: files of the package's below /etc, which an administrator can change.
package enum LogonNotice {
    /// For X sessions that Debian's Xsession starts, and for login shells that read /etc/profile.
    package static let scripts = ["/etc/X11/Xsession.d/95termspan-notice", "/etc/profile.d/termspan-notice.sh"]

    /// Those that show nothing.
    ///
    /// - Parameter size: of a file in bytes; nil where there is none.
    package static func silent(_ size: (String) -> Int?) -> [String] { scripts.filter { (size($0) ?? 0) == 0 } }
}
