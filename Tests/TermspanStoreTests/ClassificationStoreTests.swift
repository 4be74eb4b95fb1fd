import TermspanCore
import Testing

@testable import TermspanStore

@Suite struct ClassificationStoreTests {
    private typealias F = StoreFixture

    @Test func rulesAreKeptAndTheirChangesRecorded() throws {
        let fixture = try StoreFixture()
        let store = try fixture.writer()
        #expect(try store.policy().classification == nil)
        let text = "executable=a category=A\nexecutable=b category=B\n"
        func set(_ text: String, _ rules: Int) throws -> Bool {
            try store.setClassification(text, rules: rules, by: "uid 7", reason: "agreed", at: F.anchor.wall)
        }
        #expect(try !set("", 0))
        #expect(try set(text, 2))
        // What holds already is not decided again.
        #expect(try !set(text, 2))
        let reader = try StoreReader(path: fixture.path)
        let setting = try #require(try reader.policy().classification)
        #expect(setting.value == text && setting.by == "uid 7" && setting.reason == "agreed")
        #expect(try set("", 0))
        #expect(try reader.policy().classification == nil)
        // The audit record can't forget: it has a digest, and not what was said.
        let entries = try reader.audit().map(\.entry)
        #expect(entries.map(\.action) == ["classification", "classification"] && entries.map(\.by) == ["uid 7", "uid 7"])
        #expect(entries[0].value == "2 rules, SHA-256 \(SHA256.hexadecimalDigest(Array(text.utf8)))" && entries[1].value == "shipped")
        #expect(try reader.policyChanges().map(\.change.value) == [text, ""])
    }
}
