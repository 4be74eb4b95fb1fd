import Testing

@testable import TermspanCommands

@Suite struct ClassifyTests {
    private static func row(_ text: String) throws -> JSONValue { try #require(JSONValue(Array(text.utf8))) }

    @Test func whatIsNotClassifiedIsListedByTime() throws {
        var pending = PendingApplications()
        for row in [
            #"{"executable":"/usr/bin/a","category":null,"business":null,"duration":1.5,"active":1}"#,
            #"{"executable":"/usr/bin/b","category":null,"business":null,"duration":4,"active":0.5}"#,
            #"{"executable":"/usr/bin/a","category":null,"business":null,"duration":3,"active":1}"#,
            #"{"executable":"/usr/bin/c","category":"Office","business":null,"duration":9,"active":9}"#,
            #"{"executable":null,"class":"other","category":"other","business":false,"duration":9,"active":9}"#,
            #"{"executable":null,"class":"\u001bX","category":null,"business":null,"duration":0.5,"active":0}"#,
            #"{"executable":null,"class":null,"category":null,"business":null,"duration":90,"active":0}"#,
        ] { pending.add(try Self.row(row)) }
        let rows = pending.rows
        #expect(rows.map { $0["executable"]?.string } == ["/usr/bin/a", "/usr/bin/b", "\u{1B}X"])
        #expect(rows[0].text == #"{"executable":"/usr/bin/a","duration":4.5,"active":2}"#)
        let table = PendingApplications.table(rows)
        #expect(table.count == 4 && table[1].hasSuffix("0:00:02  /usr/bin/a") && !table[3].contains("\u{1B}"))
    }

    @Test func changesOfRulesAreShownRuleByRule() {
        let old = "# Ours\nexecutable=a category=A\nexecutable=b category=B\n"
        let new = "executable=a category=A\n\n  executable=c category=C \r\nexecutable=b category=\"B 2\"\n# done\n"
        #expect(
            RulesDifference.lines(from: old, to: new)
                == ["- executable=b category=B", "+ executable=c category=C", "+ executable=b category=\"B 2\""])
        #expect(RulesDifference.lines(from: old, to: "executable=a category=A\nexecutable=b category=B") == [])
        #expect(RulesDifference.lines(from: "", to: old).count == 2 && RulesDifference.lines(from: old, to: "").count == 2)
    }
}
