package import TermspanCore

/// What `/etc/termspan/termspan.yaml` and its fragments set; every value has a default that needs no file.
///
/// What is collected and of whom is policy, which lives in the store and changes through the bus, not here.
package struct Configuration: Equatable, Sendable {
    /// A pause in the input of this length ends a burst: how finely input is recorded.
    package var burstGap: Duration = .seconds(30)
    /// Active ends this long after the last input; applied when asked.
    package var idleThreshold: Duration = .seconds(120)
    /// Passive follows Active for at most this long; nil is without end.
    package var passiveLimit: Duration? = .seconds(300)
    /// How long what was collected may wait before it is durable.
    package var commitInterval: Duration = .seconds(1)
    /// How long a probe may take from its start to being ready.
    package var probeReadyTimeout: Duration = .seconds(10)
    /// How long focus intervals and bursts are kept; nil is without end.
    package var keepActivity: Duration? = .seconds(180 * 86_400)
    /// How long sessions are kept, with their logons, connects and addresses; nil is without end.
    package var keepSessions: Duration? = .seconds(400 * 86_400)
    /// Other times for members of groups, of a user in several the first one's.
    package var keptByGroup: [KeptByGroup] = []
    /// For how long in any 24 hours users may pause the recording of their own activity; zero does not let them.
    package var pausePerDay: Duration = .seconds(3600)
    /// When activity is recorded; without any always.
    package var trackingHours: [TrackingHours.Window] = []
    /// Days on which it isn't.
    package var holidays: Set<CalendarDay> = []
    /// What users can take of the collector.
    package var limits = Limits()
    /// By which the world reaches the machine, where its own addresses don't tell; "" where they do, or nobody knows.
    package var publicAddress = ""
    /// Where the machine's public address is asked for; "" for nowhere.
    package var publicAddressURL = ""
    /// What is to be where the disk that the store is on is not known to be encrypted.
    package var unencryptedDisk = UnencryptedDisk.accept
    /// Who answers for what is collected here; shown to those who are tracked.
    package var responsible = ""
    /// Why it is; shown to them, too.
    package var reason = ""

    package init() {}

    /// What it has kept longer than is usual takes a reason and somebody who answers for it; the problem where there is none.
    var missingGrounds: String? {
        let usual = Configuration()
        func isLonger(_ kept: Duration?, _ usual: Duration?) -> Bool { usual.map { usual in kept.map { $0 > usual } ?? true } ?? false }
        let times = [KeptTimes(activity: keepActivity, sessions: keepSessions)] + keptByGroup.map { self.kept(by: $0) }
        guard times.contains(where: { isLonger($0.activity, usual.keepActivity) || isLonger($0.sessions, usual.keepSessions) }),
            !hasGrounds
        else { return nil }
        return """
            keeps longer than is usual (activity 180d, sessions 400d), which takes 'reason' and 'responsible': they are shown to whom it is about
            """
    }

    /// In one line, what of it is policy: whoever changes it decides about others. Not who answers for it, which names somebody.
    package var policyText: String {
        func text(_ time: Duration?) -> String {
            guard let time else { return "unlimited" }
            let seconds = time.components.seconds
            return seconds % 86_400 == 0 ? "\(seconds / 86_400)d" : time.setting
        }
        var parts = [
            "keep-activity \(text(keepActivity))", "keep-sessions \(text(keepSessions))", "pause-per-day \(text(pausePerDay))",
            "unencrypted-disk \(unencryptedDisk.rawValue)", "seats \(limits.seats.map(String.init) ?? "unlimited")",
        ]
        parts += keptByGroup.map { kept in
            let times = self.kept(by: kept)
            return "keep-by-group \(kept.group): activity \(text(times.activity)), sessions \(text(times.sessions))"
        }
        parts += trackingHours.map { "tracking-hours \($0.text)" + ($0.group.map { " of \($0)" } ?? "") }
        if !holidays.isEmpty { parts.append("holidays " + holidays.sorted().map(\.description).joined(separator: " ")) }
        return parts.joined(separator: "; ")
    }

    package var hours: TrackingHours { TrackingHours(windows: trackingHours, holidays: holidays) }
}

/// What is done about a disk that is not known to be encrypted: nothing, a warning, or that nothing is recorded on it.
package enum UnencryptedDisk: String, CaseIterable, Sendable { case accept, warn, refuse }

/// What users can take of the collector at most: each of them, but for the seats. Whoever is at a limit costs only themselves.
package struct Limits: Equatable, Sendable {
    /// Displays that are probed at a time.
    package var displaysPerUser = 16
    /// Sockets in the X socket folder that are looked at.
    package var socketsPerUser = 64
    /// Logons that are recorded and measured at once; those beyond wait for their turn.
    package var logonsPerMinute = 10
    /// Connects, disconnects, locks and unlocks of one session that are recorded; of more, the latest.
    package var stateChangesPerMinute = 60
    /// Changes of the window with the focus that are recorded one by one.
    package var focusChangesPerSecond = 20
    /// Intervals and bursts that are stored.
    package var rowsPerDay = 50_000
    /// Starts of probes.
    package var probeStartsPerMinute = 20
    /// Calls over the bus that each service answers; five times as many at once after a pause.
    package var busCallsPerSecond = 100
    /// Users of whom something is held; beyond, new ones are not recorded. Nil is any number.
    package var seats: Int?

    package init() {}
}

/// A configuration that can't be used: where, and what is wrong with it.
package struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    package var file: String
    /// Counted from 1; nil where the whole file is meant.
    package var line: Int?
    package var key: String?
    package var problem: String

    package var description: String {
        let place = line.map { "\(file):\($0)" } ?? file
        return key.map { "\(place): \($0): \(problem)" } ?? "\(place): \(problem)"
    }
}
