import TermspanAccounting
import TermspanCore
import TermspanEvents

/// A fold and what it promises of its output, whatever a source sends (Docs/accounting.md).
struct CheckedFold {
    private(set) var fold: SessionFold
    /// Where the next focus or unknown interval begins.
    private var position: BootInstant?
    private var lastBurst: InputBurst?
    private var focusIntervals: UInt64 = 0
    /// How often it became known what has the focus: the bucket of focus changes does not bound that.
    private var openings: UInt64 = 0
    private var began: BootInstant

    init(burstGap: Duration = .seconds(30), at moment: BootInstant) {
        fold = SessionFold(burstGap: burstGap)
        began = moment
        fold.begin(at: moment)
        position = moment
    }

    mutating func apply(_ event: Event, at moment: BootInstant) {
        change { fold, emit in fold.apply(event, at: moment, emit: emit) }
    }

    mutating func lost(_ count: UInt64, before moment: BootInstant) {
        change { fold, emit in fold.lost(count, before: moment, emit: emit) }
    }

    mutating func sourceEnded(at moment: BootInstant) {
        change { fold, emit in fold.sourceEnded(at: moment, emit: emit) }
    }

    /// Ends it, and looks whether nothing of its time is missing.
    mutating func end(at moment: BootInstant) {
        require(SessionFold.State(bytes: fold.state.bytes) == fold.state, "a state comes back as it was saved")
        change { fold, emit in fold.end(at: moment, emit: emit) }
        require(position == fold.state.latest, "the intervals cover the session up to its end")
    }

    private mutating func change(_ body: (inout SessionFold, (FoldOutput) -> Void) -> Void) {
        var outputs: [FoldOutput] = []
        let before = fold.state
        body(&fold) { outputs.append($0) }
        require(fold.state.latest >= before.latest, "time does not run backwards")
        if before.phase != .known, fold.state.phase == .known { openings += 1 }
        require(outputs.count <= 8, "one event closes no more than a few intervals")
        for output in outputs { check(output) }
        let open = fold.open(at: fold.state.latest)
        require(open.focus == nil || open.unknown == nil, "a moment is known or unknown")
        if let burst = open.burst { require(burst.start <= burst.end, "an open burst does not end before it begins") }
    }

    private mutating func check(_ output: FoldOutput) {
        switch output {
        case .focus(let interval):
            follow(interval.start, interval.end)
            focusIntervals += 1
            let refilled = began.duration(to: fold.state.latest).wholeNanoseconds / 50_000_000
            require(
                focusIntervals <= 201 + openings + UInt64(max(0, refilled)),
                "focus changes make no more intervals than 200 at once and 20 a second")
        case .unknown(let interval):
            follow(interval.start, interval.end)
        case .burst(let burst):
            require(burst.start <= burst.end && burst.end <= fold.state.latest, "a burst lies in the past")
            if let lastBurst {
                require(burst.start >= lastBurst.end && burst.start > lastBurst.start, "bursts follow each other")
            }
            lastBurst = burst
        }
    }

    private mutating func follow(_ start: BootInstant, _ end: BootInstant) {
        require(start == position && start < end && end <= fold.state.latest, "intervals follow each other without a gap")
        position = end
    }
}

extension FuzzInput {
    /// A moment near `now`, or anywhere.
    mutating func moment(around now: UInt64) -> BootInstant {
        switch byte() & 7 {
        case 0: BootInstant(nanoseconds: integer())
        case 1: BootInstant(nanoseconds: now &- UInt64(integer(UInt32.self)))
        case 2: BootInstant(nanoseconds: now &+ UInt64(integer(UInt32.self)))
        default: BootInstant(nanoseconds: now)
        }
    }

    /// A moment at which something was observed: the ring's reader bounds those by the clock, which no machine brings to its end.
    mutating func observation(around now: UInt64) -> BootInstant { min(moment(around: now), BootInstant(nanoseconds: .max / 2)) }

