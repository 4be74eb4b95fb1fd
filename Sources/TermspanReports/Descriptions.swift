import Glibc
import TermspanSystem

/// What people call a program: the name in the .desktop entry that belongs to its executable or its window's class, else what its package says that it
/// is, else its file's name.
package struct Descriptions: Sendable {
    private let entries: [DesktopEntry]
    private let packages: PackageSummaries?
    /// Rows of `entries`, in their order.
    private var byPath: [String: [Int]] = [:]
    private var byFile: [String: [Int]] = [:]
    private var byClass: [String: [Int]] = [:]
    private var byID: [String: [Int]] = [:]

    /// - Parameter entries: of one ID the first counts.
    package init(_ entries: [DesktopEntry], packages: PackageSummaries? = nil) {
        self.packages = packages
        var seen: Set<String> = []
        self.entries = entries.filter { seen.insert($0.id).inserted }
        for (row, entry) in self.entries.enumerated() {
            for path in Set([entry.program, entry.tryExec].compactMap(\.self)) {
                if path.hasPrefix("/") {
                    byPath[path, default: []].append(row)
                } else {
                    byFile[Self.file(path), default: []].append(row)
                }
            }
            if let name = entry.windowClass { byClass[name.lowercased(), default: []].append(row) }
            for id in entry.names { byID[id, default: []].append(row) }
        }
    }

    /// The name; nil for neither an executable nor a class.
    package func of(executable: String?, windowClass: String?) -> String? {
        let windowClass = windowClass.flatMap { $0.isEmpty ? nil : $0 }
        if let executable, !executable.isEmpty {
            if let row = row(executable: executable, windowClass: windowClass) ?? windowClass.flatMap(row(windowClass:)) {
                return entries[row].name
            }
            return packages?.of(executable) ?? Self.file(executable)
        }
        return windowClass.map { name in row(windowClass: name).map { entries[$0].name } ?? name }
    }

    private func row(executable: String, windowClass: String?) -> Int? {
        let file = Self.file(executable)
        var rows = byPath[executable] ?? []
        // A name in an entry is looked for in PATH, where users' own files are not; what has no folder is an application's ID or name.
        let isSystems = ["/usr/", "/bin/", "/opt/", "/snap/"].contains { executable.hasPrefix($0) }
        if rows.isEmpty, isSystems || !executable.contains("/") { rows = byFile[file] ?? byID[executable.lowercased()] ?? [] }
        if rows.isEmpty, isSystems { rows = byID[file.lowercased()] ?? [] }
        // Several are parts of one program, of which the window's class tells which; else that which is called as the file.
        let name = windowClass?.lowercased()
        return rows.first { name != nil && (entries[$0].windowClass?.lowercased() == name || entries[$0].isCalled(name)) }
            ?? rows.first { entries[$0].isCalled(file.lowercased()) } ?? rows.first { entries[$0].isShown } ?? rows.first
    }

    private func row(windowClass: String) -> Int? {
        let name = windowClass.lowercased()
        let rows = byClass[name] ?? byID[name] ?? []
        return rows.first { entries[$0].isShown } ?? rows.first
    }
}

extension Descriptions {
    /// Where the system's entries are, the first before the others. Users' own are not looked at: anybody could name anything.
    package static let folders = [
        "/usr/local/share/applications", "/usr/share/applications", "/var/lib/flatpak/exports/share/applications",
        "/var/lib/snapd/desktop/applications",
    ]
    /// How many files of a folder are read.
    private static let limit = 4096

    /// Reads the system's entries.
    package static func installed(
        in folders: [String] = folders, packages: PackageSummaries? = .system, languages: [String]
    ) -> Descriptions {
        Descriptions(folders.flatMap { entries(in: $0, prefix: "", languages: languages, depth: 3) }, packages: packages)
    }

    private static func entries(in folder: String, prefix: String, languages: [String], depth: Int) -> [DesktopEntry] {
        guard depth > 0 else { return [] }
        let found = listing(of: folder, most: 4 * limit)
        let names = found.filter { !$0.isFolder && $0.name.hasSuffix(".desktop") }.map(\.name).sorted().prefix(limit)
        let own = names.compactMap { name in
            (try? readFile(folder + "/" + name, limit: DesktopEntry.limit, options: [.followLinks, .truncate])).flatMap {
                DesktopEntry(String(decoding: $0, as: UTF8.self), id: prefix + name.dropLast(".desktop".count), languages: languages)
            }
        }
        return own
            + found.filter(\.isFolder).map(\.name).sorted().flatMap {
                entries(in: folder + "/" + $0, prefix: prefix + $0 + "-", languages: languages, depth: depth - 1)
            }
    }
}

/// What is in a folder, in no order; nothing if it can't be read.
func listing(of path: String, most: Int) -> [(name: String, isFolder: Bool)] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var entries: [(name: String, isFolder: Bool)] = []
    while entries.count < most, let entry = readdir(folder) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        if name != ".", name != ".." { entries.append((name, entry.pointee.d_type == UInt8(DT_DIR))) }
    }
    return entries
}

extension DesktopEntry {
    /// The ID in lower case, and the last part of one that begins with a domain: `org.xfce.mousepad`, `mousepad`.
    fileprivate var names: Set<String> {
        let id = id.lowercased()
        return [id, String(id.split(separator: ".").last ?? "")]
    }

    fileprivate func isCalled(_ name: String?) -> Bool { name.map { names.contains($0) } ?? false }
}

extension Descriptions {
    /// The name of a path's file.
    static func file(_ path: String) -> String { String(path.split(separator: "/").last ?? Substring(path)) }
}
