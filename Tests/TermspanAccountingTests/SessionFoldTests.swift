import SeededRandom
import TermspanCore
import TermspanEvents
import Testing

@testable import TermspanAccounting

@Suite struct SessionFoldTests {
    static func at(_ seconds: Double) -> BootInstant { BootInstant(nanoseconds: UInt64(seconds * 1e9)) }

    static func focus(_ window: UInt32) -> Focus {
        Focus(window: window, process: ProcessClaim(pid: window, origin: .server), windowClass: WindowClass("w\(window)".utf8))
    }

    static func snapshot(_ window: UInt32) -> Event {
        .snapshot(Snapshot(id: 1, focus: focus(window), inputOpen: false, lastInput: nil))
    }

    enum Input {
        case event(Event, BootInstant)
        case lost(UInt64, BootInstant)
        case sourceEnded(BootInstant, UnknownReason)
        case end(BootInstant)
        case begin(BootInstant)

        func apply(to fold: inout SessionFold, _ emit: (FoldOutput) -> Void) {
            switch self {
            case .event(let event, let at): fold.apply(event, at: at, emit: emit)
            case .lost(let count, let at): fold.lost(count, before: at, emit: emit)
            case .sourceEnded(let at, let reason): fold.sourceEnded(at: at, reason: reason, emit: emit)
            case .end(let at): fold.end(at: at, emit: emit)
            case .begin(let at): fold.begin(at: at)
            }
        }

        /// Anything that a source that was taken over could send, at any moment.
        static func hostile(_ random: inout SeededRandom, around now: UInt64) -> Input {
            func moment() -> BootInstant {
                switch Int.random(in: 0..<8, using: &random) {
                case 0: BootInstant(nanoseconds: random.next())
                case 1: .zero
                default: BootInstant(nanoseconds: now &- 20 &+ UInt64.random(in: 0..<60, using: &random))
                }
            }
            func edge() -> InputEdge {
                InputEdge(effective: moment(), origin: [.device, .synthetic, .unknown].randomElement(using: &random)!)
            }
            let focus = SessionFoldTests.focus(UInt32.random(in: 0..<4, using: &random))
            // Observation times come clamped from the ring, but not always rising here.
            let at = BootInstant(nanoseconds: now &- UInt64.random(in: 0..<3, using: &random))
            switch Int.random(in: 0..<16, using: &random) {
            case 0..<5: return .event(.focusChanged(focus), at)
            case 5..<7: return .event(.inputBegan(edge()), at)
            case 7..<9: return .event(.inputEnded(edge()), at)
            case 9..<12:
                let snapshot = Snapshot(
                    id: 1, focus: focus, inputOpen: Bool.random(using: &random), lastInput: Bool.random(using: &random) ? edge() : nil)
                return .event(.snapshot(snapshot), at)
            case 12: return .event(.sourceGap(from: moment()), at)
            case 13: return .lost(UInt64.random(in: 0..<3, using: &random), at)
            case 14: return .sourceEnded(at, UnknownReason.allCases.randomElement(using: &random)!)
            default: return .event(.focusChanged(focus), at)
            }
        }
    }

