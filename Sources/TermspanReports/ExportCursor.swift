package import TermspanCore

/// Up to where an export has come: what was written to the store in transactions after one and up to another, and of those the last row that was told.
///
/// The store numbers its transactions, and a row that is closed never changes: so what an export tells after a cursor is exactly what came into the
/// store since, in whichever session, whatever retention has removed meanwhile.
package struct ExportCursor: Equatable, Sendable {
    /// The store's UUID.
    package var store: UUIDv7
    /// A digest of what was asked for.
    package var selection: UInt32
    /// Rows of transactions up to this one were told by exports before.
    package var told: Int64
    /// Rows of transactions up to this one belong to the export.
    package var last: Int64
    /// Where an export under way was; nil once it was complete.
    package var position: Position?

    package struct Position: Equatable, Sendable {
        /// The session's row in the store, and the last row of it that was told.
        package var session: Int64
        package var start: BootInstant

        package init(session: Int64, start: BootInstant) {
            self.session = session
            self.start = start
        }
    }

    package init(store: UUIDv7, selection: UInt32, told: Int64, last: Int64, position: Position? = nil) {
        self.store = store
        self.selection = selection
        self.told = told
        self.last = last
        self.position = position
    }

    /// FNV-1a of 32 bits: for what is mistyped or cut, not against who wants to deceive, who could only deceive about what is told to them anyway.
    static func digest(_ text: String) -> UInt32 { text.utf8.reduce(0x811C_9DC5) { ($0 ^ UInt32($1)) &* 0x0100_0193 } }
}

extension ExportCursor: LosslessStringConvertible {
    /// `1.STORE.SELECTION.TOLD.LAST.SESSION.START.DIGEST`, numbers in hexadecimal; without session and start once complete.
    package var description: String {
        var fields = ["1", store.description] + [Int64(selection), told, last].map { String($0, radix: 16) }
        if let position { fields += [String(position.session, radix: 16), String(position.start.nanoseconds, radix: 16)] }
        let text = fields.joined(separator: ".")
        return text + "." + String(Self.digest(text), radix: 16)
    }

    /// nil for anything that this does not write.
    package init?(_ description: String) {
        guard description.utf8.count <= 200 else { return nil }
        let fields = description.split(separator: ".", omittingEmptySubsequences: false)
        guard fields.count == 6 || fields.count == 8, fields[0] == "1", let store = UUIDv7(fields[1]),
            let selection = UInt32(fields[2], radix: 16), let told = Int64(fields[3], radix: 16), let last = Int64(fields[4], radix: 16),
            told >= 0, last >= told
        else { return nil }
        self.init(store: store, selection: selection, told: told, last: last)
        if fields.count == 8 {
            guard let session = Int64(fields[5], radix: 16), let start = UInt64(fields[6], radix: 16), session > 0 else { return nil }
            position = Position(session: session, start: BootInstant(nanoseconds: start))
        }
        // Numbers can be written in several ways, and the digest is of one.
        guard self.description == description else { return nil }
    }
}
