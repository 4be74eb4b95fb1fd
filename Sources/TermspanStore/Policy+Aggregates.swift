import TermspanAccounting

extension Policy {
    /// The setting with the names of the groups of which aggregates are told, with commas between them, which no name has.
    static let aggregateGroupsKey = "aggregate-groups"
    static let aggregateMinimumKey = "aggregate-minimum"

    /// The groups of which aggregates are told, in the order in which they are considered.
    package var aggregateGroups: [String] {
        (settings.first { $0.key == Self.aggregateGroupsKey }?.value ?? "").split(separator: ",").map(String.init)
    }

    /// Of how many users an aggregate is at least.
    package var aggregateMinimum: UInt64 {
        let value = settings.first { $0.key == Self.aggregateMinimumKey }.flatMap { UInt64($0.value) }
        return value.map { max($0, AggregateTable.minima.lowerBound) } ?? AggregateTable.usualMinimum
    }
}
