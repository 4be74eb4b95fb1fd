import Glibc

/// A file that an argument names.
enum InputFile {
    /// All of it, and what errors call it.
    ///
    /// - Parameters:
    ///   - file: its path; `-` is standard input.
    ///   - limit: the most that it may have, in bytes, 1 KiB or more.
    static func read(_ file: String, limit: Int) throws(CommandError) -> (bytes: [UInt8], name: String) {
        let name = file == "-" ? "standard input" : file
        let descriptor = file == "-" ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        defer { if descriptor > STDIN_FILENO { close(descriptor) } }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = descriptor < 0 ? -1 : Glibc.read(descriptor, &part, part.count)
            if count < 0, errno == EINTR { continue }
            if count < 0 { throw CommandError(.failure, "\(name): \(String(cString: strerror(errno)))") }
            if count == 0 { return (bytes, name) }
            bytes += part[..<count]
            guard bytes.count <= limit else {
                let size = limit >= 1 << 20 ? "\(limit >> 20) MiB" : "\(limit >> 10) KiB"
                throw CommandError(.failure, "\(name): It is longer than \(size).")
            }
        }
    }
}
