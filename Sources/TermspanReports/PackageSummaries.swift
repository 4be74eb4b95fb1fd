import Synchronization
import TermspanSystem

/// What the packages say in a line that programs came with: dpkg's database, whose form dpkg-query(1) and deb-control(5) tell.
///
/// Which package a file is of stands in no index, but in a list for each package. All of them are read once, for the hashes of their lines, and anew
/// when packages have changed; a program's package is looked at again by its list. Any thread may ask; one at a time reads.
package final class PackageSummaries: Sendable {
    /// Those of this computer.
    package static let system = PackageSummaries(folder: "/var/lib/dpkg")

    private let folder: String
    private let index = Mutex<Index?>(nil)

    package init(folder: String) { self.folder = folder }

    /// The summary of the package that a program came with, which the file's name follows where the package has several; nil for a program of no package.
    package func of(_ path: String) -> String? {
        guard path.hasPrefix("/") else { return nil }
        return index.withLock { index in
            let stamp = FileStamp(folder + "/status")
            let known = index.flatMap { $0.stamp == stamp ? $0 : nil } ?? Index(folder, stamp)
            index = known
            // What was moved to /usr is in older packages' lists without that.
            let names = [path] + (path.hasPrefix("/usr/") ? [String(path.dropFirst(4))] : [])
            return names.lazy.compactMap { known.summary(of: $0) }.first
        }
    }

    private struct Index {
        let stamp: FileStamp?
        private let folder: String
        /// Of the lists, without their ending.
        private var packages: [String] = []
        /// In order.
        private var lines: [Line] = []
        private var summaries: [String: String] = [:]

        private struct Line {
            var hash: UInt64
            /// Row of `packages`.
            var package: UInt32
        }

        private static let mostPackages = 20_000
        private static let listLimit = 16 << 20
        private static let statusLimit = 64 << 20
        private static let ending = ".list"
        private static let programs = ["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/games/"]

        init(_ folder: String, _ stamp: FileStamp?) {
            self.folder = folder
            self.stamp = stamp
            let lists = listing(of: folder + "/info", most: 16 * Self.mostPackages).filter { $0.name.hasSuffix(Self.ending) }
            packages = lists.map { String($0.name.dropLast(Self.ending.count)) }.sorted().prefix(Self.mostPackages).map(\.self)
            for row in packages.indices {
                for line in list(of: row).split(separator: UInt8(ascii: "\n")) {
                    lines.append(Line(hash: Self.hash(line), package: UInt32(row)))
                }
            }
            lines.sort { $0.hash < $1.hash }
            readStatus()
        }

        private mutating func readStatus() {
            var package: Substring?
            let status = (try? readFile(folder + "/status", limit: Self.statusLimit, options: .truncate)) ?? []
            for line in status.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
                if line.isEmpty {
                    package = nil
                } else if line.starts(with: "Package: ".utf8) {
                    package = String(decoding: line, as: UTF8.self).dropFirst("Package: ".count)
                } else if let name = package, line.starts(with: "Description: ".utf8) {
                    summaries[String(name)] = String(String(decoding: line, as: UTF8.self).dropFirst("Description: ".count))
                }
            }
        }

        func summary(of path: String) -> String? {
            let hash = Self.hash(path.utf8)
            var first = 0
            var end = lines.count
            while first < end {
                let middle = (first + end) / 2
                if lines[middle].hash < hash { first = middle + 1 } else { end = middle }
            }
            while first < lines.count, lines[first].hash == hash {
                if let summary = summary(of: path, in: Int(lines[first].package)) { return summary }
                first += 1
            }
            return nil
        }

        private func summary(of path: String, in row: Int) -> String? {
            // That of another architecture has it behind a colon.
            guard let summary = packages[row].split(separator: ":").first.flatMap({ summaries[String($0)] }), !summary.isEmpty else {
                return nil
            }
            let files = String(decoding: list(of: row), as: UTF8.self).split(separator: "\n")
            guard files.contains(path[...]) else { return nil }
            let programs = files.count { file in Self.programs.contains { file.hasPrefix($0) } }
            return programs > 1 ? "\(summary) (\(Descriptions.file(path)))" : summary
        }

        private func list(of row: Int) -> [UInt8] {
            (try? readFile("\(folder)/info/\(packages[row])\(Self.ending)", limit: Self.listLimit, options: .truncate)) ?? []
        }

        /// FNV-1a.
        private static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
            return hash
        }
    }
}
