package import TermspanCore

/// One event as the collector copied it out of a lane. Its bytes are a producer's: hostile.
@safe package struct LaneRecord {
    package let type: UInt8
    /// When it was observed: never before the event before it, never in the future.
    package let time: BootInstant
    /// The event's number among those that were attempted, from 1 up.
    package let attemptedAt: UInt64
    /// How many events just before this one were attempted and lost.
    package let lostBefore: UInt64
    /// Private memory, at most 160 bytes; valid during the call only.
    @unsafe package let payload: UnsafeRawBufferPointer
}

/// How far a lane has been read: what a checkpoint makes durable.
package struct LaneMark: Hashable, Sendable {
    package let generation: UInt64
    /// The number of the last event that is covered. With the generation it says what is durable: save both with the aggregate.
    package let attemptedAt: UInt64
    /// How many events are covered.
    package let delivered: UInt64
    /// The time of the last event that is covered.
    package let time: BootInstant
    let position: UInt64
}

/// A lane's account when it is closed: attempted = delivered + lost.
package struct LaneTotals: Hashable, Sendable {
    package let attempted: UInt64
    package let delivered: UInt64
    /// The event that a killed producer was about to write is among them.
    package let lost: UInt64
    /// Those of the lost that came after the last one delivered.
    package let lostAfterLast: UInt64
}
