/// Finds a display's MIT-MAGIC-COOKIE-1 among the entries of an X authority file (Xau(3)).
///
/// An entry is a family (2 bytes) and four strings, each after its length (2 bytes): address, display number, name of the
/// protocol, data; all big-endian. The host's name in the file goes stale when the host is renamed, so the display's number
/// decides; an entry without a number, as GDM writes it, is for every display. The best entry wins, among equals the last one:
/// first those with the number, then those written for this host (family local, 256).
enum XAuthority {
    static let localFamily: UInt16 = 256
    static let cookieLength = 16

    /// The cookie of a display in the file's bytes, which are the user's: a malformed entry ends the search.
    static func cookie(in file: UnsafeRawBufferPointer, display: UInt16) -> [UInt8]? {
        let file = XBytes(file)
        var offset = 0
        var best: (rank: Int, data: XBytes)?

        func field() -> XBytes? {
            guard let length = file.load(UInt16.self, at: offset),
                let value = file.slice(at: offset + 2, count: Int(UInt16(bigEndian: length)))
            else { return nil }
            offset += 2 + value.count
            return value
        }

        while let family = file.load(UInt16.self, at: offset) {
            offset += 2
            guard field() != nil, let number = field(), let name = field(), let data = field() else { break }
            guard number.count == 0 || number.decimal == UInt32(display), name.equals("MIT-MAGIC-COOKIE-1"),
                data.count == cookieLength
            else { continue }
            let rank = (number.count > 0 ? 2 : 0) + (UInt16(bigEndian: family) == localFamily ? 1 : 0)
            if rank >= best?.rank ?? 0 { best = (rank, data) }
        }
        return best?.data.copy()
    }
}
