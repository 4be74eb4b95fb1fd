import TermspanCore
import Testing

@testable import TermspanCommands

@Suite struct AuditVerdictTests {
    private static func head(_ id: UInt64, _ digest: String, store: String = "s") -> AuditVerdict.Head {
        AuditVerdict.Head(store: store, id: id, digest: digest, time: WallInstant(nanoseconds: 0))
    }

    private static func verdict(_ heads: [AuditVerdict.Head]?, _ lines: [String]) throws -> AuditVerdict {
        var verdict = AuditVerdict(heads: heads)
        for line in lines { verdict.add(try #require(JSONValue(line.utf8))) }
        return verdict
    }

    private static let three = [1, 2, 3].map { "{\"id\":\($0),\"sha256\":\"d\($0)\"}" } + [#"{"store":"s","entries":3,"problem":null}"#]

    @Test func whatTheJournalWasToldIsThere() throws {
        let verdict = try Self.verdict([Self.head(1, "d1"), Self.head(3, "d3")], Self.three)
        #expect(verdict.problem == nil)
        #expect(verdict.lines == ["The audit record is as it was written: 3 entries, of which the journal was told 2 times."])
        #expect(verdict.json.text == #"{"store":"s","entries":3,"problem":null,"journal_records":2,"other_stores":0}"#)
    }

    @Test func whatWasWrittenAnewOrCutOffShows() throws {
        let anew = try Self.verdict([Self.head(1, "d1"), Self.head(2, "x")], Self.three)
        #expect(anew.problem?.hasPrefix("entry 2 is another than the journal told at ") == true)
        // The same entry was told twice, differently.
        #expect(try Self.verdict([Self.head(2, "d2"), Self.head(2, "x")], Self.three).problem != nil)
        let cut = try Self.verdict([Self.head(4, "d4")], Self.three)
        #expect(cut.problem?.hasPrefix("the journal tells of 4 entries at ") == true && cut.problem?.hasSuffix(", and there are 3") == true)
        #expect(try Self.verdict([Self.head(4, "d4")], []).problem == "there is no audit record, though the journal tells of one")
    }

    @Test func anotherStoresRecordIsItsOwn() throws {
        let verdict = try Self.verdict([Self.head(9, "x", store: "old"), Self.head(1, "d1")], Self.three)
        #expect(verdict.problem == nil && verdict.lines[0].contains("as it was written"))
        #expect(verdict.lines[1].contains("the records of 1 other stores"))
        // Whoever makes all of it anew under another name leaves nothing to compare with, which is said.
        let anew = try Self.verdict([Self.head(3, "x", store: "old")], Self.three)
        #expect(anew.lines[0].hasPrefix("The audit record's 3 entries follow from each other."))
        #expect(anew.json["journal_records"] == .unsigned(0))
        #expect(!anew.lines.joined().contains("as it was written"))
    }

    @Test func whatCouldNotBeComparedIsSaid() throws {
        let verdict = try Self.verdict(nil, Self.three)
        #expect(verdict.problem == nil && verdict.lines[1] == "you may not read the journal, which would tell.")
        #expect(verdict.json["journal_records"] == .null)
        #expect(try Self.verdict([], []).problem == nil)
        #expect(try Self.verdict([], []).lines == ["There is no audit record yet."])
    }
}
