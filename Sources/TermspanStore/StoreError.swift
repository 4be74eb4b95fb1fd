import GRDB

/// What went wrong with the store.
package struct StoreError: Error, Equatable, CustomStringConvertible {
    package enum Code: Sendable {
        /// A newer version of Termspan wrote the file.
        case newerSchema
        /// The file is another program's.
        case notAStore
        /// The file is no database, or its content contradicts itself.
        case damaged
        /// There is no such file.
        case missing
        /// The users' keys can't be used: nothing can be done with the store, which stays as it is.
        case keys
        /// The disk is full, read-only or does not answer.
        case storage
        /// Somebody else has the file locked.
        case busy
        /// What was to be stored must not be, as the message says.
        case refused
        /// Anything else that SQLite says.
        case database
    }

    package var code: Code
    /// What was being done.
    package var operation: String
    /// What SQLite says.
    package var message: String

    package init(_ code: Code, _ operation: String, _ message: String) {
        self.code = code
        self.operation = operation
        self.message = message
    }

    init(_ error: any Error, _ operation: String) {
        if let error = error as? StoreError {
            self = error
            return
        }
        guard let error = error as? DatabaseError else {
            self.init(.database, operation, String(describing: error))
            return
        }
        let code: Code =
            switch error.resultCode {
            case .SQLITE_NOTADB, .SQLITE_CORRUPT, .SQLITE_FORMAT: .damaged
            case .SQLITE_FULL, .SQLITE_IOERR, .SQLITE_READONLY: .storage
            case .SQLITE_BUSY, .SQLITE_LOCKED: .busy
            case .SQLITE_CANTOPEN: .missing
            default: .database
            }
        self.init(code, operation, "\(error.message ?? "") (\(error.extendedResultCode.rawValue))")
    }

    package var description: String { "\(operation): \(message)" }
}
