/// A pattern in which `*` stands for anything.
package enum Pattern {
    package static func matches(_ pattern: String, _ text: String) -> Bool { Wildcard(pattern).matches(text) }

    /// Whether it stands for a path, or for its last part.
    package static func names(_ pattern: String, _ path: String) -> Bool {
        matches(pattern, path) || matches(pattern, String(path.split(separator: "/").last ?? Substring(path)))
    }
}