    /// Whatever comes: from begin to end, focus and unknown intervals follow each other without hole or overlap, bursts
    /// come in order and none lies in the future.
    @Test(arguments: 0..<20) func hostileInputKeepsTheStreamsWhole(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        for _ in 0..<200 {
            var fold = SessionFold(burstGap: .nanoseconds(30))
            var now: UInt64 = 1000
            var outputs: [FoldOutput] = []
            var latest = BootInstant(nanoseconds: now)
            let emit: (FoldOutput) -> Void = { outputs.append($0) }
            fold.begin(at: latest)
            for _ in 0..<60 {
                now += UInt64.random(in: 0..<20, using: &random)
                let input = Input.hostile(&random, around: now)
                let before = outputs.count
                input.apply(to: &fold, emit)
                latest = max(latest, fold.state.latest)
                for output in outputs[before...] {
                    if case .burst(let burst) = output { #expect(burst.end <= BootInstant(nanoseconds: now) && burst.start <= burst.end) }
                }
                // What is open goes on from what was handed out.
                let open = fold.open(at: BootInstant(nanoseconds: now + 5))
                #expect((open.focus == nil) != (open.unknown == nil))
                if Bool.random(using: &random) {
                    let state = SessionFold.State(bytes: fold.state.bytes)
                    #expect(state == fold.state)
                    if let state { fold = SessionFold(state) }
                }
            }
            fold.end(at: BootInstant(nanoseconds: now + 7), emit: emit)
            var position = BootInstant(nanoseconds: 1000)
            var burstEnd = BootInstant.zero
            var burstStart: BootInstant?
            var serial: UInt64 = 0
            for output in outputs {
                switch output {
                case .focus(let interval):
                    #expect(interval.start == position && interval.end > interval.start && interval.serial > serial)
                    position = interval.end
                    serial = interval.serial
                case .unknown(let interval):
                    #expect(interval.start == position && interval.end > interval.start)
                    position = interval.end
                case .burst(let burst):
                    #expect(burst.start >= burstEnd && burstStart.map { burst.start > $0 } ?? true)
                    burstStart = burst.start
                    burstEnd = burst.end
                }
            }
            #expect(position == BootInstant(nanoseconds: now + 7))
        }
    }

    /// An honest source without losses: what comes out is exactly what happened.
    @Test(arguments: 0..<10) func honestInputComesOutAsItWas(seed: Int) {
        var random = SeededRandom(seed: 77 + UInt64(seed))
        let gap = 10
        let length = 600
        var windows: [UInt32] = []
        var input: [Bool] = []
        var window: UInt32 = 1
        var busy = false
        for _ in 0..<length {
            if Int.random(in: 0..<9, using: &random) == 0 { window = UInt32.random(in: 0..<4, using: &random) }
            if Int.random(in: 0..<25, using: &random) == 0 { busy.toggle() }
            windows.append(window)
            input.append(busy && Int.random(in: 0..<3, using: &random) == 0)
        }
        var fold = SessionFold(burstGap: .seconds(gap))
        var outputs: [FoldOutput] = []
        let emit: (FoldOutput) -> Void = { outputs.append($0) }
        fold.begin(at: .zero)
        fold.apply(.snapshot(Snapshot(id: 0, focus: Self.focus(windows[0]), inputOpen: false, lastInput: nil)), at: .zero, emit: emit)
        var last: Int?
        for tick in 0..<length {
            if tick > 0, windows[tick] != windows[tick - 1] {
                fold.apply(.focusChanged(Self.focus(windows[tick])), at: Self.at(Double(tick)), emit: emit)
            }
            if let ended = last, tick - ended == gap {
                fold.apply(
                    .inputEnded(InputEdge(effective: Self.at(Double(ended)), origin: .device)), at: Self.at(Double(tick)), emit: emit)
                last = nil
            }
            if input[tick] {
                if last == nil {
                    fold.apply(
                        .inputBegan(InputEdge(effective: Self.at(Double(tick)), origin: .device)), at: Self.at(Double(tick)), emit: emit)
                }
                last = tick
            }
        }
        fold.end(at: Self.at(Double(length)), emit: emit)
        // The truth, said in another way.
        var bursts: [(Int, Int)] = []
        for tick in 0..<length where input[tick] {
            if let previous = bursts.last, tick - previous.1 < gap {
                bursts[bursts.count - 1].1 = tick
            } else {
                bursts.append((tick, tick))
            }
        }
        if last != nil, !bursts.isEmpty { bursts[bursts.count - 1].1 = length }
        let seenBursts = outputs.compactMap { output in if case .burst(let burst) = output { burst } else { nil } }
        #expect(seenBursts == bursts.map { InputBurst(start: Self.at(Double($0.0)), end: Self.at(Double($0.1)), origin: .device) })
        for tick in 0..<length {
            let seen = outputs.compactMap { output -> UInt32? in
                guard case .focus(let interval) = output, interval.start <= Self.at(Double(tick)), Self.at(Double(tick)) < interval.end
                else { return nil }
                return interval.focus.window
            }
            #expect(seen == [windows[tick]])
        }
    }

    /// At the end of all moments the tolerance behind the last burst must not begin again at the first.
    @Test func noBurstBeforeTheLastOne() {
        var fold = SessionFold()
        var bursts: [InputBurst] = []
        fold.begin(at: BootInstant(nanoseconds: .max - 5))
        for last in [.max - 5, 5_000_000_000] as [UInt64] {
            let edge = InputEdge(effective: BootInstant(nanoseconds: last), origin: .device)
            let snapshot = Snapshot(id: 0, focus: Self.focus(1), inputOpen: false, lastInput: edge)
            fold.apply(.snapshot(snapshot), at: BootInstant(nanoseconds: .max - 5)) { output in
                if case .burst(let burst) = output { bursts.append(burst) }
            }
        }
        #expect(bursts.map(\.start) == [BootInstant(nanoseconds: .max - 5)])
    }

    @Test func rapidSwitchingIsOneInterval() {
        var fold = SessionFold()
        var outputs: [FoldOutput] = []
        let emit: (FoldOutput) -> Void = { outputs.append($0) }
        fold.begin(at: Self.at(1))
        fold.apply(Self.snapshot(1), at: Self.at(1), emit: emit)
        // 1,000 changes a second for 10 seconds, then calm.
        for step in 1...10_000 {
            fold.apply(
                .focusChanged(Self.focus(UInt32(2 + step % 2))), at: BootInstant(nanoseconds: 1_000_000_000 + UInt64(step) * 1_000_000),
                emit: emit)
        }
        let open = fold.open(at: Self.at(11.5))
        #expect(open.focus?.focus == Focus.none && (open.focus?.switches ?? 0) > 9000)
        #expect(fold.openSerial == nil)
        let calm = fold.open(at: Self.at(20))
        #expect(calm.focus?.start == Self.at(11) && calm.focus?.focus == Self.focus(2))
        fold.end(at: Self.at(20), emit: emit)
        #expect(outputs.count < 210)
        var switches: UInt64 = 0
        var position = Self.at(1)
        for case .focus(let interval) in outputs {
            #expect(interval.start == position)
            position = interval.end
            switches += interval.switches == 0 ? 1 : UInt64(interval.switches)
        }
        #expect(position == Self.at(20))
        #expect(switches == 10_001 || switches == 10_002)
    }

    /// A source that says again and again that it missed something has no more intervals for that than it is looked at anew.
    @Test func gapsMakeNoRoomForRapidSwitching() {
        var fold = SessionFold()
        var outputs: [FoldOutput] = []
        let emit: (FoldOutput) -> Void = { outputs.append($0) }
        let begin = Self.at(1)
        fold.begin(at: begin)
        var now = begin.nanoseconds
        func next() -> BootInstant {
            now += 1000
            return BootInstant(nanoseconds: now)
        }
        let rounds = 1000
        for _ in 0..<rounds {
            fold.apply(Self.snapshot(1), at: next(), emit: emit)
            for window in 2...4 { fold.apply(.focusChanged(Self.focus(UInt32(window))), at: next(), emit: emit) }
            fold.apply(.sourceGap(from: next()), at: next(), emit: emit)
        }
        let intervals = outputs.count { if case .focus = $0 { true } else { false } }
        #expect(intervals >= rounds && intervals <= 201 + rounds)
        // What has the focus in the end is known from then on, once it is calm.
        fold.apply(Self.snapshot(7), at: next(), emit: emit)
        #expect(
            fold.open(at: BootInstant(nanoseconds: now + 2_000_000_000)).focus
                == FocusInterval(
                    start: BootInstant(nanoseconds: now), end: BootInstant(nanoseconds: now + 2_000_000_000), focus: Self.focus(7),
                    serial: fold.state.serial + 1, switches: 0))
    }

