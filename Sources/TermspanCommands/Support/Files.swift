import Glibc
import TermspanCore

/// Small reads of the kernel's and the installation's files.
enum Files {
    /// The scripts of the notice at logon that may not show it.
    static var changedNotices: [String] { LogonNotice.changed(notice) }

    /// What a file has that may show the notice at logon.
    static func notice(_ path: String) -> [UInt8]? { text(path, limit: LogonNotice.limit).map { Array($0.utf8) } }

    /// The first `limit` bytes of a file as text; nil if it can't be read.
    static func text(_ path: String, limit: Int) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: min(limit, 1 << 16))
        while bytes.count < limit {
            let count = read(descriptor, &part, min(part.count, limit - bytes.count))
            if count <= 0 { break }
            bytes += part[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The names of the folders in a folder.
    static func folders(in path: String) -> [String] { names(in: path, limit: .max) { kind, _ in kind == UInt8(DT_DIR) } }

    /// The names of the files in a folder, and of links, that end so.
    static func names(in path: String, ending end: String, limit: Int) -> [String] {
        names(in: path, limit: limit) { kind, name in kind != UInt8(DT_DIR) && name.hasSuffix(end) }
    }

    private static func names(in path: String, limit: Int, where isWanted: (_ kind: UInt8, _ name: String) -> Bool) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while names.count < limit, let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != "..", isWanted(entry.pointee.d_type, name) { names.append(name) }
        }
        return names
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Owner, group and mode of a file, not of where a link points; nil if there is none.
    static func status(_ path: String) -> stat? {
        var status = stat()
        return lstat(path, &status) == 0 ? status : nil
    }
}
