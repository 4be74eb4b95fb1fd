/// A pattern in which `*` stands for anything, nothing included: made ready once, then matched in time that grows with the text alone.
package struct Wildcard: Hashable, Sendable {
    /// What stands between the stars.
    private let pieces: [Piece]
    /// Whether there is no star: the text is the pattern.
    package let isLiteral: Bool

    private struct Piece: Hashable, Sendable {
        var bytes: [UInt8]
        /// Of each beginning the longest part that is its end too: where a search goes on after a byte that differs (Knuth, Morris, Pratt).
        var borders: [Int]

        init(_ bytes: [UInt8]) {
            self.bytes = bytes
            borders = Array(repeating: 0, count: bytes.count)
            var length = 0
            for index in bytes.indices.dropFirst() {
                while length > 0, bytes[index] != bytes[length] { length = borders[length - 1] }
                if bytes[index] == bytes[length] { length += 1 }
                borders[index] = length
            }
        }

        /// Where it ends first in a part of a text.
        func end(in text: ArraySlice<UInt8>) -> Int? {
            if bytes.isEmpty { return text.startIndex }
            var length = 0
            for index in text.indices {
                while length > 0, text[index] != bytes[length] { length = borders[length - 1] }
                if text[index] == bytes[length] { length += 1 }
                if length == bytes.count { return index + 1 }
            }
            return nil
        }
    }

    package init(_ pattern: String) {
        pieces = pattern.utf8.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false).map { Piece(Array($0)) }
        isLiteral = pieces.count == 1
    }

    package func matches(_ text: String) -> Bool { matches(Array(text.utf8)[...]) }

    package func matches(_ text: ArraySlice<UInt8>) -> Bool {
        guard let first = pieces.first, let last = pieces.last, text.starts(with: first.bytes) else { return false }
        if isLiteral { return text.count == first.bytes.count }
        // The first is the beginning, the last the end, and each in between is taken where it comes first: later would leave less room.
        var rest = text.dropFirst(first.bytes.count)
        for piece in pieces.dropFirst().dropLast() {
            guard let end = piece.end(in: rest) else { return false }
            rest = rest[end...]
        }
        return rest.count >= last.bytes.count && rest.suffix(last.bytes.count).elementsEqual(last.bytes)
    }
}
