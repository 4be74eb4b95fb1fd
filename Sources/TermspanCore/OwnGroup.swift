/// The name of a group of Termspan's own.
package struct OwnGroup: Hashable, Sendable {
    package let name: String

    package static let prefix = "own:"
    /// In bytes.
    private static let longest = 64

    /// nil where it can't be one.
    package init?(name: String) {
        guard !name.isEmpty, name.utf8.count <= Self.longest, name.first != " ", name.last != " ",
            GivenText.isPlain(name), !GivenText.saysNothing(name), !name.unicodeScalars.contains(where: { $0 == ":" || $0 == "," })
        else { return nil }
        self.name = name
    }
}

extension OwnGroup: LosslessStringConvertible {
    /// As it is named beside other groups: `own:sales`.
    package var description: String { Self.prefix + name }

    package init?(_ description: String) {
        guard description.hasPrefix(Self.prefix) else { return nil }
        self.init(name: String(description.dropFirst(Self.prefix.count)))
    }
}
