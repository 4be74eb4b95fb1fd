import CSystemd
import Glibc
package import TermspanCore

/// What xrdp's clients call themselves, from xrdp's own records in the journal.
///
/// A record is trusted to be xrdp's by what journald itself says of its sender (the process and its unit); the name in it is the client's
/// claim. So it is read by a process that may do nothing but that, `termspand --client-names`, and what that one says is checked again.
package enum XrdpClientName {
    private static let prefix = "Connected client computer name: "
    /// Records of the connection that are looked at, from its latest back.
    private static let maximumRecords = 200
    /// Processes of xrdp's that are asked about at a time.
    package static let maximumProcesses = 256
    /// What an answer about so many may have, in bytes: a PID, a blank, a name, a line's end each.
    package static func answerLength(of count: Int) -> Int { count * (12 + 4 * maximumLength) + end.utf8.count }
    /// NetBIOS names have 15 characters, RDP's field holds 15 or 31.
    private static let maximumLength = 64

    /// Reads the names of the clients that xrdp's processes serve, and tells each as soon as it is known, then the end. Blocks for the journal's
    /// time, and for a second where a record has yet to come.
    ///
    /// - Parameter boot: the running one: PIDs come again in another.
    /// - Returns: false where the journal can't be read.
    package static func read(_ pids: [UInt32], boot: ID128, _ tell: (_ line: String) -> Void) -> Bool {
        var left = pids
        for isSecond in [false, true] {
            if isSecond, !left.isEmpty { sleep(1) }
            var journal: OpaquePointer?
            guard sd_journal_open(&journal, Int32(SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM)) >= 0 else { return false }
            defer { sd_journal_close(journal) }
            // It opens without the files that may not be read, and is never empty.
            guard sd_journal_seek_tail(journal) >= 0, sd_journal_previous(journal) > 0 else { return false }
            var nameless: [UInt32] = []
            for pid in left {
                switch read(pid: pid, boot: boot, journal) {
                case .success(let name?): tell("\(pid) \(name)\n")
                case .success(nil): nameless.append(pid)
                case .failure: return false
                }
            }
            left = nameless
            if left.isEmpty { break }
        }
        tell(end)
        return true
    }

    /// What comes after the last name.
    private static let end = ".\n"

    /// Takes such an answer apart: names of processes that were asked about, cut and cleaned once more, since who read them may be the client's;
    /// and whether it is whole.
    package static func names(in answer: [UInt8], about pids: [UInt32]) -> (names: [UInt32: String], isWhole: Bool) {
        let asked = Set(pids)
        var names: [UInt32: String] = [:]
        for line in answer.split(separator: UInt8(ascii: "\n")).prefix(asked.count) {
            guard let blank = line.firstIndex(of: UInt8(ascii: " ")),
                let pid = UInt32(String(decoding: line[..<blank], as: UTF8.self)), asked.contains(pid)
            else { continue }
            names[pid] = cleaned(String(decoding: line[line.index(after: blank)...], as: UTF8.self)[...])
        }
        return (names, answer.suffix(end.utf8.count).elementsEqual(end.utf8))
    }

    private struct Unreadable: Error {}

    private static func read(pid: UInt32, boot: ID128, _ journal: OpaquePointer?) -> Result<String?, Unreadable> {
        sd_journal_flush_matches(journal)
        for match in ["_SYSTEMD_UNIT=xrdp.service", "_PID=\(pid)", "_BOOT_ID=\(boot)"] {
            guard sd_journal_add_match(journal, match, 0) >= 0 else { return .failure(Unreadable()) }
        }
        guard sd_journal_seek_tail(journal) >= 0 else { return .failure(Unreadable()) }
        for _ in 0..<maximumRecords {
            let step = sd_journal_previous(journal)
            guard step >= 0 else { return .failure(Unreadable()) }
            if step == 0 { break }
            var data: UnsafeRawPointer?
            var length = 0
            guard sd_journal_get_data(journal, "MESSAGE", &data, &length) >= 0, let data, length < 1024 else { continue }
            let message = String(decoding: UnsafeRawBufferPointer(start: data, count: length), as: UTF8.self)
            if let name = name(in: message) { return .success(name) }
        }
        return .success(nil)
    }

    /// The name in a message like `MESSAGE=[INFO ] Connected client computer name: front-desk`.
    static func name(in message: String) -> String? {
        guard let range = message.firstRange(of: prefix) else { return nil }
        return cleaned(message[range.upperBound...])
    }

    private static func cleaned(_ text: Substring) -> String? {
        let unfit: Set<Unicode.GeneralCategory> = [.control, .format, .lineSeparator, .paragraphSeparator]
        let name = text.unicodeScalars.filter { !unfit.contains($0.properties.generalCategory) }.prefix(maximumLength)
        return name.isEmpty ? nil : String(String.UnicodeScalarView(name))
    }
}
