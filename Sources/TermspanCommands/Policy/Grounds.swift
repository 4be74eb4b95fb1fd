import ArgumentParser

/// Why something is decided, and who answers for it where more is recorded by that.
package struct Grounds: Hashable, Sendable {
    package var reason = ""
    /// Empty: whom the configuration names.
    package var responsible = ""

    /// Whether the same person answers for it, or whoever does where nobody is named.
    func areAnsweredFor(in others: Grounds) -> Bool { responsible.isEmpty || responsible == others.responsible }
}

/// The grounds of what has more recorded.
struct GroundsOptions: ParsableArguments {
    @Option(help: "Why; kept with the policy and shown to the users.")
    var reason: String

    @Option(help: "Who answers for it; shown to the users, too. Left out, whom termspan.yaml names.")
    var responsible: String = ""

    var grounds: Grounds { Grounds(reason: reason, responsible: responsible) }

    func validate() throws {
        if reason.allSatisfy(\.isWhitespace) { throw ValidationError("--reason must not be empty: it is shown to the users.") }
    }
}
