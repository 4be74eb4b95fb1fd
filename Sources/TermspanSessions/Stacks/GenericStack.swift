import TermspanCore

extension Stack {
    /// None of the known ones.
    package static let generic = Stack(rawValue: "generic")
}

/// A stack that nobody knows: somebody is logged on, and no more can be said.
package struct GenericStack: StackAdapter {
    package init() {}
    package var stack: Stack { .generic }
    package var typeName: String { "" }

    package func sessionName(_ id: String, seat: String) -> String { "session#\(id)" }

    package func claims(_ session: LogindSession, xServer: XServer?, observations: Observations) -> Bool { true }

    package func verdict(_ sessions: [LogindSession], xServer: XServer?, observations: Observations) -> StackVerdict {
        StackVerdict(.active, confidence: .low)
    }
}
