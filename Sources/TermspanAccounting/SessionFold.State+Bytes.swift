import TermspanCore
import TermspanEvents

// The saved form of a fold's state: version, then fixed little-endian fields, then the two classes.

extension SessionFold.State {
    /// The first had no `begun`.
    private static let version: UInt8 = 2

    /// The state as bytes, for a checkpoint; at most 400.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = [Self.version, phase.rawValue, reason.rawValue, burstOrigin.rawValue]
        bytes.reserveCapacity(400)
        bytes.append(burstOpen ? 1 : 0)
        bytes.append(previousBurstEnd == nil ? 0 : previousBurstIsPoint ? 2 : 1)
        for word in [
            since.nanoseconds, latest.nanoseconds, lost, serial, UInt64(switches), switchedAt.nanoseconds, credit,
            creditAt.nanoseconds, burstStart.nanoseconds, burstLast.nanoseconds, previousBurstEnd?.nanoseconds ?? 0, burstGap,
            begun.nanoseconds,
        ] {
            for shift in stride(from: 0 as UInt64, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
        }
        for focus in [focus, switchedTo] {
            for word in [focus.window, focus.process.pid] {
                for shift in stride(from: 0 as UInt32, to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
            }
            bytes.append(focus.process.origin.rawValue)
            bytes.append(UInt8(focus.windowClass.count))
            focus.windowClass.forEach { bytes.append($0) }
        }
        return bytes
    }

    /// Reads what `bytes` wrote; nil for anything else.
    package init?(bytes: some Collection<UInt8>) {
        var rest = Array(bytes)[...]
        func take() -> UInt8? { rest.popFirst() }
        func word(_ count: Int) -> UInt64? {
            guard rest.count >= count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        func takeFocus() -> Focus? {
            guard let window = word(4), let pid = word(4), let origin = take().flatMap(ProcessClaim.Origin.init(rawValue:)),
                let count = take().map(Int.init), count <= WindowClass.capacity, rest.count >= count
            else { return nil }
            defer { rest = rest.dropFirst(count) }
            return Focus(
                window: UInt32(truncatingIfNeeded: window),
                process: ProcessClaim(pid: UInt32(truncatingIfNeeded: pid), origin: origin),
                windowClass: WindowClass(rest.prefix(count)))
        }
        guard let version = take(), (1...Self.version).contains(version), let phase = take().flatMap(Phase.init(rawValue:)),
            let reason = take().flatMap(UnknownReason.init(rawValue:)), let origin = take().flatMap(InputOrigin.init(rawValue:)),
            let open = take(), open <= 1, let hasPrevious = take(), hasPrevious <= 2
        else { return nil }
        var words: [UInt64] = []
        for _ in 0..<(version == 1 ? 12 : 13) {
            guard let next = word(8) else { return nil }
            words.append(next)
        }
        guard let focus = takeFocus(), let switchedTo = takeFocus(), rest.isEmpty, let switches = UInt32(exactly: words[4]),
            hasPrevious > 0 || words[10] == 0
        else { return nil }
        self.init(burstGap: .zero)
        self.phase = phase
        self.reason = reason
        since = BootInstant(nanoseconds: words[0])
        latest = BootInstant(nanoseconds: words[1])
        lost = words[2]
        serial = words[3]
        self.switches = switches
        switchedAt = BootInstant(nanoseconds: words[5])
        credit = words[6]
        creditAt = BootInstant(nanoseconds: words[7])
        burstOpen = open == 1
        burstStart = BootInstant(nanoseconds: words[8])
        burstLast = BootInstant(nanoseconds: words[9])
        burstOrigin = origin
        previousBurstIsPoint = hasPrevious == 2
        previousBurstEnd = hasPrevious > 0 ? BootInstant(nanoseconds: words[10]) : nil
        burstGap = words[11]
        begun = version == 1 ? .zero : BootInstant(nanoseconds: words[12])
        self.focus = focus
        self.switchedTo = switchedTo
    }
}
