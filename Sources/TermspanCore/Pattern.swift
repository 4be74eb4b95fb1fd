/// A pattern in which `*` stands for anything.
package enum Pattern {
    /// In time that the product of both lengths bounds.
    package static func matches(_ pattern: String, _ text: String) -> Bool {
        let (pattern, text) = (Array(pattern.utf8), Array(text.utf8))
        var (at, position) = (0, 0)
        var star: (after: Int, position: Int)?
        while position < text.count {
            if at < pattern.count, pattern[at] == UInt8(ascii: "*") {
                at += 1
                star = (at, position)
            } else if at < pattern.count, pattern[at] == text[position] {
                at += 1
                position += 1
            } else if let last = star {
                at = last.after
                position = last.position + 1
                star = (at, position)
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == UInt8(ascii: "*") }
    }

    /// Whether it stands for a path, or for its last part.
    package static func names(_ pattern: String, _ path: String) -> Bool {
        matches(pattern, path) || matches(pattern, String(path.split(separator: "/").last ?? Substring(path)))
    }
}