    mutating func event(around now: UInt64) -> Event {
        func origin(_ value: UInt8) -> InputOrigin { InputOrigin(rawValue: value % 3) ?? .unknown }
        func focus(_ input: inout FuzzInput) -> Focus {
            let window = UInt32(input.byte() & 7)
            return window == 0
                ? .none
                : Focus(window: window, process: ProcessClaim(pid: window, origin: .server), windowClass: WindowClass([UInt8(window)]))
        }
        let kind = byte() % 5
        switch kind {
        case 0: return .focusChanged(focus(&self))
        case 1: return .inputBegan(InputEdge(effective: moment(around: now), origin: origin(byte())))
        case 2: return .inputEnded(InputEdge(effective: moment(around: now), origin: origin(byte())))
        case 3:
            let flags = byte()
            let last = flags & 2 == 0 ? nil : InputEdge(effective: moment(around: now), origin: origin(flags >> 2))
            return .snapshot(Snapshot(id: 0, focus: focus(&self), inputOpen: flags & 1 == 1, lastInput: last))
        default: return .sourceGap(from: moment(around: now))
        }
    }
}

extension FuzzTarget {
    /// Bytes for a run of the fold: snapshot, input, focus, end.
    private static let story: [UInt8] = [3, 7, 5, 1, 0, 1, 0, 5, 2, 9, 0, 5, 2, 0, 5, 4, 5, 3, 7, 1, 5, 2]

    /// A snapshot, then 250 changes of the focus between two windows.
    private static let flapping: [UInt8] = [120, 11, 3, 0, 1] + (0..<250).flatMap { [8, 9, 0, UInt8(2 + $0 % 2)] }

    static var fold: FuzzTarget {
        FuzzTarget(
            name: "fuzz-fold", about: "events in any order and at any time: the intervals stay whole and bounded", longest: 4096,
            seeds: [story, Array(repeating: story, count: 30).flatMap { $0 }, flapping]
        ) { bytes in
            var input = FuzzInput(bytes)
            var now: UInt64 = 10_000_000_000
            var fold = CheckedFold(burstGap: .milliseconds(Int(input.byte()) * 250), at: BootInstant(nanoseconds: now))
            while !input.isEmpty {
                let step = input.byte()
                switch step & 3 {
                case 0: now &+= UInt64(input.byte())
                case 1: now &+= UInt64(input.byte()) * 10_000_000
                default: break
                }
                switch step >> 2 & 15 {
                case 0: fold.lost(step & 3 == 3 ? input.integer() : 1, before: input.observation(around: now))
                case 1: fold.sourceEnded(at: input.observation(around: now))
                // Most of the time events come as a lane gives them: not before the last and not after now.
                default: fold.apply(input.event(around: now), at: BootInstant(nanoseconds: now))
                }
            }
            fold.end(at: BootInstant(nanoseconds: now))
        }
    }

    static var checkpoint: FuzzTarget {
        var saved = SessionFold()
        saved.begin(at: BootInstant(nanoseconds: 1))
        saved.apply(Event.examples[4], at: BootInstant(nanoseconds: 6_000_000_000)) { _ in }
        return FuzzTarget(
            name: "fuzz-checkpoint", about: "a fold's saved state: damaged bytes are refused, or a fold that goes on without a trap",
            longest: 600, seeds: [saved.state.bytes, SessionFold().state.bytes]
        ) { bytes in
            guard let state = SessionFold.State(bytes: bytes) else { return }
            // One of the first version is saved in today's form, and is the same.
            let isSame = bytes.first == 1 ? SessionFold.State(bytes: state.bytes) == state : state.bytes.elementsEqual(bytes)
            require(isSame, "a state is saved as it was read")
            var fold = SessionFold(state)
            var input = FuzzInput(bytes)
            let now = state.latest.nanoseconds
            for _ in 0..<4 {
                fold.apply(input.event(around: now), at: input.moment(around: now)) { _ in }
                fold.lost(input.integer(), before: input.moment(around: now)) { _ in }
            }
            _ = fold.open(at: BootInstant(nanoseconds: now))
            fold.end(at: BootInstant(nanoseconds: now)) { output in
                if case .burst(let burst) = output { require(burst.start <= burst.end, "a burst does not end before it begins") }
            }
        }
    }
}