    @Test func switchingWithinTheLimitIsStoredAsItIs() {
        var fold = SessionFold()
        var count = 0
        fold.begin(at: .zero)
        for step in 0..<5000 {
            let at = BootInstant(nanoseconds: UInt64(step) * 50_000_000)
            if step == 0 {
                fold.apply(Self.snapshot(1), at: at) { _ in }
            } else {
                fold.apply(.focusChanged(Self.focus(UInt32(2 + step % 2))), at: at) { _ in count += 1 }
            }
        }
        #expect(count == 4999)
    }

    @Test func savedStatesComeBackAndNothingElseDoes() {
        var fold = SessionFold()
        fold.begin(at: Self.at(1))
        fold.apply(Self.snapshot(9), at: Self.at(2)) { _ in }
        fold.apply(.inputBegan(InputEdge(effective: Self.at(2.5), origin: .device)), at: Self.at(3)) { _ in }
        let bytes = fold.state.bytes
        #expect(bytes.count <= 400)
        #expect(SessionFold.State(bytes: bytes) == fold.state)
        for count in 0..<bytes.count { #expect(SessionFold.State(bytes: bytes.prefix(count)) == nil) }
        #expect(SessionFold.State(bytes: bytes + [0]) == nil)
        // The moment of a last burst that there was not.
        var contradicting = bytes
        contradicting[6 + 10 * 8] = 1
        #expect(SessionFold.State(bytes: contradicting) == nil)
        // Damage may give another state, which must not trap.
        var random = SeededRandom(seed: 5)
        for _ in 0..<5000 {
            var damaged = bytes
            for _ in 0..<3 { damaged[Int.random(in: 0..<damaged.count, using: &random)] = UInt8.random(in: 0...255, using: &random) }
            guard let state = SessionFold.State(bytes: damaged) else { continue }
            var fold = SessionFold(state)
            for _ in 0..<5 { Input.hostile(&random, around: 4_000_000_000).apply(to: &fold) { _ in } }
            fold.end(at: Self.at(9)) { output in
                if case .burst(let burst) = output { #expect(burst.start <= burst.end) }
            }
        }
    }
}
