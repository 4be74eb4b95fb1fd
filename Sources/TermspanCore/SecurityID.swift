/// The SID by which a directory knows somebody under each login and UID: `S-1-5-21-1-2-3-1104`.
package struct SecurityID: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    /// As directories write it.
    package let description: String

    /// What a revision and an authority are followed by.
    private static let subauthorities = 1...15

    /// Reads `S-1-AUTHORITY-SUBAUTHORITY...`, decimal numbers of 32 bits without leading zeros; nil for anything else. An authority beyond 32
    /// bits, which would be written in another form, no directory has.
    package init?(_ text: String) {
        let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard text.utf8.first.map({ $0 == UInt8(ascii: "S") || $0 == UInt8(ascii: "s") }) == true, parts[0].count == 1, parts.count > 2,
            parts[1].elementsEqual("1".utf8), Self.subauthorities.contains(parts.count - 3), parts[2...].allSatisfy(Self.isNumber)
        else { return nil }
        description = "S" + text.dropFirst()
    }

    package static func < (one: SecurityID, other: SecurityID) -> Bool { one.description < other.description }

    private static func isNumber(_ digits: Substring.UTF8View) -> Bool {
        guard let number = UInt32(Substring(digits)) else { return false }
        return digits.elementsEqual(String(number).utf8)
    }
}
