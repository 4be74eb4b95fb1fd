import TermspanCore

/// What a .desktop file says of an application: the Desktop Entry Specification, as far as a program is recognised and named by it.
package struct DesktopEntry: Equatable, Sendable {
    /// The file's name without `.desktop`, and with the folders that it is in: `kde4-konsole`.
    package var id: String
    /// In the reader's language where it has that.
    package var name: String
    /// What `Exec` starts, an interpreter resolved to what it runs: a path, or a name that is looked for in PATH.
    package var program: String?
    package var tryExec: String?
    package var windowClass: String?
    /// Whether menus show it.
    package var isShown = true

    /// How much of a file counts. Translations make some long.
    package static let limit = 1 << 18
    private static let valueLimit = 4096

    /// Reads a file; nil for what is no application, or not to be used.
    ///
    /// - Parameter languages: the names of the reader's language as keys have them, the best first.
    package init?(_ text: String, id: String, languages: [String] = []) {
        var values: [Substring: Substring] = [:]
        var isInside = false
        for line in text.utf8.prefix(Self.limit).split(whereSeparator: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }) {
            guard let first = line.first, first != UInt8(ascii: "#") else { continue }
            if first == UInt8(ascii: "[") {
                // Groups that come after are of actions.
                if isInside { break }
                isInside = Substring(line).trimmed == "[Desktop Entry]"
                continue
            }
            guard isInside, line.count <= Self.valueLimit, let equals = line.firstIndex(of: UInt8(ascii: "=")) else { continue }
            let key = Substring(line[..<equals]).trimmed
            guard Self.keys.contains(where: { key.hasPrefix($0) }), values[key] == nil else { continue }
            values[key] = Substring(line[line.index(after: equals)...]).trimmed
        }
        guard values["Type"] == "Application", values["Hidden"] != "true" else { return nil }
        let names = languages.map { Substring("Name[\($0)]") } + ["Name"]
        let found = names.lazy.compactMap { values[$0].map(Self.unescaped) }.first { !$0.isEmpty && $0.utf8.count <= 256 }
        guard let found else { return nil }
        self.id = id
        name = found
        program = values["Exec"].flatMap { Self.program(of: Self.words(Self.unescaped($0))) }
        tryExec = values["TryExec"].map(Self.unescaped).flatMap { $0.isEmpty ? nil : $0 }
        windowClass = values["StartupWMClass"].map(Self.unescaped).flatMap { $0.isEmpty ? nil : $0 }
        isShown = values["NoDisplay"] != "true"
    }

    private static let keys = ["Type", "Hidden", "NoDisplay", "Name", "Exec", "TryExec", "StartupWMClass"]

    /// Values of type string: `\\s`, `\\n`, `\\t`, `\\r`, `\\\\`.
    private static func unescaped(_ value: Substring) -> String {
        var result = String.UnicodeScalarView()
        var scalars = value.unicodeScalars.makeIterator()
        while let scalar = scalars.next() {
            guard scalar == "\\" else {
                result.append(scalar)
                continue
            }
            switch scalars.next() {
            case "s"?: result.append(" ")
            case "n"?: result.append("\n")
            case "t"?: result.append("\t")
            case "r"?: result.append("\r")
            case "\\"?: result.append("\\")
            case let other?: result.append(contentsOf: ["\\", other])
            case nil: result.append("\\")
            }
        }
        return String(result)
    }

    /// The words of `Exec`: divided by blanks, quoted by double quotes.
    private static func words(_ line: String) -> [String] {
        var words: [String] = []
        var word = String.UnicodeScalarView()
        var (isQuoted, isWord) = (false, false)
        var scalars = line.unicodeScalars.makeIterator()
        while let scalar = scalars.next() {
            switch scalar {
            case "\"":
                isQuoted.toggle()
                isWord = true
            case "\\" where isQuoted:
                if let next = scalars.next() { word.append(next) }
            case " " where !isQuoted, "\t" where !isQuoted:
                if isWord { words.append(String(word)) }
                (word, isWord) = (String.UnicodeScalarView(), false)
            default:
                word.append(scalar)
                isWord = true
            }
        }
        return isWord ? words + [String(word)] : words
    }

    /// What a command line starts, behind env(1); nil where a shell's code or an option stands in between.
    private static func program(of line: [String]) -> String? {
        var words = line[...]
        if let first = words.first, first == "env" || first == "/usr/bin/env" {
            words = words.dropFirst().drop { $0.contains("=") && !$0.hasPrefix("-") }
        }
        guard let first = words.first, !first.isEmpty, first.first != "-", first.first != "%" else { return nil }
        let arguments = words.filter { !$0.hasPrefix("%") }
        let program = Interpreter.program(of: first, arguments: { arguments.flatMap { Array($0.utf8) + [0] } }, folder: { nil })
        return program == first && arguments.count > 1 && Interpreter.isOne(first) ? nil : program
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        var rest = self
        while let first = rest.unicodeScalars.first, first == " " || first == "\t" { rest.unicodeScalars.removeFirst() }
        while let last = rest.unicodeScalars.last, last == " " || last == "\t" { rest.unicodeScalars.removeLast() }
        return rest
    }
}
