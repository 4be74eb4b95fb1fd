import Foundation
import SeededRandom
import Testing

@testable import TermspanCore

@Suite struct ClassifierTests {
    // MARK: Patterns

    /// What a pattern means, tried out in every way.
    private static func naive(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        if first == UInt8(ascii: "*") {
            return text.indices.contains { naive(pattern.dropFirst(), text[$0...]) } || naive(pattern.dropFirst(), [])
        }
        return text.first == first && naive(pattern.dropFirst(), text.dropFirst())
    }

    private static func word(_ letters: String, _ count: ClosedRange<Int>, _ random: inout SeededRandom) -> String {
        String((0..<Int.random(in: count, using: &random)).map { _ in letters.randomElement(using: &random)! })
    }

    @Test func patternsMeanWhatTheyMean() {
        var random = SeededRandom(seed: 28)
        var matching = 0
        for _ in 0..<20_000 {
            let (pattern, text) = (Self.word("ab*", 0...7, &random), Self.word("ab", 0...9, &random))
            let wanted = Self.naive(Array(pattern.utf8)[...], Array(text.utf8)[...])
            #expect(Wildcard(pattern).matches(text) == wanted, "'\(pattern)' '\(text)'")
            if wanted { matching += 1 }
        }
        #expect(matching > 1000)
    }

    /// A matcher that goes back would need more than the age of the world.
    @Test func noPatternTakesLong() {
        let pattern = Wildcard(String(repeating: "a*aab", count: 50))
        let text = Array(String(repeating: "a", count: 4096).utf8)
        let time = ContinuousClock().measure { #expect(!pattern.matches(text[...])) }
        #expect(time < .seconds(1))
    }

    // MARK: Rules

    /// The definition: go through the rules for groups, then through the others.
    private static func naive(
        _ lists: [ClassificationRules], _ executable: String?, _ description: String?, _ groups: Set<String>
    ) -> Classification? {
        let all = lists.flatMap(\.rules)
        for rule in all.filter({ $0.group != nil }) + all.filter({ $0.group == nil }) {
            if let group = rule.group, !groups.contains(group) { continue }
            if let pattern = rule.executable {
                guard let executable else { continue }
                let file = executable.split(separator: "/", omittingEmptySubsequences: false).last.map(String.init) ?? executable
                let subject = pattern.contains("/") ? executable : file
                if !naive(Array(pattern.utf8)[...], Array(subject.utf8)[...]) { continue }
            }
            if let pattern = rule.description {
                guard let description else { continue }
                if !naive(Array(pattern.lowercased().utf8)[...], Array(description.lowercased().utf8)[...]) { continue }
            }
            return rule.classification
        }
        return nil
    }

    @Test(arguments: 0..<20) func theFirstRuleThatMatchesCounts(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        func pattern(_ random: inout SeededRandom) -> String {
            let word = Self.word("ab*/", 1...4, &random)
            return word.isEmpty ? "*" : word
        }
        func list() throws -> ClassificationRules {
            var text = ""
            for number in 0..<Int.random(in: 0...12, using: &random) {
                if Bool.random(using: &random) { text += "group=\(["x", "y", "z"].randomElement(using: &random)!) " }
                let kind = Int.random(in: 0..<3, using: &random)
                if kind != 1 { text += "executable=\(pattern(&random)) " }
                if kind != 0 { text += "description=\"\(pattern(&random).uppercased())\" " }
                text += "category=c\(number) business=\(Bool.random(using: &random) ? "yes" : "no")\n"
            }
            return try ClassificationRules(text)
        }
        let lists = [try list(), try list()]
        let classifier = Classifier(lists)
        var found = 0
        for _ in 0..<400 {
            let executable = Int.random(in: 0..<10, using: &random) == 0 ? nil : "/" + Self.word("ab/", 0...6, &random)
            let description = Bool.random(using: &random) ? nil : Self.word("aB/", 0...4, &random)
            let groups = Set(["x", "y", "z", "other"].filter { _ in Bool.random(using: &random) })
            let wanted = Self.naive(lists, executable, description, groups)
            // Twice: the second answer is remembered.
            for _ in 0..<2 {
                #expect(classifier.classify(executable: executable, description: description, groups: groups) == wanted)
            }
            if wanted != nil { found += 1 }
            // Whoever's groups are not known is shown no more than in any case.
            if wanted?.isBusiness == false {
                #expect(classifier.sight(executable: executable, description: description, groups: nil) == .other)
            }
        }
        #expect(found > 0 || lists.allSatisfy { $0.rules.isEmpty })
    }

    @Test func aRuleSaysWhatItSays() throws {
        let rules = try ClassificationRules(
            """
            # Comments and empty lines are none.

              group="domain users" description="*Online \\"Bank\\"*" category=Bank business=yes productivity=productive\r
            executable=/opt/game/* category=Games business=no productivity=unproductive ignored=yes
            """
        ).rules
        #expect(rules.map(\.line) == [3, 4] && rules.map(\.group) == ["domain users", nil])
        #expect(rules[0].description == #"*Online "Bank"*"# && rules[0].executable == nil)
        #expect(rules[0].classification == Classification(category: "Bank", productivity: .productive, isBusiness: true))
        #expect(
            rules[1].classification
                == Classification(category: "Games", productivity: .unproductive, isBusiness: false, isIgnored: true))
        let classifier = Classifier([try ClassificationRules("executable=/opt/game/* category=Games ignored=yes")])
        #expect(classifier.sight(executable: "/opt/game/x", description: nil, groups: []) == .nothing)
        #expect(classifier.sight(executable: "/opt/x", description: nil, groups: []) == .whole)
    }

