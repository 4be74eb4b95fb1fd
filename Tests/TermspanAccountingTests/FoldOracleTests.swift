import SeededRandom
import TermspanCore
import TermspanEvents
import Testing

@testable import TermspanAccounting

/// What the fold hands out against the rules of `Docs/accounting.md`, 'Folding', painted tick by tick; one tick is one second.
@Suite struct FoldOracleTests {
    /// What a fold is told.
    enum Input {
        case begin, end
        case snapshot(focus: UInt32, isOpen: Bool, last: Int?)
        case focus(UInt32)
        case began(Int), ended(Int)
        case gap(from: Int)
        case lost, sourceEnded(UnknownReason)
    }

    static let burstGap = 6

    /// The rules, by painting: what is told at a moment holds from then on until something else is.
    struct Naive {
        /// What a tick is of: the number of an interval, nil where it is not measured.
        var line: [Int?]
        /// Of each interval which window, or why it is not known.
        var intervals: [(window: UInt32?, reason: UnknownReason?)] = []
        var bursts: [(Int, Int)] = []
        var openBurst: (start: Int, last: Int)?
        var latest = 0
        var begun = 0

        init(_ ticks: Int) { line = Array(repeating: nil, count: ticks + 1) }

        var now: (window: UInt32?, reason: UnknownReason?)? { line.last?.map { intervals[$0] } ?? nil }

        mutating func paint(from tick: Int, _ window: UInt32?, _ reason: UnknownReason?) {
            intervals.append((window, reason))
            for tick in tick..<line.count { line[tick] = intervals.count - 1 }
        }

        mutating func forget(from tick: Int, _ reason: UnknownReason) {
            guard let now, now.reason != reason else { return }
            let open = line.firstIndex { $0 == intervals.count - 1 } ?? tick
            let since = min(max(tick, open), latest)
            endBurst(since)
            paint(from: since, nil, reason)
        }

        mutating func began(_ effective: Int) {
            let start = min(max(effective, latest - burstGap, begun, bursts.last?.1 ?? 0), latest)
            openBurst = openBurst.map { ($0.start, max($0.last, start)) } ?? (start, start)
        }

        mutating func endBurst(_ effective: Int) {
            guard let open = openBurst else { return }
            bursts.append((open.start, max(min(effective, latest), open.last)))
            openBurst = nil
        }

        mutating func take(_ input: Input, _ tick: Int) {
            let before = latest
            switch input {
            case .lost, .sourceEnded: break
            default: latest = max(latest, tick)
            }
            switch input {
            case .begin:
                begun = latest
                paint(from: latest, nil, .starting)
            case .end:
                endBurst(latest)
                for tick in latest..<line.count { line[tick] = nil }
            case .focus(let window):
                if let now, now.reason == nil, now.window != window { paint(from: latest, window, nil) }
            case .began(let effective):
                if now?.reason == nil { began(effective) }
            case .ended(let effective):
                if now?.reason == nil { endBurst(effective) }
            case .gap(let from):
                if now?.reason == nil { forget(from: from, .sourceGap) }
            case .lost:
                forget(from: before, .eventsLost)
                latest = max(latest, tick)
            case .sourceEnded(let reason):
                forget(from: before, reason)
                latest = max(latest, tick)
            case .snapshot(let window, let isOpen, let last):
                if now?.reason != nil || now?.window != window { paint(from: latest, window, nil) }
                if isOpen {
                    if openBurst == nil || last != nil { began(last ?? latest) }
                } else if openBurst != nil {
                    endBurst(last ?? openBurst?.last ?? latest)
                } else if let last, last <= latest, bursts.last.map({ last > $0.1 + 1 }) ?? true, last >= begun {
                    bursts.append((last, last))
                }
            }
        }

        private var burstGap: Int { FoldOracleTests.burstGap }
    }

    /// Somebody at a desktop: changes windows, types in bursts; a source that is restarted, loses events and tells some twice.
    static func inputs(_ ticks: Int, _ random: inout SeededRandom) -> [(Input, Int)] {
        var inputs: [(Input, Int)] = [(.begin, Int.random(in: 0...3, using: &random))]
        var tick = inputs[0].1
        var (window, lastInput): (UInt32, Int?) = (1, nil)
        var (isTyping, isKnown) = (false, false)
        while tick < ticks - 5 {
            tick += [0, 1, 1, 2, 3, 7].randomElement(using: &random) ?? 1
            let late = max(0, tick - Int.random(in: 0...9, using: &random))
            var input: Input
            switch Int.random(in: 0..<14, using: &random) {
            case 0..<4:
                window = UInt32.random(in: 1...4, using: &random)
                input = .focus(window)
            case 4..<7:
                (isTyping, lastInput) = (true, late)
                input = .began(late)
            case 7..<10:
                (isTyping, lastInput) = (false, late)
                input = .ended(late)
            case 10: input = .gap(from: late)
            case 11: input = .lost
            case 12: input = .sourceEnded([.sourceEnded, .collectorDown, .laneQuarantined].randomElement(using: &random) ?? .limited)
            default: input = .snapshot(focus: window, isOpen: isTyping, last: Bool.random(using: &random) ? lastInput : nil)
            }
            switch input {
            case .gap, .lost, .sourceEnded: isKnown = false
            case .snapshot: isKnown = true
            // Whoever lost something is soon told all of it.
            default:
                if !isKnown, Int.random(in: 0..<3, using: &random) == 0 {
                    input = .snapshot(focus: window, isOpen: isTyping, last: lastInput)
                    isKnown = true
                }
            }
            inputs.append((input, tick))
            // A loss of nothing more adds to one that is open; all else told again has no effect.
            if Int.random(in: 0..<6, using: &random) == 0 { inputs.append((input, tick)) }
        }
        inputs.append((.end, tick + 2))
        return inputs
    }

