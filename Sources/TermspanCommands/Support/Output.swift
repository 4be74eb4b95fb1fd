import Glibc

/// Standard output, gathered into large writes, and standard error.
@MainActor
package enum Output {
    private static var buffer: [UInt8] = []

    static func write(_ text: String) {
        buffer += text.utf8
        if buffer.count >= 1 << 16 { flush() }
    }

    static func lines(_ lines: [String]) {
        for line in lines { write(line + "\n") }
    }

    static func flush() {
        writeAll(STDOUT_FILENO, buffer)
        buffer.removeAll(keepingCapacity: true)
    }

    static func error(_ line: String) {
        writeAll(STDERR_FILENO, Array((line + "\n").utf8))
    }

    static func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress.map { $0 + offset }, $0.count - offset) }
            if count < 0 && errno == EINTR { continue }
            // A full disk: the exit code must tell. Nobody can be told where it was standard error.
            if count <= 0 {
                if descriptor == STDOUT_FILENO {
                    let text = "termspan: Writing to standard output: \(String(cString: strerror(errno)))\n"
                    writeAll(STDERR_FILENO, Array(text.utf8))
                    exit(CommandError.Code.failure.rawValue)
                }
                return
            }
            offset += count
        }
    }

    /// Prints rows in one of the formats; the table is only made where it is wanted.
    static func listing(_ format: OutputFormat, keys: [String], rows: @autoclosure () -> [JSONValue], table: @autoclosure () -> [String]) {
        switch format {
        case .table: lines(table())
        case .json, .csv: write(Records.text(rows(), keys: keys, format))
        }
    }
}
