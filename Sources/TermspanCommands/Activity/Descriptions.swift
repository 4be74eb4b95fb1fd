import Glibc

/// What people call a program: the name in the .desktop entry that belongs to its executable or its window's class, else its file's name.
package struct Descriptions: Sendable {
    private let entries: [DesktopEntry]
    /// Rows of `entries`, in their order.
    private var byPath: [String: [Int]] = [:]
    private var byFile: [String: [Int]] = [:]
    private var byClass: [String: [Int]] = [:]
    private var byID: [String: [Int]] = [:]

    /// - Parameter entries: of one ID the first counts.
    package init(_ entries: [DesktopEntry]) {
        var seen: Set<String> = []
        self.entries = entries.filter { seen.insert($0.id).inserted }
        for (row, entry) in self.entries.enumerated() {
            for path in Set([entry.program, entry.tryExec].compactMap(\.self)) {
                if path.hasPrefix("/") {
                    byPath[path, default: []].append(row)
                } else {
                    byFile[SpanTable.file(path), default: []].append(row)
                }
            }
            if let name = entry.windowClass { byClass[name.lowercased(), default: []].append(row) }
            for id in Set([entry.id.lowercased(), String(entry.id.lowercased().split(separator: ".").last ?? "")]) {
                byID[id, default: []].append(row)
            }
        }
    }

    /// The name; nil for neither an executable nor a class.
    package func of(executable: String?, windowClass: String?) -> String? {
        let windowClass = windowClass.flatMap { $0.isEmpty ? nil : $0 }
        if let executable, !executable.isEmpty {
            if let row = row(executable: executable, windowClass: windowClass) ?? windowClass.flatMap(row(windowClass:)) {
                return entries[row].name
            }
            return SpanTable.file(executable)
        }
        return windowClass.map { name in row(windowClass: name).map { entries[$0].name } ?? name }
    }

    private func row(executable: String, windowClass: String?) -> Int? {
        let file = SpanTable.file(executable)
        var rows = byPath[executable] ?? []
        // A name in an entry is looked for in PATH, where users' own files are not; what has no folder is an application's ID or name.
        let isSystems = ["/usr/", "/bin/", "/opt/", "/snap/"].contains { executable.hasPrefix($0) }
        if rows.isEmpty, isSystems || !executable.contains("/") { rows = byFile[file] ?? byID[executable.lowercased()] ?? [] }
        if rows.isEmpty, isSystems { rows = byID[file.lowercased()] ?? [] }
        // Several are parts of one program, of which the window's class tells which; else that which is called as the file.
        let name = windowClass?.lowercased()
        return rows.first { name != nil && (entries[$0].windowClass?.lowercased() == name || entries[$0].id.lowercased() == name) }
            ?? rows.first { entries[$0].id == file } ?? rows.first { entries[$0].isShown } ?? rows.first
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
    package static func installed(in folders: [String] = folders, languages: [String] = languages()) -> Descriptions {
        Descriptions(folders.flatMap { entries(in: $0, prefix: "", languages: languages, depth: 3) })
    }

    private static func entries(in folder: String, prefix: String, languages: [String], depth: Int) -> [DesktopEntry] {
        guard depth > 0 else { return [] }
        let names = Files.names(in: folder, ending: ".desktop", limit: limit).sorted()
        let own = names.compactMap { name in
            Files.text(folder + "/" + name, limit: DesktopEntry.limit).flatMap {
                DesktopEntry($0, id: prefix + name.dropLast(".desktop".count), languages: languages)
            }
        }
        return own
            + Files.folders(in: folder).sorted().flatMap {
                entries(in: folder + "/" + $0, prefix: prefix + $0 + "-", languages: languages, depth: depth - 1)
            }
    }

    /// The names of the language of messages in keys, the best first: `de_AT@euro`, `de_AT`, `de@euro`, `de`.
    package static func languages(_ variable: (String) -> String? = { name in getenv(name).map { String(cString: $0) } }) -> [String] {
        let value = ["LC_ALL", "LC_MESSAGES", "LANG"].lazy.compactMap(variable).first { !$0.isEmpty } ?? ""
        let parts = value.split(separator: "@", maxSplits: 1)
        guard let name = parts.first?.split(separator: ".").first, name != "C", name != "POSIX", value.utf8.count <= 64 else { return [] }
        let language = name.split(separator: "_").first.map(String.init) ?? String(name)
        let modifier = parts.count > 1 ? "@" + parts[1] : ""
        var names: [String] = []
        for each in [name + modifier, String(name), language + modifier, language] where !names.contains(each) { names.append(each) }
        return names
    }
}
