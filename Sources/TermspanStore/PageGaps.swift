import GRDB
import GRDBSQLite
import Glibc

/// The gaps in the pages of an SQLite file, in which rows that were moved to other pages leave copies: secure_delete does not reach these.
///
/// The layout is that of https://www.sqlite.org/fileformat2.html. The bytes between a page's cell pointers and its cells mean nothing to anybody, so that they
/// are overwritten in the file itself, through SQLite's own handle (another one's close would drop SQLite's locks): a reader finds the same rows, and
/// whoever is killed in between leaves a file that is right.
struct PageGaps {
    private let pageSize: Int
    /// What is left of a page without what extensions reserve.
    private let usable: Int
    private let pageCount: UInt32
    private let hasPointerMap: Bool

    /// How many pages are looked at while nothing else is done: 8 MB.
    private static let atOnce: UInt32 = 2048
    /// Where SQLite locks, in the page that it never uses.
    private static let lockedByte = 0x4000_0000
    /// From here on the number of an overflow page can begin like a page of a tree.
    private static let mostPages: Int64 = 0x0200_0000

    /// Overwrites the gaps of pages from one on that have anything in them. To be called outside of a transaction.
    ///
    /// - Returns: the page to go on with; nil once these were the last, and the file says so.
    /// - Throws: also where there is anything in the log, whose pages may come over those of the file: it was to be cut off.
    static func overwrite(from first: UInt32, _ db: Database) throws -> UInt32? {
        var next: UInt32?
        // Nobody else puts anything into the log meanwhile.
        try db.inTransaction(.immediate) {
            next = try withFile(db) { file throws(StoreError) in try overwrite(from: first, file) }
            if next == nil, try Int.fetchOne(db, sql: "PRAGMA user_version") == StoreWriter.holdsExpired {
                try db.execute(sql: "PRAGMA user_version = 0")
            }
            return .commit
        }
        // The pages that are remembered are as they were.
        try db.execute(sql: "PRAGMA shrink_memory")
        return next
    }

    private static func overwrite(from first: UInt32, _ file: UnsafeMutablePointer<sqlite3_file>) throws(StoreError) -> UInt32? {
        guard let gaps = PageGaps(header: try read(100, at: 0, file), size: try size(file)), first <= gaps.pageCount else { return nil }
        let last = min(gaps.pageCount, first - 1 + atOnce)
        var isChanged = false
        for number in first...last {
            let start = Int64(number - 1) * Int64(gaps.pageSize)
            let page = try read(gaps.pageSize, at: start, file)
            guard let gap = gaps.gap(in: page, number: number), page[gap].contains(where: { $0 != 0 }) else { continue }
            let zeros = [UInt8](repeating: 0, count: gap.count)
            try check(file.pointee.pMethods.pointee.xWrite(file, zeros, Int32(zeros.count), start + Int64(gap.lowerBound)))
            isChanged = true
        }
        if isChanged { try check(file.pointee.pMethods.pointee.xSync(file, SQLITE_SYNC_NORMAL)) }
        return last < gaps.pageCount ? last + 1 : nil
    }

    /// - Parameters:
    ///   - header: the first 100 bytes of the file.
    ///   - size: of the file.
    init?(header: [UInt8], size: Int64) {
        guard header.count == 100, header.starts(with: Array("SQLite format 3\0".utf8)) else { return nil }
        // 1 stands for 65536.
        let stored = Self.number(header, 16)
        pageSize = stored == 1 ? 65_536 : stored
        usable = pageSize - Int(header[20])
        guard pageSize >= 512, usable >= 480, size / Int64(pageSize) < Self.mostPages else { return nil }
        pageCount = UInt32(size / Int64(pageSize))
        hasPointerMap = header[52..<56].contains { $0 != 0 }
    }

    /// Where a page's gap is; nil for one that is not of a tree, or not as it should be.
    func gap(in page: [UInt8], number: UInt32) -> Range<Int>? {
        guard page.count == pageSize, !isOther(number) else { return nil }
        let header = number == 1 ? 100 : 0
        let length: Int
        switch page[header] {
        case 2, 5: length = 12
        case 10, 13: length = 8
        default: return nil
        }
        let begin = header + length + 2 * Self.number(page, header + 3)
        let stored = Self.number(page, header + 5)
        let end = stored == 0 ? 65_536 : stored
        return begin < end && end <= usable ? begin..<end : nil
    }

    /// Whether a page is of the map that says which page refers to which, or the one in which SQLite locks.
    private func isOther(_ number: UInt32) -> Bool {
        let locked = UInt32(Self.lockedByte / pageSize) + 1
        guard number != locked else { return true }
        guard hasPointerMap, number >= 2 else { return false }
        let entries = UInt32(usable / 5) + 1
        let map = (number - 2) / entries * entries + 2
        return number == (map == locked ? map + 1 : map)
    }

    private static func number(_ bytes: [UInt8], _ offset: Int) -> Int { Int(bytes[offset]) << 8 | Int(bytes[offset + 1]) }

    // MARK: The file

    private static func withFile<T>(
        _ db: Database, _ body: (UnsafeMutablePointer<sqlite3_file>) throws(StoreError) -> T
    ) throws(StoreError) -> T {
        var file: UnsafeMutablePointer<sqlite3_file>?
        var log: UnsafeMutablePointer<sqlite3_file>?
        try check(sqlite3_file_control(db.sqliteConnection, "main", SQLITE_FCNTL_FILE_POINTER, &file))
        try check(sqlite3_file_control(db.sqliteConnection, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log))
        guard let file, file.pointee.pMethods != nil, let log, log.pointee.pMethods != nil, try size(log) == 0 else {
            throw StoreError(.busy, "overwrite gaps", "the log is not empty")
        }
        return try body(file)
    }

    private static func read(_ count: Int, at offset: Int64, _ file: UnsafeMutablePointer<sqlite3_file>) throws(StoreError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try check(file.pointee.pMethods.pointee.xRead(file, &bytes, Int32(count), offset))
        return bytes
    }

    private static func size(_ file: UnsafeMutablePointer<sqlite3_file>) throws(StoreError) -> Int64 {
        var size: Int64 = 0
        try check(file.pointee.pMethods.pointee.xFileSize(file, &size))
        return size
    }

    private static func check(_ code: Int32) throws(StoreError) {
        guard code == SQLITE_OK else { throw StoreError(.storage, "overwrite gaps", "SQLite says \(code)") }
    }
}
