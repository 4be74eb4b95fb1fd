import TermspanCore

/// Puts what a file tells into records, for which `write` has a place.
package struct ImportWriter {
    private let write: ([UInt8]) throws(CommandError) -> Void
    private var bytes: [UInt8] = []
    private var size = 0
    private var session: ImportRecord.Session?
    private var applications: [Application: UInt32] = [:]
    private var records: UInt64 = 0
    private var rows = 0
    /// What was left out, cut or is not kept, and how often.
    package private(set) var notes: [String: Int] = [:]

    private struct Application: Hashable {
        var executable: String?
        var windowClass: String?
    }

    package init(_ write: @escaping ([UInt8]) throws(CommandError) -> Void) { self.write = write }

    mutating func note(_ text: String) { notes[text, default: 0] += 1 }

    mutating func add(_ record: ImportRecord, to session: ImportRecord.Session, _ source: ImportSource) throws(CommandError) {
        if session != self.session {
            self.session = session
            try append(.session(session), source)
        }
        switch record {
        case .activity, .input:
            rows += 1
            if rows > ImportLimit.rows { throw source.error("There are more than \(ImportLimit.rows) rows; divide the file") }
        default: break
        }
        try append(record, source)
    }

    /// The number by which activities name an application.
    mutating func number(
        executable: String?, windowClass: String?, _ source: ImportSource
    ) throws(CommandError) -> UInt32 {
        let application = Application(executable: executable, windowClass: windowClass)
        if let known = applications[application] { return known }
        guard applications.count < ImportLimit.applications else {
            throw source.error("There are more than \(ImportLimit.applications) applications; divide the file")
        }
        for (text, limit) in [(executable, ImportLimit.executable), (windowClass, ImportLimit.windowClass)] {
            guard let text else { continue }
            if text.utf8.count > limit || text.utf8.contains(0) { throw source.error("An application's name is too long") }
        }
        let number = UInt32(applications.count)
        applications[application] = number
        try append(.application(executable: executable, windowClass: windowClass), source)
        return number
    }

    private mutating func append(_ record: ImportRecord, _ source: ImportSource) throws(CommandError) {
        records += 1
        record.append(to: &bytes)
        if bytes.count >= 1 << 16 { try flush(source) }
    }

    private mutating func flush(_ source: ImportSource) throws(CommandError) {
        size += bytes.count
        if size > ImportLimit.bytes { throw source.error("The file has too much for one import; divide it") }
        try write(bytes)
        bytes.removeAll(keepingCapacity: true)
    }

    /// To be called once, after the file's end.
    package mutating func finish(_ source: ImportSource) throws(CommandError) {
        ImportRecord.end(records: records).append(to: &bytes)
        try flush(source)
    }
}
