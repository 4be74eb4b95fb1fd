import Glibc

/// A user's entry in the user database, with whatever sources nsswitch.conf(5) names: passwd(5). To ask may take a directory's time.
package struct Account: Equatable, Sendable {
    package var login: String
    package var uid: UInt32
    /// The primary group.
    package var gid: UInt32
    /// What people call the user: the comment up to the first comma; empty without one.
    package var name: String
    package var shell: String

    package init(login: String, uid: UInt32, gid: UInt32, name: String = "", shell: String = "") {
        self.login = login
        self.uid = uid
        self.gid = gid
        self.name = name
        self.shell = shell
    }

    /// Nil where there is none, or nobody could say.
    package init?(named name: String) {
        unsafe self.init { entry, buffer, size, found in unsafe getpwnam_r(name, entry, buffer, size, found) }
    }

    package init?(uid: UInt32) {
        unsafe self.init { entry, buffer, size, found in unsafe getpwuid_r(uid, entry, buffer, size, found) }
    }

    private init?(
        _ ask: (
            UnsafeMutablePointer<passwd>, UnsafeMutablePointer<CChar>, Int, UnsafeMutablePointer<UnsafeMutablePointer<passwd>?>
        ) -> Int32
    ) {
        // An entry has hundreds of bytes.
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        var entry = unsafe passwd()
        var found: UnsafeMutablePointer<passwd>?
        let code = unsafe ask(&entry, &buffer, buffer.count, &found)
        guard code == 0, let found = unsafe found else { return nil }
        unsafe self.init(found.pointee)
    }

    private init?(_ entry: passwd) {
        func text(_ field: UnsafeMutablePointer<CChar>?) -> String { unsafe field.map { unsafe String(cString: $0) } ?? "" }
        let login = unsafe text(entry.pw_name)
        if login.isEmpty { return nil }
        unsafe self.init(
            login: login, uid: entry.pw_uid, gid: entry.pw_gid, name: Self.name(inComment: text(entry.pw_gecos), login: login),
            shell: text(entry.pw_shell))
    }

    /// The accounts of /etc/passwd, in its order, whatever other sources nsswitch.conf names: no directory is asked.
    package static func local() -> [Account] {
        guard let file = unsafe fopen("/etc/passwd", "re") else { return [] }
        defer { unsafe fclose(file) }
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        var entry = unsafe passwd()
        var found: UnsafeMutablePointer<passwd>?
        var accounts: [Account] = []
        while unsafe fgetpwent_r(file, &entry, &buffer, buffer.count, &found) == 0, let found = unsafe found {
            if let account = unsafe Account(found.pointee) { accounts.append(account) }
        }
        return accounts
    }

    /// The comment up to the first comma, without what is not fit to print; `&` stands for the login, its first letter in upper case: finger(1).
    package static func name(inComment comment: String, login: String) -> String {
        let name = comment.prefix { $0 != "," }.filter { !$0.unicodeScalars.contains { $0.properties.generalCategory == .control } }
        return name.split(separator: "&", omittingEmptySubsequences: false).joined(
            separator: login.prefix(1).uppercased() + login.dropFirst())
    }

    /// The gids of all groups, the primary one among them; nil where they are too many. A source of nsswitch.conf that is silent adds none, and nothing
    /// tells that (getgrouplist(3)).
    package var groups: Set<UInt32>? {
        var groups = [gid_t](repeating: 0, count: 64)
        var count = Int32(groups.count)
        while unsafe getgrouplist(login, gid, &groups, &count) < 0 {
            // NGROUPS_MAX; and `count` is what it takes.
            guard groups.count < 1 << 16 else { return nil }
            groups = [gid_t](repeating: 0, count: max(Int(count), 2 * groups.count))
            count = Int32(groups.count)
        }
        return Set(groups.prefix(Int(count)))
    }

    /// The gid of a group; nil where it is not known, or nobody could say.
    package static func group(named name: String) -> UInt32? { unsafe entry(ofGroup: name) { unsafe $0.gr_gid } }

    /// Those of whom the user database lists that they are in a group: whom the group's entry names, and of the computer's own accounts those whose primary
    /// group it is. Of a directory's there may be others, as it names only some, or nobody.
    package static func members(ofGroup name: String) -> [Account] {
        let entry = unsafe entry(ofGroup: name) { entry in
            var names: [String] = []
            var next = unsafe entry.gr_mem
            while let member = unsafe next?.pointee {
                unsafe names.append(String(cString: member))
                unsafe next = next?.successor()
            }
            return (gid: unsafe entry.gr_gid, names: names)
        }
        guard let entry else { return [] }
        let local = Dictionary(local().map { ($0.login, $0) }) { first, _ in first }
        let primary = local.values.filter { $0.gid == entry.gid && !entry.names.contains($0.login) }
        return entry.names.compactMap { local[$0] ?? Account(named: $0) } + primary
    }

    private static func entry<Told>(ofGroup name: String, _ tell: (Glibc.group) -> Told) -> Told? {
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        while true {
            let (code, told) = unsafe buffer.withUnsafeMutableBufferPointer { buffer -> (Int32, Told?) in
                var entry = unsafe Glibc.group()
                var found: UnsafeMutablePointer<Glibc.group>?
                let code = unsafe getgrnam_r(name, &entry, buffer.baseAddress, buffer.count, &found)
                // What the entry points to is in the buffer.
                return unsafe (code, code == 0 && found != nil ? tell(entry) : nil)
            }
            // The members of a large group take room, which nobody knows beforehand.
            guard code == ERANGE, buffer.count < 16 << 20 else { return told }
            buffer = [CChar](repeating: 0, count: 4 * buffer.count)
        }
    }
}
