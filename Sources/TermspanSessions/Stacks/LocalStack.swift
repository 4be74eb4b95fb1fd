import TermspanCore

extension Stack {
    package static let local = Stack(rawValue: "local")
}

/// A seat of the machine: the foreground session is Active, one that was switched away is Disconnected.
package struct LocalStack: StackAdapter {
    package init() {}
    package var stack: Stack { .local }
    package var typeName: String { "console" }

    package func sessionName(_ id: String, seat: String) -> String {
        seat.isEmpty || seat == "seat0" ? "console" : "\(seat)#\(id)"
    }

    package func claims(_ session: LogindSession, xServer: XServer?, observations: Observations) -> Bool {
        !session.seat.isEmpty
    }

    package func verdict(_ sessions: [LogindSession], xServer: XServer?, observations: Observations) -> StackVerdict {
        StackVerdict(sessions.contains(where: \.isActive) ? .active : .disconnected)
    }
}