    @Test(arguments: [
        ("executable=a", "'category'"), ("category=x", "neither 'executable' nor 'description'"),
        ("executable=a category=x colour=red", "'colour' is not known"), ("executable=a executable=b category=x", "twice"),
        ("executable=a category=x business=maybe", "must be yes or no"), ("host=example.com category=x", "'host' can't match"),
        ("executable=a category=x productivity=good", "productive or unproductive or undefined"), ("executable a", "key=value"),
        ("executable=\"a category=x", "no \" at its end"), ("executable=\"a\"b category=x", "no blank"),
        ("executable=a\"b category=x", "within"), ("executable=a category=\"x\\y\"", "backslash"), ("executable= category=x", "empty"),
        ("executable=a category=other", "stands for what is not business"), ("group=a,b executable=a category=x", "no name of a group"),
        ("executable=a category=\"x\u{1B}\"", "control character"),
        ("executable=\(String(repeating: "a", count: 257)) category=x", "more than 256 bytes"),
    ])
    func whatIsWrongIsToldWithItsPlace(line: String, problem: String) throws {
        let text = "# Rules\nexecutable=x category=X\n\n\(line)\nexecutable=y category=Y\n"
        let error = #expect(throws: ClassificationRules.Problem.self) { try ClassificationRules(text) }
        #expect(error?.line == 4 && error?.rule == 2)
        #expect(error?.description.contains(problem) == true, "\(error?.description ?? "")")
    }

    @Test func thereAreNotTooMany() throws {
        let one = "executable=a category=x\n"
        #expect(try ClassificationRules(String(repeating: one, count: ClassificationRules.most)).rules.count == 1000)
        #expect(throws: ClassificationRules.Problem.self) { try ClassificationRules(String(repeating: one, count: 1001)) }
        #expect(throws: ClassificationRules.Problem.self) { try ClassificationRules(String(repeating: "#", count: 129 << 10)) }
    }

    /// What comes with the package: right, for many applications, and without a judgement.
    @Test func theShippedRulesJudgeNobody() throws {
        let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Units/classification.rules")
        let rules = try ClassificationRules(String(contentsOf: path, encoding: .utf8))
        #expect(rules.rules.count > 60 && Set(rules.rules.map(\.executable)).count == rules.rules.count)
        for rule in rules.rules {
            #expect(rule.classification == Classification(category: rule.classification.category) && rule.group == nil)
        }
        let classifier = Classifier([ClassificationRules(), rules])
        for (executable, category) in [
            ("/usr/lib/libreoffice/program/soffice.bin", "Office"), ("/usr/lib/firefox-esr/firefox-esr", "Web browser"),
            ("/usr/bin/xterm", "Terminal"), ("/usr/bin/mousepad", "Text editor"), ("/usr/bin/vlc", "Media"), ("/usr/games/sol", "Games"),
            ("/usr/lib/chromium/chromium", "Web browser"), ("/usr/bin/xfce4-terminal", "Terminal"), ("/usr/bin/Thunar", "Files"),
        ] {
            #expect(classifier.classify(executable: executable, description: nil)?.category == category, "\(executable)")
        }
        #expect(classifier.classify(executable: "/home/~/bin/tool", description: nil) == nil)
    }
}
