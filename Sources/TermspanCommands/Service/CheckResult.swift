package import TermspanCore

/// What `doctor` found at one place.
package struct CheckResult: Hashable, Sendable {
    package enum Verdict: String, Sendable {
        case ok, warn
        case fail = "FAIL"
    }

    package var check: String
    package var verdict: Verdict
    package var detail: String
    /// What to do about it.
    package var remedy: String?

    package init(_ check: String, _ verdict: Verdict, _ detail: String, remedy: String? = nil) {
        self.check = check
        self.verdict = verdict
        self.detail = detail
        self.remedy = verdict == .ok ? nil : remedy
    }

    package static let keys = ["check", "result", "detail", "remedy"]

    package var json: JSONValue {
        .object([
            .init("check", .string(check)), .init("result", .string(verdict.rawValue.lowercased())), .init("detail", .string(detail)),
            .init("remedy", .optional(remedy)),
        ])
    }

    /// Reads what `json` wrote.
    init?(_ json: JSONValue) {
        guard let check = json["check"]?.string, let detail = json["detail"]?.string,
            let verdict = [Verdict.ok, .warn, .fail].first(where: { $0.rawValue.lowercased() == json["result"]?.string })
        else { return nil }
        self.init(check, verdict, detail, remedy: json["remedy"]?.string)
    }

    package static func lines(_ results: [CheckResult]) -> [String] {
        results.flatMap { result in
            let word = result.verdict.rawValue
            let line = word + String(repeating: " ", count: 6 - word.utf8.count) + Printable.text("\(result.check): \(result.detail)")
            return [line] + (result.remedy.map { ["      -> " + Printable.text($0)] } ?? [])
        }
    }

    /// What the collector says of itself, judged.
    ///
    /// - Parameter now: the present.
    package static func judge(_ status: ServiceStatus, now: WallInstant) -> [CheckResult] {
        let secondsSinceCommit = status.lastCommit.map { $0.duration(to: now).components.seconds }
        func number(_ key: String) -> UInt64 { status.numbers[key] ?? 0 }
        var results: [CheckResult] = []
        let (attempted, lost) = (number("events-attempted"), number("events-lost"))
        results.append(
            CheckResult(
                "Events", lost == 0 ? .ok : .warn, "\(attempted) attempted, \(lost) lost",
                remedy: "See `termspan log --event events-lost`; the time is Unknown, not guessed."))
        results.append(
            CheckResult(
                "Lanes", number("quarantined") == 0 ? .ok : .warn, "\(number("lanes")) in use, \(number("quarantined")) quarantined",
                remedy: "A probe wrote what it must not: see `termspan log --event lane-quarantined`."))
        if !status.storeProblem.isEmpty {
            results.append(
                CheckResult(
                    "Writing", .fail, status.storeProblem, remedy: "Is the disk full? df /var/lib/termspan; journalctl -u termspand.service"
                ))
        }
        if !status.diskProblem.isEmpty {
            results.append(
                CheckResult(
                    "Disk", .warn, status.diskProblem,
                    remedy: "Move it to a disk that is, such as one of LUKS, or set unencrypted-disk in termspan.yaml to accept."))
        }
        let isLate = number("pending") > 0 && (secondsSinceCommit ?? 0) > 60
        results.append(
            CheckResult(
                "Commits", isLate ? .fail : .ok,
                isLate
                    ? "\(number("pending")) records wait, and nothing was written for \(secondsSinceCommit ?? 0) s"
                    : "\(number("pending")) records wait for the disk",
                remedy: "Is the disk full? df /var/lib/termspan; journalctl -u termspand.service"))
        results += limits(status, now: now)
        let fine = ["measured", "untracked", "paused", "outside-hours", "starting", "no-x-server", "wayland", ""]
        let bad = status.coverage.filter { !fine.contains($0.coverage) }
        if bad.isEmpty {
            results.append(CheckResult("Probes", .ok, "\(number("probes")) running, \(number("measured")) sessions measured"))
        }
        // One line for all that fail alike, a few of them by name: on a server of a hundred sessions they would hide the rest.
        var seen: Set<String> = []
        for row in bad {
            let why = row.coverage + (row.reason.isEmpty ? "" : ", \(row.reason)")
            guard seen.insert(why).inserted else { continue }
            let others = bad.filter { $0.coverage == row.coverage && $0.reason == row.reason }.dropFirst()
            let alike =
                others.count <= 5
                ? others.map { "\($0.user) in session \($0.session)" }.joined(separator: ", ")
                : "\(others.count) more, see `termspan status`"
            results.append(
                CheckResult(
                    "Probe of session \(row.session)", row.coverage == "failed" ? .fail : .warn,
                    "\(row.user) is not measured: \(why)" + (others.isEmpty ? "" : "; likewise \(alike)"),
                    remedy: row.coverage == "group-unknown"
                        ? "See `getent group NAME`; then: systemctl reload termspand.service"
                        : row.coverage == "sid-unknown"
                            ? "Do SSSD and winbind answer? `sssctl domain-status DOMAIN`, `wbinfo --ping-dc`; then: systemctl reload termspand.service"
                            : row.coverage == "no-seat"
                                ? "See `termspan users --seats`; `seats` in termspan.yaml(5) is how many there are."
                                : "See `termspan log --session \(row.session)` and journalctl -u 'termspan-probe-*' -u 'termspan-cookie-*'."
                ))
        }
        return results
    }

    /// Limits that somebody reached within this time are worth a line each.
    private static let recently: Duration = .seconds(3600)

    private static func limits(_ status: ServiceStatus, now: WallInstant) -> [CheckResult] {
        let reached = status.limits.filter { row in row.last.map { $0.duration(to: now) < recently } ?? false }
        guard !reached.isEmpty else { return [CheckResult("Limits", .ok, "nobody was at one within the hour")] }
        return reached.map { row in
            CheckResult(
                "Limit of \(row.name)", .warn,
                "\(row.user ?? "?") was at it (\(row.limit)); it was reached \(row.hits) times since the collector's start",
                remedy: "See `termspan log --event limit-reached`; termspan.yaml(5) says what is beyond it and how to change it.")
        }
    }
}
