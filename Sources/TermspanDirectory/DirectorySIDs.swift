import CTermspanDirectory
package import TermspanCore

/// Asks the directories that the machine takes users from which SIDs a user has: SSSD and winbind, each of which may know the user by another. It
/// waits for them, up to some minutes where winbind is silent.
///
/// - Returns: nil: one of them could not say.
package func directorySIDs(ofUser uid: UInt32) -> Set<SecurityID>? {
    // How long SSSD has, in milliseconds.
    let patience: UInt32 = 2000
    var found: Set<SecurityID> = []
    // A SID of 15 subauthorities has 184 bytes.
    var text = [CChar](repeating: 0, count: 200)
    for isWinbind in [false, true] {
        let answer =
            isWinbind
            ? termspan_sid_by_winbind(uid, &text, text.count) : termspan_sid_by_sssd(uid, patience, &text, text.count)
        switch answer {
        case termspan_sid_known:
            guard let sid = SecurityID(String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)) else {
                return nil
            }
            found.insert(sid)
        case termspan_sid_none: continue
        default: return nil
        }
    }
    return found
}