    static func at(_ tick: Int) -> BootInstant { BootInstant(nanoseconds: UInt64(tick) * 1_000_000_000) }
    static func tick(_ moment: BootInstant) -> Int { Int(moment.nanoseconds / 1_000_000_000) }
    static func focus(_ window: UInt32) -> Focus { Focus(window: window, process: .none, windowClass: WindowClass()) }

    static func give(_ input: Input, _ tick: Int, to fold: inout SessionFold, _ emit: (FoldOutput) -> Void) {
        func edge(_ tick: Int) -> InputEdge { InputEdge(effective: at(tick), origin: .device) }
        let now = at(tick)
        switch input {
        case .begin: fold.begin(at: now)
        case .end: fold.end(at: now, emit: emit)
        case .focus(let window): fold.apply(.focusChanged(focus(window)), at: now, emit: emit)
        case .began(let effective): fold.apply(.inputBegan(edge(effective)), at: now, emit: emit)
        case .ended(let effective): fold.apply(.inputEnded(edge(effective)), at: now, emit: emit)
        case .gap(let from): fold.apply(.sourceGap(from: at(from)), at: now, emit: emit)
        case .lost: fold.lost(3, before: now, emit: emit)
        case .sourceEnded(let reason): fold.sourceEnded(at: now, reason: reason, emit: emit)
        case .snapshot(let window, let isOpen, let last):
            let snapshot = Snapshot(id: 1, focus: focus(window), inputOpen: isOpen, lastInput: last.map(edge))
            fold.apply(.snapshot(snapshot), at: now, emit: emit)
        }
    }

    /// A collector is killed again and again, and goes on from what it saved last: what came after that is delivered once more, and a row that
    /// is stored already must be the same.
    @Test(arguments: 0..<6) func whatAFoldHandsOutIsThatOfEveryTick(block: Int) throws {
        let ticks = 160
        for round in 0..<60 {
            let seed = UInt64(2000 + 1000 * block + round)
            var random = SeededRandom(seed: seed)
            let inputs = Self.inputs(ticks, &random)
            var naive = Naive(ticks + 20)
            for (input, tick) in inputs { naive.take(input, tick) }

            var rows: [String: FoldOutput] = [:]
            func store(_ output: FoldOutput) {
                let key: String
                switch output {
                case .focus(let interval): key = "focus \(interval.start)"
                case .burst(let burst): key = "burst \(burst.start)"
                case .unknown(let interval): key = "unknown \(interval.start)"
                }
                #expect(rows[key] == nil || rows[key] == output, "seed \(seed): a row is another after a restart")
                rows[key] = output
            }
            var fold = SessionFold(burstGap: .seconds(Self.burstGap))
            var saved = (bytes: fold.state.bytes, position: 0)
            var position = 0
            var deaths = 0
            while position < inputs.count {
                Self.give(inputs[position].0, inputs[position].1, to: &fold, store)
                position += 1
                if Int.random(in: 0..<5, using: &random) == 0 { saved = (fold.state.bytes, position) }
                if deaths < 4, Int.random(in: 0..<20, using: &random) == 0 {
                    deaths += 1
                    fold = SessionFold(try #require(SessionFold.State(bytes: saved.bytes)))
                    position = saved.position
                }
            }
            var line: [(window: UInt32?, reason: UnknownReason?)?] = Array(repeating: nil, count: naive.line.count)
            var bursts: [(Int, Int)] = []
            for output in rows.values {
                switch output {
                case .focus(let interval):
                    for tick in Self.tick(interval.start)..<Self.tick(interval.end) { line[tick] = (interval.focus.window, nil) }
                case .unknown(let interval):
                    for tick in Self.tick(interval.start)..<Self.tick(interval.end) { line[tick] = (nil, interval.reason) }
                case .burst(let burst): bursts.append((Self.tick(burst.start), Self.tick(burst.end)))
                }
            }
            for (tick, number) in naive.line.enumerated() {
                let (rule, said) = (number.map { naive.intervals[$0] }, line[tick])
                #expect(rule?.window == said?.window && rule?.reason == said?.reason, "seed \(seed) tick \(tick)")
            }
            bursts.sort { $0 < $1 }
            let ruled = naive.bursts.sorted { $0 < $1 }
            #expect(bursts.elementsEqual(ruled, by: ==), "seed \(seed): \(bursts) in place of \(ruled)")
        }
    }
}
