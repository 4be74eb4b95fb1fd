import TermspanCore

/// By what a row names its user and session.
struct RowNames {
    var user: String
    var uid: UInt32?
    var session: UInt32?
    var sessionUUID: String
}

/// What all rows of an application have: in their middle what it is, at their end what it counts as.
struct ApplicationCells {
    var names: [UInt8]
    var classes: [UInt8]
}

/// How rows of an export are written: what all rows of a session or application have in common is made once.
protocol ExportRows {
    var header: [UInt8]? { get }

    /// What rows of a session begin with.
    func frame(_ names: RowNames, computer: String, isImported: Bool) -> [UInt8]

    func application(_ description: String?, _ executable: String?, _ windowClass: String?, _ columns: ClassColumns) -> ApplicationCells

    /// Lengths are nanoseconds.
    func add(
        _ frame: [UInt8], _ start: WallInstant, _ end: WallInstant, _ length: UInt64, _ application: ApplicationCells, active: UInt64,
        passive: UInt64,
        inactive: UInt64, switches: UInt32, to bytes: inout [UInt8])
}

struct JSONRows: ExportRows {
    var header: [UInt8]? { nil }

    func frame(_ names: RowNames, computer: String, isImported: Bool) -> [UInt8] {
        var json = JSONLine()
        json.add("user", names.user)
        json.add("uid", names.uid.map { UInt64($0) })
        json.add("session", names.session.map { UInt64($0) })
        json.add("session_uuid", names.sessionUUID)
        json.add("computer", computer)
        json.add("imported", isImported)
        return json.bytes + Self.start
    }

    func application(_ description: String?, _ executable: String?, _ windowClass: String?, _ columns: ClassColumns) -> ApplicationCells {
        var names = JSONLine()
        names.add("description", description)
        names.add("executable", executable)
        names.add("class", windowClass)
        var classes = JSONLine()
        classes.add(columns)
        return ApplicationCells(
            names: Self.comma + names.bytes.dropFirst() + Self.active, classes: Self.comma + classes.bytes.dropFirst() + Self.close)
    }

    func add(
        _ frame: [UInt8], _ start: WallInstant, _ end: WallInstant, _ length: UInt64, _ application: ApplicationCells, active: UInt64,
        passive: UInt64,
        inactive: UInt64, switches: UInt32, to bytes: inout [UInt8]
    ) {
        bytes += frame
        start.append(to: &bytes)
        bytes += Self.end
        end.append(to: &bytes)
        bytes += Self.duration
        append(seconds: length, to: &bytes)
        bytes += application.names
        append(seconds: active, to: &bytes)
        bytes += Self.passive
        append(seconds: passive, to: &bytes)
        bytes += Self.inactive
        append(seconds: inactive, to: &bytes)
        bytes += Self.switches
        append(decimal: UInt64(switches), to: &bytes)
        bytes += application.classes
    }

    private static let start = Array(",\"start\":\"".utf8)
    private static let end = Array("\",\"end\":\"".utf8)
    private static let duration = Array("\",\"duration\":".utf8)
    private static let active = Array(",\"active\":".utf8)
    private static let passive = Array(",\"passive\":".utf8)
    private static let inactive = Array(",\"inactive\":".utf8)
    private static let switches = Array(",\"switches\":".utf8)
    private static let comma = Array(",".utf8)
    private static let close = Array("}\n".utf8)
}

struct CSVRows: ExportRows {
    var header: [UInt8]? { Array((Answer.exportKeys.joined(separator: ",") + "\r\n").utf8) }

    func frame(_ names: RowNames, computer: String, isImported: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        for cell in [
            names.user, names.uid.map { String($0) } ?? "", names.session.map { String($0) } ?? "", names.sessionUUID, computer,
            isImported ? "true" : "false",
        ] {
            Self.addCell(cell, to: &bytes)
            bytes.append(Self.comma)
        }
        return bytes
    }

    func application(_ description: String?, _ executable: String?, _ windowClass: String?, _ columns: ClassColumns) -> ApplicationCells {
        func cells(_ texts: [String?]) -> [UInt8] {
            var bytes: [UInt8] = []
            for text in texts {
                bytes.append(Self.comma)
                Self.addCell(text ?? "", to: &bytes)
            }
            return bytes
        }
        return ApplicationCells(
            names: cells([description, executable, windowClass]) + [Self.comma],
            classes: cells([columns.category, columns.productivity, columns.isBusiness.map { String($0) }])
                + [UInt8(ascii: "\r"), UInt8(ascii: "\n")])
    }

    func add(
        _ frame: [UInt8], _ start: WallInstant, _ end: WallInstant, _ length: UInt64, _ application: ApplicationCells, active: UInt64,
        passive: UInt64,
        inactive: UInt64, switches: UInt32, to bytes: inout [UInt8]
    ) {
        bytes += frame
        start.append(to: &bytes)
        bytes.append(Self.comma)
        end.append(to: &bytes)
        bytes.append(Self.comma)
        append(seconds: length, to: &bytes)
        bytes += application.names
        append(seconds: active, to: &bytes)
        bytes.append(Self.comma)
        append(seconds: passive, to: &bytes)
        bytes.append(Self.comma)
        append(seconds: inactive, to: &bytes)
        bytes.append(Self.comma)
        append(decimal: UInt64(switches), to: &bytes)
        bytes += application.classes
    }

    private static let comma = UInt8(ascii: ",")

    /// As listings write cells (termspan-json(5)): in quotes where it takes them, and a text that a spreadsheet would compute after an apostrophe.
    /// What could be taken for the end of a line stands as a blank, so that a row is a line.
    static func addCell(_ text: String, to bytes: inout [UInt8]) {
        var cell = text.utf8.map { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") ? UInt8(ascii: " ") : $0 }
        if let first = cell.first, "=+-@\t ".utf8.contains(first) { cell.insert(UInt8(ascii: "'"), at: 0) }
        guard cell.contains(where: { $0 == UInt8(ascii: "\"") || $0 == comma }) else {
            bytes += cell
            return
        }
        bytes.append(UInt8(ascii: "\""))
        for byte in cell {
            if byte == UInt8(ascii: "\"") { bytes.append(byte) }
            bytes.append(byte)
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
