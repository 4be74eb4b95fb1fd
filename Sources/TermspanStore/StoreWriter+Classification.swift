import GRDB
package import TermspanCore

// Classification: Docs/adr/0028-classification.md.

extension StoreWriter {
    /// Changes the rules by which activities are classified, and records who did and why: the record of changes has them whole, and the audit
    /// record how many they are and their digest.
    ///
    /// - Parameter text: the file's, which is right; empty: there are none but those that are shipped.
    /// - Returns: whether anything changed.
    package func setClassification(
        _ text: String, rules: Int, by: String, reason: String, at moment: WallInstant
    ) throws(StoreError) -> Bool {
        forgetPolicy()
        return try transaction("set the classification") { db in
            let key = Policy.classificationKey
            let old = try String.fetchOne(db, sql: "SELECT value FROM setting WHERE key = ?", arguments: [key]) ?? ""
            if old == text { return false }
            let summary = text.isEmpty ? "shipped" : "\(rules) rules, SHA-256 \(SHA256.hexadecimalDigest(Array(text.utf8)))"
            try self.set(Policy.Setting(key: key, value: text, since: moment, by: by, reason: reason), db, audited: summary)
            return true
        }
    }
}

extension Policy {
    static let classificationKey = "classification"

    /// The rules of this server's by which activities are classified, as the file that was applied has them; nil: none.
    package var classification: Setting? { settings.first { $0.key == Self.classificationKey && !$0.value.isEmpty } }
}
