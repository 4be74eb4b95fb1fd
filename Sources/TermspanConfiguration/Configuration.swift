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
    /// Displays of one user that are probed at a time.
    package var displaysPerUser = 16
    /// Calls of one user that each service answers in a second; five times as many at once after a pause.
    package var busCallsPerSecond = 100
    /// Who answers for what is collected here; shown to those who are tracked.
    package var responsible = ""

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
