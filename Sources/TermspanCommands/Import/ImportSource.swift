/// The bytes of a file that is imported, one after the other, with where they are. It holds no more than a piece of it.
package struct ImportSource {
    private let fill: () throws(CommandError) -> [UInt8]
    /// What errors call it.
    package let name: String
    private var bytes: [UInt8] = []
    private var position = 0
    private var isAtEnd = false
    /// What came before the piece.
    private var passed = 0
    package private(set) var line = 1
    private let digest = FileDigest()

    /// More than any row or event has.
    static let longest = 1 << 16

    /// - Parameter fill: gives the next piece; an empty one at the end.
    package init(name: String, _ fill: @escaping () throws(CommandError) -> [UInt8]) {
        self.name = name
        self.fill = fill
    }

    /// A file in memory, for tests.
    package init(_ text: String) {
        var rest = Array(text.utf8)
        self.init(name: "file") { () throws(CommandError) in
            defer { rest = [] }
            return rest
        }
    }

    /// The SHA-256 of all that was read, which is to be all that there is.
    package func finish() throws(CommandError) -> String { try digest.finish() }

    /// The next byte, which stays; nil at the end.
    mutating func peek() throws(CommandError) -> UInt8? {
        if position == bytes.count {
            guard !isAtEnd else { return nil }
            passed += bytes.count
            bytes = try fill()
            position = 0
            digest.add(bytes)
            isAtEnd = bytes.isEmpty
            if isAtEnd { return nil }
        }
        return bytes[position]
    }

    mutating func next() throws(CommandError) -> UInt8? {
        let byte = try peek()
        if let byte {
            position += 1
            if byte == UInt8(ascii: "\n") { line += 1 }
        }
        return byte
    }

    /// The next line without its end; nil at the end.
    mutating func nextLine() throws(CommandError) -> [UInt8]? {
        guard try peek() != nil else { return nil }
        var content: [UInt8] = []
        while try peek() != nil {
            if let end = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) {
                content += bytes[position..<end]
                position = end
                _ = try next()
                break
            }
            content += bytes[position...]
            position = bytes.count
            if content.count > Self.longest { throw error("A line is longer than \(Self.longest >> 10) KiB") }
        }
        if content.count > Self.longest { throw error("A line is longer than \(Self.longest >> 10) KiB", line: line - 1) }
        if content.last == UInt8(ascii: "\r") { content.removeLast() }
        return content
    }

    /// An error at the place that was come to, or at the beginning of a line before.
    func error(_ reason: String, line: Int? = nil) -> CommandError {
        let place = line.map { "line \($0)" } ?? "line \(self.line), byte \(passed + position + 1)"
        return CommandError(.failure, "\(name), \(place): \(reason).", remedy: "Nothing was imported.")
    }

    // MARK: JSON (RFC 8259) that does not fit into memory

    mutating func skipBlanks() throws(CommandError) {
        while let byte = try peek(), " \t\r\n".utf8.contains(byte) { _ = try next() }
    }

    /// Whether the next byte that is no blank is this one, which is then taken.
    mutating func take(_ scalar: Unicode.Scalar) throws(CommandError) -> Bool {
        try skipBlanks()
        guard try peek() == UInt8(ascii: scalar) else { return false }
        _ = try next()
        return true
    }

    mutating func expect(_ scalar: Unicode.Scalar) throws(CommandError) {
        guard try take(scalar) else { throw error("There is no '\(scalar)' where one has to be") }
    }

    /// The members of an object, or an array's elements, each of which `body` has to take.
    mutating func members(_ body: (inout ImportSource, _ key: String) throws(CommandError) -> Void) throws(CommandError) {
        try expect("{")
        if try take("}") { return }
        repeat {
            guard let key = try value().string else { throw error("A key is no text") }
            try expect(":")
            try body(&self, key)
        } while try take(",")
        try expect("}")
    }

    mutating func elements(_ body: (inout ImportSource) throws(CommandError) -> Void) throws(CommandError) {
        try expect("[")
        if try take("]") { return }
        repeat { try body(&self) } while try take(",")
        try expect("]")
    }

    /// A whole value that fits into memory.
    mutating func value() throws(CommandError) -> JSONValue {
        var content: [UInt8] = []
        var isTooLong = false
        try skipBlanks()
        let start = line
        try pass { byte in
            if content.count < Self.longest { content.append(byte) } else { isTooLong = true }
        }
        if isTooLong { throw error("A value is longer than \(Self.longest >> 10) KiB", line: start) }
        guard let value = JSONValue(content) else { throw error("There is no JSON", line: start) }
        return value
    }

    /// Passes over a value, of any size.
    mutating func skipValue() throws(CommandError) { try pass { _ in } }

    /// Gives each byte of a value: up to where the brackets that were opened are closed.
    private mutating func pass(_ body: (UInt8) -> Void) throws(CommandError) {
        try skipBlanks()
        var depth = 0
        var isText = false
        var isAny = false
        while let byte = try peek() {
            if isText {
                if byte == UInt8(ascii: "\\") {
                    body(byte)
                    _ = try next()
                    guard let escaped = try peek() else { break }
                    body(escaped)
                    _ = try next()
                    continue
                }
                isText = byte != UInt8(ascii: "\"")
            } else {
                switch byte {
                case UInt8(ascii: "\""): isText = true
                case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
                case UInt8(ascii: "}"), UInt8(ascii: "]"):
                    if depth == 0 { return try check(isAny) }
                    depth -= 1
                case UInt8(ascii: ","), UInt8(ascii: ":"):
                    if depth == 0 { return try check(isAny) }
                case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"):
                    if depth == 0 { return try check(isAny) }
                default: break
                }
            }
            isAny = true
            body(byte)
            _ = try next()
            if depth == 0, !isText, "\"}]".utf8.contains(byte) { return }
        }
        throw error("The file ends too early")
    }

    private func check(_ isAny: Bool) throws(CommandError) { if !isAny { throw error("There is no value where one has to be") } }
}
