import ArgumentParser
package import TermspanBus
package import TermspanCore

/// Whether a user's activity is recorded.
enum TrackingState: String, CaseIterable, ExpressibleByArgument { case tracked, untracked }

/// Which of the known users are meant: the options of `users`, `track` and `untrack`, which the reports service chooses by.
struct UserSelection: ParsableArguments {
    @Option(help: "Only users who are tracked, or untracked.")
    var status: TrackingState?

    @Option(help: "Only members of this group of the system or its directory, or own:GROUP.")
    var group: String?

    @Option(
        help:
            "Only users of this domain: as a directory has it, EXAMPLE of EXAMPLE\\anna, example.com of anna@example.com, or this computer's name."
    )
    var domain: String?

    @Option(help: "Only users who are logged on or had a recorded session since: \(Moment.help).")
    var seenSince: Moment?

    @Flag(help: "Only users of whom sessions are recorded.")
    var hasData = false

    var isEmpty: Bool { status == nil && group == nil && domain == nil && seenSince == nil && !hasData }

    func validate() throws {
        if [group, domain].contains(where: { $0?.isEmpty ?? false }) { throw ValidationError("A group and a domain have a name.") }
    }

    func filter(search: String? = nil) -> UserFilter {
        UserFilter(
            search: search, isTracked: status.map { $0 == .tracked }, group: group, domain: domain, seenSince: seenSince?.instant,
            hasData: hasData ? true : nil)
    }
}

extension UserFilter {
    /// As `Users` of org.termspan1.Reports takes it.
    package var properties: [String: BusValue] {
        var values: [String: BusValue] = [:]
        values["search"] = search.flatMap { $0.isEmpty ? nil : .string($0) }
        values["status"] = isTracked.map { .string($0 ? TrackingState.tracked.rawValue : TrackingState.untracked.rawValue) }
        values["group"] = group.map { .string($0) }
        values["domain"] = domain.map { .string($0) }
        values["seen-since"] = seenSince.map { .uint64($0.microseconds) }
        values["has-data"] = hasData.map { .bool($0) }
        return values
    }
}
