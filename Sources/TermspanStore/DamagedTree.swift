/// A value of a row as the bytes of a page have it.
enum SalvagedValue: Equatable, Sendable {
    case null
    case integer(Int64)
    case text(String)
    case blob([UInt8])
}

/// The order of keys, as SQLite's: null, integers, texts and blobs, by their bytes.
func isOrdered(_ lhs: ArraySlice<SalvagedValue>, before rhs: ArraySlice<SalvagedValue>) -> Bool {
    func kind(_ value: SalvagedValue) -> Int {
        switch value {
        case .null: 0
        case .integer: 1
        case .text: 2
        case .blob: 3
        }
    }
    for (one, other) in zip(lhs, rhs) where one != other {
        switch (one, other) {
        case (.integer(let one), .integer(let other)): return one < other
        case (.text(let one), .text(let other)): return one.utf8.lexicographicallyPrecedes(other.utf8)
        case (.blob(let one), .blob(let other)): return one.lexicographicallyPrecedes(other)
        default: return kind(one) < kind(other)
        }
    }
    return false
}

/// A page of a tree in which all adds up: every byte of it is a part of something, once. Of any other nothing is believed.
struct TreePage {
    enum Kind: UInt8 {
        case innerIndex = 2
        case innerTable = 5
        case leafIndex = 10
        case leafTable = 13
    }

    struct Cell {
        /// Of inner pages.
        var child: UInt32 = 0
        /// Of tables.
        var rowid: Int64 = 0
        /// What is in the page of the row.
        var local: Range<Int> = 0..<0
        /// How long the whole row is.
        var length = 0
        /// Where the rest is; 0: there is none.
        var overflow: UInt32 = 0
    }

    let kind: Kind
    let cells: [Cell]
    /// The last child of an inner page.
    let last: UInt32
    let bytes: [UInt8]

    var isInner: Bool { kind == .innerIndex || kind == .innerTable }
    var isTable: Bool { kind == .innerTable || kind == .leafTable }

    /// No row of ours is longer.
    private static let longestRow = 1 << 24

    init?(_ bytes: [UInt8], number: UInt32, usable: Int) {
        let header = number == 1 ? 100 : 0
        guard usable <= bytes.count, let kind = Kind(rawValue: bytes[header]) else { return nil }
        let isInner = kind == .innerIndex || kind == .innerTable
        let headerEnd = header + (isInner ? 12 : 8)
        let count = bytes.number16(header + 3)
        let stored = bytes.number16(header + 5)
        let start = stored == 0 ? 65_536 : stored
        let pointersEnd = headerEnd + 2 * count
        guard pointersEnd <= start, start <= usable else { return nil }
        self.kind = kind
        self.bytes = bytes
        last = isInner ? bytes.number32(header + 8) : 0
        var cells: [Cell] = []
        var used: [Range<Int>] = []
        for index in 0..<count {
            let offset = bytes.number16(headerEnd + 2 * index)
            guard offset >= start, let (cell, end) = Self.cell(bytes, at: offset, kind, usable) else { return nil }
            cells.append(cell)
            used.append(offset..<end)
        }
        // What rows left that were removed.
        var free = bytes.number16(header + 1)
        while free != 0 {
            guard free >= start, free + 4 <= usable, used.count <= usable else { return nil }
            let (next, length) = (bytes.number16(free), bytes.number16(free + 2))
            guard length >= 4, free + length <= usable, next == 0 || next > free else { return nil }
            used.append(free..<free + length)
            free = next
        }
        used.sort { $0.lowerBound < $1.lowerBound }
        var (end, sum) = (start, 0)
        for range in used {
            guard range.lowerBound >= end else { return nil }
            end = range.upperBound
            sum += range.count
        }
        guard usable - start - sum == Int(bytes[header + 7]) else { return nil }
        if kind == .leafTable || kind == .innerTable {
            for (one, other) in zip(cells, cells.dropFirst()) where one.rowid >= other.rowid { return nil }
        }
        self.cells = cells
    }

