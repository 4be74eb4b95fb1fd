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
        #expect(
            verdict.json.text == #"{"store":"s","entries":3,"problem":null,"journal_records":2,"other_stores":0,"last":null,"known":null}"#)
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

    /// Who sees a part of the record is told whether all of it follows from each other, and a digest to keep.
    @Test(arguments: [nil, true, false] as [Bool?]) func aPartIsCheckedByADigestThatWasKept(isKnown: Bool?) throws {
        let (last, kept) = (String(repeating: "a", count: 64), String(repeating: "b", count: 64))
        var verdict = AuditVerdict(heads: [Self.head(7, "x")], known: isKnown.map { _ in kept })
        let known = isKnown.map { ",\"known\":\($0)" } ?? ""
        verdict.add(try #require(JSONValue(#"{"store":"s","last":"\#(last)","problem":null\#(known)}"#.utf8)))
        #expect(verdict.problem == (isKnown == false ? "no entry has the digest \(kept)" : nil))
        guard isKnown != false else { return }
        #expect(verdict.lines.first == "The audit record's entries follow from each other.")
        #expect(verdict.lines.last == "  termspan verify --audit --known \(last)")
        #expect(verdict.lines.contains { $0.contains("it is as it was") } == (isKnown == true))
        #expect(verdict.json["entries"] == .null && verdict.json["journal_records"] == .null)
    }
}

@Suite struct ReceiptTests {
    @Test func aReceiptIsReadFromTheRecord() throws {
        let text = "termspan-erasure receipt=r-1 at=5 user=u sessions=2 focus-intervals=4 keys-destroyed=1 user-erased=no by=root"
        func row(_ action: String) -> JSONValue {
            .object([
                .init("time", .string("2026-05-28T20:26:40.000000Z")), .init("by", .string("root")), .init("action", .string(action)),
                .init("value", .string(text + " sha256=abc")),
            ])
        }
        let receipt = try #require(Receipt(row("history-erased")))
        #expect(receipt.text == text && receipt.digest == "abc" && receipt.id == "r-1")
        #expect(receipt.json["sessions"] == .unsigned(2) && receipt.json["keys_destroyed"] == .unsigned(1))
        #expect(receipt.json["state_changes"] == .null && receipt.json["text"] == .string(text))
        guard case .object(let members) = receipt.json else { return }
        #expect(members.map(\.key) == ReceiptTable().keys)
        #expect(ReceiptTable().cells(receipt.json).dropFirst() == ["history-erased", "2", "4", "1", "r-1", "abc"])
        #expect(Receipt(row("tracked")) == nil && Receipt(.object([.init("action", .string("history-erased"))])) == nil)
    }
}
