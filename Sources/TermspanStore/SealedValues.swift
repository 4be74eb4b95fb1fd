import GRDB
import TermspanCore

extension DoNotTrackList.Subject {
    /// Whether it is what `reveal` gives for a name whose key is gone.
    var isLost: Bool {
        switch self {
        case .login(let name): name.name.hasPrefix("?")
        case .uid(let uid): uid == .max
        case .sid: false
        }
    }
}

/// Values that are sealed under a user's key: the key's ID, then nonce, bytes and tag (`SecretKey.seal`). Text is padded with zeros to a multiple of
/// 32 bytes, so that its length does not tell whose it was once the key is destroyed.
///
/// SQL sees them through two functions and a view of each connection:
/// - `reveal(kind, value)`: the text; of a value whose key is gone NULL, or where it names somebody `?` and the key's ID, so that the rows of one
///   user stay together;
/// - `seal(kind, text, key)`: the reverse, for the writer;
/// - `identifier`: the table `user_identifier`, with its values as text.
struct SealedValues: Sendable {
    /// What a value is: a part of what it is sealed with, so that one can't be put in another's place.
    enum Kind: String {
        case login, uid
        case clientAddress = "client_address"
        case clientName = "client_name"
        /// The computer that a session was imported of.
        case origin
        // As the facts are called.
        case loginName = "login-name"
        case friendlyName = "friendly-name"
        case logonDomain = "logon-domain"
    }

    let keys: KeyFile

    private static let block = 32

    func seal(_ text: String, as kind: Kind, under id: KeyID) throws(StoreError) -> DatabaseBytes {
        guard let key = keys.key(id) else { throw StoreError(.keys, "seal a value", "the user's key is not in \(keys.place.path)") }
        return DatabaseBytes(id.bytes + key.seal(Self.padded(text), context: Array(kind.rawValue.utf8)))
    }

    /// Nil where the key is gone, or the value is not of this kind.
    func text(of sealed: [UInt8], as kind: String) -> String? {
        guard let id = KeyID(prefix: sealed), let key = keys.key(id),
            let plain = key.open(sealed.dropFirst(8), context: Array(kind.utf8))
        else { return nil }
        return String(validating: plain.prefix { $0 != 0 }, as: UTF8.self)
    }

    private static func padded(_ text: String) -> [UInt8] {
        var bytes = Array(text.utf8.prefix { $0 != 0 })
        bytes += [UInt8](repeating: 0, count: (block - bytes.count % block) % block)
        return bytes
    }

    static let view = """
        CREATE TEMP VIEW identifier AS
        SELECT id, user, kind, machine, reveal(kind, value) AS value, until FROM main.user_identifier
        """

    /// Refuses the keys of another store.
    func check(belongsTo db: Database) throws {
        let root = try DatabaseBytes.fetchOne(db, sql: "SELECT root FROM key_file").flatMap { KeyID(prefix: $0) }
        guard root == keys.rootID else {
            throw StoreError(.keys, "open \(keys.place.path)", "these are the keys of another store: restore its own; see termspan-keys(7)")
        }
    }

    /// Gives a connection the functions and the view.
    func register(_ db: Database) throws {
        db.add(
            function: DatabaseFunction("reveal", argumentCount: 2, pure: true) { arguments in
                // In a store from before there were keys.
                guard case .blob(let sealed) = arguments[1].storage, let kind = String.fromDatabaseValue(arguments[0]) else {
                    return arguments[1]
                }
                let bytes = Array(sealed)
                if let text = text(of: bytes, as: kind) { return text }
                guard kind == Kind.login.rawValue || kind == Kind.uid.rawValue else { return nil }
                return "?" + String(KeyID(prefix: bytes)?.rawValue ?? 0, radix: 16)
            })
        db.add(
            function: DatabaseFunction("seal", argumentCount: 3) { arguments in
                guard let text = String.fromDatabaseValue(arguments[1]),
                    let kind = String.fromDatabaseValue(arguments[0]).flatMap(Kind.init),
                    let id = DatabaseBytes.fromDatabaseValue(arguments[2]).flatMap({ KeyID(prefix: $0) })
                else { return nil }
                return try seal(text, as: kind, under: id)
            })
        try db.execute(sql: Self.view)
    }
}
