import CSystemd
import Glibc

/// What an xrdp client calls itself, from xrdp's own record in the journal.
///
/// The record is trusted to be xrdp's by what journald itself says of its sender (the process and its unit); the name in it is the
/// client's claim, so it is bounded and cleaned.
enum XrdpClientName {
    private static let prefix = "Connected client computer name: "
    /// Records of the connection that are looked at, from its latest back.
    private static let maximumRecords = 200
    /// NetBIOS names have 15 characters, RDP's field holds 15 or 31.
    private static let maximumLength = 64

    /// Reads the name of the connection that `pid` serves; nil if there is none. Blocks for the journal's time.
    static func read(pid: UInt32) -> String? {
        var journal: OpaquePointer?
        guard sd_journal_open(&journal, Int32(SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM)) >= 0 else { return nil }
        defer { sd_journal_close(journal) }
        var boot = sd_id128_t()
        for match in ["_SYSTEMD_UNIT=xrdp.service", "_PID=\(pid)"] + (sd_id128_get_boot(&boot) >= 0 ? ["_BOOT_ID=\(text(boot))"] : []) {
            guard sd_journal_add_match(journal, match, 0) >= 0 else { return nil }
        }
        guard sd_journal_seek_tail(journal) >= 0 else { return nil }
        for _ in 0..<maximumRecords {
            guard sd_journal_previous(journal) > 0 else { return nil }
            var data: UnsafeRawPointer?
            var length = 0
            guard sd_journal_get_data(journal, "MESSAGE", &data, &length) >= 0, let data, length < 1024 else { continue }
            let message = String(decoding: UnsafeRawBufferPointer(start: data, count: length), as: UTF8.self)
            if let name = name(in: message) { return name }
        }
        return nil
    }

    /// The name in a message like `MESSAGE=[INFO ] Connected client computer name: front-desk`.
    static func name(in message: String) -> String? {
        guard let range = message.firstRange(of: prefix) else { return nil }
        let unfit: Set<Unicode.GeneralCategory> = [.control, .format, .lineSeparator, .paragraphSeparator]
        let name = message[range.upperBound...].unicodeScalars.filter { !unfit.contains($0.properties.generalCategory) }
            .prefix(maximumLength)
        return name.isEmpty ? nil : String(String.UnicodeScalarView(name))
    }

    private static func text(_ id: sd_id128_t) -> String {
        withUnsafeBytes(of: id) { bytes in
            bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
        }
    }
}
