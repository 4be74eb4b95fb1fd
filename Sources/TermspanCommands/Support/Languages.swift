import Glibc

/// The language of messages, as its user has set it.
package enum Languages {
    /// The names of the language of messages in keys, the best first: `de_AT@euro`, `de_AT`, `de@euro`, `de`.
    package static func names(_ variable: (String) -> String? = { name in getenv(name).map { String(cString: $0) } }) -> [String] {
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
