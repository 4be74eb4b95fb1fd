/// Rules by which what somebody does is sorted, as a file has them: one rule a line, the first that matches counts (termspan-classification(5)).
///
///     group=accounting executable=firefox category="Bank" business=yes
///     executable=/usr/lib/libreoffice/* category=Office productivity=productive
///     # A comment.
package struct ClassificationRules: Hashable, Sendable {
    /// What one line says.
    package struct Rule: Hashable, Sendable {
        /// Whose members it is for; nil: everybody.
        package var group: String?
        /// Of the program's file: of its path where the pattern has a slash, else of its name.
        package var executable: String?
        /// Of what people call the program, in upper or lower case.
        package var description: String?
        package var classification: Classification
        package var line: Int
    }

    /// What is wrong with a file, and where.
    package struct Problem: Error, Hashable, Sendable, CustomStringConvertible {
        package var line: Int
        /// Which rule it is, counted from 1; nil where the file as a whole is meant.
        package var rule: Int?
        package var problem: String

        package var description: String { "line \(line)" + (rule.map { " (rule \($0))" } ?? "") + ": \(problem)" }
    }

    /// In their order.
    package private(set) var rules: [Rule] = []

    /// How many rules, and bytes of them, there are at most.
    package static let most = 1000
    package static let longest = 128 << 10
    /// The longest pattern, and the longest name of a category, in bytes.
    private static let longestPattern = 256
    private static let longestCategory = 64
    /// What has not been classified, and what is shown in place of what is not business, are no categories of a rule's.
    private static let reserved: Set<String> = [Classification.other]

    private static let keys = ["group", "executable", "description", "category", "productivity", "business", "ignored"]

    package init() {}

    /// Reads a file's text.
    package init(_ text: String) throws(Problem) {
        guard text.utf8.count <= Self.longest else {
            throw Problem(line: 1, problem: "there are more than \(Self.longest >> 10) KiB of rules")
        }
        // By scalars: CR and LF are one character together.
        for (index, line) in text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = line.last == "\r" ? line.dropLast() : line
            func problem(_ text: String) -> Problem { Problem(line: index + 1, rule: rules.count + 1, problem: text) }
            guard let first = line.first(where: { !Self.isBlank($0) }), first != "#" else { continue }
            guard rules.count < Self.most else { throw problem("there are more than \(Self.most) rules") }
            rules.append(try Self.rule(line, index + 1, problem))
        }
    }

    private static func rule(_ line: Substring.UnicodeScalarView, _ number: Int, _ problem: (String) -> Problem) throws(Problem) -> Rule {
        var values: [String: String] = [:]
        for (key, value) in try words(line, problem) {
            if key == "host" {
                throw problem("'host' can't match: neither web addresses nor window titles are recorded")
            }
            guard keys.contains(key) else {
                throw problem("'\(key.prefix(40))' is not known; there are \(keys.joined(separator: ", "))")
            }
            guard !value.isEmpty else { throw problem("'\(key)' is empty") }
            guard values.updateValue(value, forKey: key) == nil else { throw problem("'\(key)' is there twice") }
        }
        func one<Value>(_ key: String, of known: KeyValuePairs<String, Value>, orElse usual: Value) throws(Problem) -> Value {
            guard let value = values[key] else { return usual }
            guard let found = known.first(where: { $0.key == value })?.value else {
                throw problem("'\(key)' is '\(value.prefix(40))'; it must be \(known.map(\.key).joined(separator: " or "))")
            }
            return found
        }
        for key in ["executable", "description"] where (values[key]?.utf8.count ?? 0) > longestPattern {
            throw problem("'\(key)' has more than \(longestPattern) bytes")
        }
        guard values["executable"] != nil || values["description"] != nil else {
            throw problem("it has neither 'executable' nor 'description'; executable=* is everything")
        }
        if let group = values["group"], !RoleGrant.isName(group) { throw problem("'\(group.prefix(40))' is no name of a group") }
        guard let category = values["category"] else { throw problem("it has no 'category'") }
        guard category.utf8.count <= longestCategory, !reserved.contains(category.lowercased()) else {
            throw problem(
                "'category' has more than \(longestCategory) bytes, or is '\(Classification.other)', which stands for what is not business")
        }
        return Rule(
            group: values["group"], executable: values["executable"], description: values["description"],
            classification: Classification(
                category: category,
                productivity: try one(
                    "productivity", of: ["productive": .productive, "unproductive": .unproductive, "undefined": .undefined],
                    orElse: .undefined),
                isBusiness: try one("business", of: ["yes": true, "no": false], orElse: nil),
                isIgnored: try one("ignored", of: ["yes": true, "no": false], orElse: false)),
            line: number)
    }

    private static func isBlank(_ scalar: Unicode.Scalar) -> Bool { scalar == " " || scalar == "\t" }

    /// `key=value` and `key="value of several words"`, in which a backslash stands before `"` and `\`.
    private static func words(_ line: Substring.UnicodeScalarView, _ problem: (String) -> Problem) throws(Problem) -> [(String, String)] {
        var words: [(String, String)] = []
        var rest = line
        while true {
            rest = rest.drop(while: isBlank)
            guard !rest.isEmpty else { return words }
            let key = String(rest.prefix { $0 != "=" && !isBlank($0) })
            rest = rest.dropFirst(key.unicodeScalars.count)
            guard rest.first == "=" else { throw problem("'\(key.prefix(40))' is not of the form key=value") }
            rest = rest.dropFirst()
            var value = String.UnicodeScalarView()
            if rest.first == "\"" {
                rest = rest.dropFirst()
                while let scalar = rest.first, scalar != "\"" {
                    rest = rest.dropFirst()
                    if scalar == "\\" {
                        guard let next = rest.first, next == "\"" || next == "\\" else {
                            throw problem("in '\(key)' a backslash stands before something else than \" or \\")
                        }
                        rest = rest.dropFirst()
                        value.append(next)
                    } else {
                        value.append(scalar)
                    }
                }
                guard rest.first == "\"" else { throw problem("'\(key)' has no \" at its end") }
                rest = rest.dropFirst()
                guard rest.first.map(isBlank) ?? true else { throw problem("after the \" of '\(key)' there is no blank") }
            } else {
                value = String.UnicodeScalarView(rest.prefix { !isBlank($0) })
                rest = rest.dropFirst(value.count)
                guard !value.contains("\"") else { throw problem("'\(key)' has a \" within: write \(key)=\"...\"") }
            }
            guard !value.contains(where: { $0.properties.generalCategory == .control }) else {
                throw problem("'\(key)' has a control character")
            }
            words.append((key, String(value)))
        }
    }
}

/// As what an activity counts.
package struct Classification: Hashable, Sendable {
    package enum Productivity: String, CaseIterable, Sendable {
        case productive, unproductive, undefined
    }

    package var category: String
    package var productivity = Productivity.undefined
    /// Nil where the rule does not say.
    package var isBusiness: Bool?
    /// Whether it is left out of reports about others.
    package var isIgnored = false

    /// In place of what is not business.
    package static let other = "other"

    package init(category: String, productivity: Productivity = .undefined, isBusiness: Bool? = nil, isIgnored: Bool = false) {
        self.category = category
        self.productivity = productivity
        self.isBusiness = isBusiness
        self.isIgnored = isIgnored
    }
}
