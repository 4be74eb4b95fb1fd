/// How long what is recorded is kept; nil is without end.
package struct KeptTimes: Hashable, Sendable {
    /// Focus intervals and bursts.
    package var activity: Duration?
    /// Sessions, with their logons, connects and addresses.
    package var sessions: Duration?

    package init(activity: Duration?, sessions: Duration?) {
        self.activity = activity
        self.sessions = sessions
    }

    /// The longer of both times each.
    package func longest(_ other: KeptTimes) -> KeptTimes {
        func longer(_ one: Duration?, _ other: Duration?) -> Duration? {
            guard let one, let other else { return nil }
            return max(one, other)
        }
        return KeptTimes(activity: longer(activity, other.activity), sessions: longer(sessions, other.sessions))
    }
}

/// What holds in place of that for the members of a group.
package struct KeptByGroup: Equatable, Sendable {
    package var group: String
    /// Without a value as for everybody.
    package var activity: Duration??
    package var sessions: Duration??

    package init(group: String, activity: Duration?? = nil, sessions: Duration?? = nil) {
        self.group = group
        self.activity = activity
        self.sessions = sessions
    }
}

extension Configuration {
    package var kept: KeptTimes { KeptTimes(activity: keepActivity, sessions: keepSessions) }

    /// For how long all that is recorded is kept of whomever it is kept shortest; nil: without end.
    package var shortestKept: Duration? {
        ([kept] + keptByGroup.map { kept(by: $0) }).flatMap { [$0.activity, $0.sessions].compactMap(\.self) }.min()
    }

    package func kept(by group: KeptByGroup) -> KeptTimes {
        KeptTimes(activity: group.activity ?? keepActivity, sessions: group.sessions ?? keepSessions)
    }
}
