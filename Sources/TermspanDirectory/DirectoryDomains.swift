import CTermspanDirectory

/// What the directories that the machine takes users from call the domain of one.
package struct DirectoryDomains: Equatable, Sendable {
    /// As SSSD and winbind write it: one by its name in DNS, the other by the short one. Empty for an account that is none's.
    package var names: [String]
    /// Whether all of them have answered.
    package var isCertain: Bool

    /// Asks, and waits as `directorySIDs` does.
    package init(ofUser uid: UInt32) {
        // How long SSSD has, in milliseconds.
        let patience: UInt32 = 2000
        (names, isCertain) = ([], true)
        // 253 is the longest that a name in DNS may have.
        var text = [CChar](repeating: 0, count: 256)
        for isWinbind in [false, true] {
            let answer =
                isWinbind
                ? termspan_domain_by_winbind(uid, &text, text.count) : termspan_domain_by_sssd(uid, patience, &text, text.count)
            switch answer {
            case termspan_sid_known:
                names.append(String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))
            case termspan_sid_none: continue
            default: isCertain = false
            }
        }
    }
}
