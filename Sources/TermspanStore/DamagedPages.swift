import Glibc

/// The pages of a damaged store as they were committed last: those of its file, and over them those of its log.
///
/// The layout is that of https://www.sqlite.org/fileformat2.html. Nothing that is in the files can trap, and SQLite does not come near them.
final class DamagedPages {
    /// Bytes a page.
    let size: Int
    /// What is left of a page without what extensions reserve.
    let usable: Int
    /// How many pages there are to look for; what is beyond the end of the file is among them.
    let count: UInt32
    /// Whether there are pages that say which page refers to which, as each store of ours has.
    let hasPointerMap: Bool
    /// Transactions that were committed and can't be reached any more, since the log before them is not whole.
    let lostCommits: Int
    private let file: Int32
    /// Less than 0: there is none.
    private let log: Int32
    /// Where the log has a page, as of its last commit that is whole.
    private let frames: [UInt32: Int64]

    private static let magic = Array("SQLite format 3\0".utf8)
    /// Where SQLite locks, in the page that it never uses.
    static let lockedByte = 0x4000_0000
    /// A file of more pages is not one of ours: at most 256 GB are looked at.
    private static let mostPages: Int64 = 1 << 26

    /// Nil where there is no such file.
    init?(path: String) {
        file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        log = file < 0 ? -1 : open(path + "-wal", O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        let written = WrittenLog(log)
        frames = written.frames
        lostCommits = written.lostCommits
        let first = written.frames[1].flatMap { [log] in Self.bytes(100, at: $0, log) } ?? Self.bytes(100, at: 0, file) ?? []
        let isWhole = first.starts(with: Self.magic)
        // 1 stands for 65536. A header that is not whole says nothing, and the log's size, or SQLite's default, holds.
        let stored = isWhole ? first.number16(16) : written.pageSize ?? 4096
        let told = stored == 1 ? 65_536 : stored
        let size = (512...65_536).contains(told) && told & (told - 1) == 0 ? told : 4096
        self.size = size
        let reserved = isWhole ? Int(first[20]) : 0
        usable = size - reserved >= 480 ? size - reserved : size
        hasPointerMap = isWhole ? first[52..<56].contains { $0 != 0 } : true
        var status = stat()
        let length = fstat(file, &status) == 0 ? Int64(status.st_size) : 0
        let there = min((length + Int64(size) - 1) / Int64(size) + Int64(written.frames.count), Self.mostPages)
        let said = written.pages.map { Int64($0) } ?? (isWhole ? Int64(first.number32(28)) : 0)
        // The header of a file that was cut off knows how long it was; one that says too much is not believed.
        count = UInt32(said > 0 && said <= max(there * 64, 65_536) && said <= Self.mostPages ? said : there)
        if file < 0 { return nil }
    }

    deinit {
        for descriptor in [file, log] where descriptor >= 0 { close(descriptor) }
    }

    /// Nil where it is beyond the end, or can't be read.
    func page(_ number: UInt32) -> [UInt8]? {
        guard number > 0, number <= count else { return nil }
        if let offset = frames[number] { return Self.bytes(size, at: offset, log) }
        return Self.bytes(size, at: Int64(number - 1) * Int64(size), file)
    }

    fileprivate static func bytes(_ count: Int, at offset: Int64, _ descriptor: Int32) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let result = bytes.withUnsafeMutableBytes { buffer in
                pread(descriptor, buffer.baseAddress.map { $0 + done }, count - done, off_t(offset) + off_t(done))
            }
            if result < 0, errno == EINTR { continue }
            guard result > 0 else { return nil }
            done += result
        }
        return bytes
    }
}

/// What a store's log has, as far as it is whole.
private struct WrittenLog {
    private(set) var pageSize: Int?
    /// Where each page is, as of the last commit.
    private(set) var frames: [UInt32: Int64] = [:]
    /// How many pages the store had then.
    private(set) var pages: UInt32?
    private(set) var lostCommits = 0

    private static let headerSize = 32
    private static let frameHeaderSize = 24

    init(_ descriptor: Int32) {
        guard let header = DamagedPages.bytes(Self.headerSize, at: 0, descriptor) else { return }
        let magic = header.number32(0)
        let size = Int(header.number32(8))
        guard magic & 0xFFFF_FFFE == 0x377F_0682, (512...65_536).contains(size), size & (size - 1) == 0 else { return }
        var sum = LogSum(isBigEndian: magic & 1 == 1)
        sum.add(header[0..<24])
        guard sum.first == header.number32(24), sum.second == header.number32(28) else { return }
        pageSize = size
        let salt = header[16..<24]
        var offset = Int64(Self.headerSize)
        var waiting: [UInt32: Int64] = [:]
        /// Whether each frame until now followed from the one before.
        var isWhole = true
        /// Commits after that, of which something came later: nothing but damage takes these.
        var laterCommits = 0
        while let frame = DamagedPages.bytes(Self.frameHeaderSize + size, at: offset, descriptor) {
            let (page, commit) = (frame.number32(0), frame.number32(4))
            var next = sum
            next.add(frame[0..<8])
            next.add(frame[Self.frameHeaderSize...])
            let follows = frame[8..<16].elementsEqual(salt) && next.first == frame.number32(16) && next.second == frame.number32(20)
            if isWhole, follows, page > 0 {
                waiting[page] = offset + Int64(Self.frameHeaderSize)
                if commit > 0 {
                    frames.merge(waiting) { _, new in new }
                    waiting = [:]
                    pages = commit
                }
            } else {
                isWhole = false
                if follows {
                    lostCommits = laterCommits
                    if commit > 0 { laterCommits += 1 }
                }
            }
            // The sum that a frame says that it has is where the next one begins, so that those after a frame that is not whole can be told.
            sum.first = frame.number32(16)
            sum.second = frame.number32(20)
            offset += Int64(Self.frameHeaderSize + size)
        }
    }
}

/// The sum over the log's words.
private struct LogSum {
    let isBigEndian: Bool
    var first: UInt32 = 0
    var second: UInt32 = 0

    init(isBigEndian: Bool) { self.isBigEndian = isBigEndian }

    mutating func add(_ bytes: ArraySlice<UInt8>) {
        let (isBigEndian, start) = (isBigEndian, (first, second))
        (first, second) = bytes.withUnsafeBytes { bytes in
            var (first, second) = start
            for offset in stride(from: 0, to: bytes.count - 7, by: 8) {
                let one = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
                let two = bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
                first = first &+ (isBigEndian ? UInt32(bigEndian: one) : UInt32(littleEndian: one)) &+ second
                second = second &+ (isBigEndian ? UInt32(bigEndian: two) : UInt32(littleEndian: two)) &+ first
            }
            return (first, second)
        }
    }
}

extension [UInt8] {
    /// The big-endian number at an offset, which must be there.
    func number16(_ offset: Int) -> Int { Int(self[offset]) << 8 | Int(self[offset + 1]) }

    func number32(_ offset: Int) -> UInt32 { UInt32(number16(offset)) << 16 | UInt32(number16(offset + 2)) }
}
