import Glibc
import TermspanStore

/// The users that the machine knows: getpwnam_r(3), with whatever sources nsswitch.conf names. It may take a directory's time.
enum UserDatabase {
    static func user(named name: String) -> UserIdentity? {
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        guard getpwnam_r(name, &entry, &buffer, buffer.count, &found) == 0, let found, let login = found.pointee.pw_name else { return nil }
        return UserIdentity(login: String(cString: login), uid: found.pointee.pw_uid)
    }

    static func user(of uid: UInt32) -> UserIdentity? {
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        guard getpwuid_r(uid, &entry, &buffer, buffer.count, &found) == 0, let found, let login = found.pointee.pw_name else { return nil }
        return UserIdentity(login: String(cString: login), uid: uid)
    }
}
