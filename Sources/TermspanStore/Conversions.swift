import Foundation
import GRDB
import TermspanCore

/// Bytes as SQLite keeps them.
struct DatabaseBytes: DatabaseValueConvertible, RandomAccessCollection, Sendable {
    var bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var databaseValue: DatabaseValue { Data(bytes).databaseValue }

    static func fromDatabaseValue(_ value: DatabaseValue) -> DatabaseBytes? {
        Data.fromDatabaseValue(value).map { DatabaseBytes(Array($0)) }
    }

    var startIndex: Int { bytes.startIndex }
    var endIndex: Int { bytes.endIndex }
    subscript(index: Int) -> UInt8 { bytes[index] }
}

extension BootInstant {
    /// As it is stored: moments beyond what SQLite's integers hold (292 years) become the last that they do.
    var stored: Int64 { Int64(clamping: nanoseconds) }

    init(stored: Int64) { self.init(nanoseconds: UInt64(clamping: stored)) }
}

extension String {
    /// Nil where nothing is known.
    var nonEmpty: String? { isEmpty ? nil : self }
}
