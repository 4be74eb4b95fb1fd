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
        /// Of each line of each list the hash, whose last bits are the row of `packages`; in order.
        private var lines: [UInt64] = []
        private var summaries: [String: String] = [:]

        private static let mostPackages = 20_000
        private static let rows: UInt64 = (1 << 15) - 1
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
                var hash = Self.seed
                for byte in list(of: row) {
                    if byte != UInt8(ascii: "\n") {
                        hash = Self.hash(hash, byte)
                    } else {
                        lines.append(hash & ~Self.rows | UInt64(row))
                        hash = Self.seed
                    }
                }
            }
            lines.sort()
            readStatus()
        }

        private mutating func readStatus() {
            var package: Substring?
            var rest = ((try? readFile(folder + "/status", limit: Self.statusLimit, options: .truncate)) ?? [])[...]
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                let line = rest[..<end]
                rest = rest[(end + 1)...]
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
            let hash = path.utf8.reduce(Self.seed, Self.hash) & ~Self.rows
            var first = 0
            var end = lines.count
            while first < end {
                let middle = (first + end) / 2
                if lines[middle] < hash { first = middle + 1 } else { end = middle }
            }
            while first < lines.count, lines[first] & ~Self.rows == hash {
                if let summary = summary(of: path, in: Int(lines[first] & Self.rows)) { return summary }
                first += 1
            }
            return nil
        }

        private func summary(of path: String, in row: Int) -> String? {
            // That of another architecture has it behind a colon.
            guard let summary = packages[row].split(separator: ":").first.flatMap({ summaries[String($0)] }), !summary.isEmpty else {
                return nil
            }
            let files = list(of: row).split(separator: UInt8(ascii: "\n"))
            guard files.contains(where: { $0.elementsEqual(path.utf8) }) else { return nil }
            let programs = files.count { file in Self.programs.contains { file.starts(with: $0.utf8) } }
            return programs > 1 ? "\(summary) (\(Descriptions.file(path)))" : summary
        }

        private func list(of row: Int) -> [UInt8] {
            (try? readFile("\(folder)/info/\(packages[row])\(Self.ending)", limit: Self.listLimit, options: .truncate)) ?? []
        }

        /// FNV-1a.
        private static let seed: UInt64 = 0xCBF2_9CE4_8422_2325
        private static func hash(_ hash: UInt64, _ byte: UInt8) -> UInt64 { (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    }
}