    private static func cell(_ bytes: [UInt8], at offset: Int, _ kind: Kind, _ usable: Int) -> (Cell, end: Int)? {
        var reader = ByteReader(bytes[..<usable], at: offset)
        var cell = Cell()
        if kind == .innerIndex || kind == .innerTable {
            guard offset + 4 <= usable else { return nil }
            cell.child = bytes.number32(offset)
            reader.position += 4
        }
        if kind == .innerTable {
            guard let rowid = reader.number() else { return nil }
            cell.rowid = rowid
            return (cell, reader.position)
        }
        guard let length = reader.number(), length > 0, length <= Self.longestRow else { return nil }
        cell.length = Int(length)
        if kind == .leafTable {
            guard let rowid = reader.number() else { return nil }
            cell.rowid = rowid
        }
        let most = kind == .leafTable ? usable - 35 : (usable - 12) * 64 / 255 - 23
        var inside = cell.length
        if inside > most {
            let least = (usable - 12) * 32 / 255 - 23
            let fitting = least + (cell.length - least) % (usable - 4)
            inside = fitting <= most ? fitting : least
        }
        var end = reader.position + inside
        guard end <= usable else { return nil }
        cell.local = reader.position..<end
        if inside < cell.length {
            guard end + 4 <= usable else { return nil }
            cell.overflow = bytes.number32(end)
            end += 4
        }
        // The smallest that SQLite gives room to.
        end = max(end, offset + 4)
        return end <= usable ? (cell, end) : nil
    }
}

/// The values of a row.
enum SalvagedRow {
    /// Nil where the bytes are not a row as SQLite writes it.
    static func values(_ bytes: ArraySlice<UInt8>) -> [SalvagedValue]? {
        var types = ByteReader(bytes, at: bytes.startIndex)
        guard let headerSize = types.number(), headerSize > 0, headerSize <= bytes.count else { return nil }
        let headerEnd = bytes.startIndex + Int(headerSize)
        var position = headerEnd
        var values: [SalvagedValue] = []
        while types.position < headerEnd {
            guard let type = types.number(), types.position <= headerEnd, values.count < 64,
                let (value, length) = value(bytes, at: position, type)
            else { return nil }
            values.append(value)
            position += length
        }
        return position == bytes.endIndex ? values : nil
    }

    private static let sizes: [Int64: Int] = [1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8]

    private static func value(_ bytes: ArraySlice<UInt8>, at position: Int, _ type: Int64) -> (SalvagedValue, length: Int)? {
        switch type {
        case 0: return (.null, 0)
        case 8, 9: return (.integer(type - 8), 0)
        case 1...6:
            guard let size = sizes[type], position + size <= bytes.endIndex else { return nil }
            var number: Int64 = bytes[position] & 0x80 == 0 ? 0 : -1
            for byte in bytes[position..<position + size] { number = number << 8 | Int64(byte) }
            // SQLite takes the least room that there is.
            let smallest: Int =
                switch number {
                case 0, 1: 0
                case -0x80...0x7F: 1
                case -0x8000...0x7FFF: 2
                case -0x80_0000...0x7F_FFFF: 3
                case -0x8000_0000...0x7FFF_FFFF: 4
                case -0x8000_0000_0000...0x7FFF_FFFF_FFFF: 6
                default: 8
                }
            return smallest == size ? (.integer(number), size) : nil
        case 12...:
            let size = Int((type - 12) / 2)
            guard size <= bytes.endIndex - position else { return nil }
            let content = bytes[position..<position + size]
            if type % 2 == 0 { return (.blob(Array(content)), size) }
            guard !content.contains(0), let text = String(validating: content, as: UTF8.self) else { return nil }
            return (.text(text), size)
        default: return nil
        }
    }
}

/// Reads SQLite's numbers of one to nine bytes.
private struct ByteReader {
    let bytes: ArraySlice<UInt8>
    var position: Int

    init(_ bytes: ArraySlice<UInt8>, at position: Int) {
        self.bytes = bytes
        self.position = position
    }

    /// Nil at the end.
    mutating func number() -> Int64? {
        var value: UInt64 = 0
        for index in 0..<9 {
            guard position < bytes.endIndex else { return nil }
            let byte = bytes[position]
            position += 1
            if index == 8 { return Int64(bitPattern: value << 8 | UInt64(byte)) }
            value = value << 7 | UInt64(byte & 0x7F)
            if byte & 0x80 == 0 { return Int64(bitPattern: value) }
        }
        return nil
    }
}
