import TermspanControl
import TermspanEvents

/// What the probe reads from replies, each parsed here within the bounds of its bytes.
///
/// Layouts are those of the X protocol and of the SYNC, XInput 2 and X-Resource extensions; a reply's data begin at byte 32.
enum XReplies {
    /// SYNC ListSystemCounters: calls `body` with each counter and its name.
    ///
    /// Parsed by hand since libxcb's `xcb_sync_systemcounter_name` points 2 bytes off: the name begins at +14.
    static func systemCounters(_ reply: XBytes, _ body: (_ counter: UInt32, _ name: XBytes) -> Void) {
        guard let total = reply.load(UInt32.self, at: 8) else { return }
        var offset = 32
        for _ in 0..<min(total, 1024) {
            guard let counter = reply.load(UInt32.self, at: offset), let length = reply.load(UInt16.self, at: offset + 12),
                let name = reply.slice(at: offset + 14, count: Int(length))
            else { return }
            body(counter, name)
            offset += (14 + Int(length) + 3) & ~3
        }
    }

    /// The counter of one device is named `DEVICEIDLETIME` and its number.
    static func deviceNumber(counterName name: XBytes) -> UInt16? {
        let prefix: StaticString = "DEVICEIDLETIME "
        guard name.hasPrefix(prefix),
            let number = name.slice(at: prefix.utf8CodeUnitCount, count: name.count - prefix.utf8CodeUnitCount)?.decimal
        else { return nil }
        return UInt16(exactly: number)
    }

    /// XIQueryDevice: calls `body` with each slave device and whether it is one of XTEST's.
    ///
    /// The server itself names those; a client can only choose the part before.
    static func slaveDevices(_ reply: XBytes, _ body: (_ device: UInt16, _ isSynthetic: Bool) -> Void) {
        guard let total = reply.load(UInt16.self, at: 8) else { return }
        var offset = 32
        for _ in 0..<min(total, 256) {
            guard let device = reply.load(UInt16.self, at: offset), let use = reply.load(UInt16.self, at: offset + 2),
                let classes = reply.load(UInt16.self, at: offset + 6), let length = reply.load(UInt16.self, at: offset + 8),
                let name = reply.slice(at: offset + 12, count: Int(length))
            else { return }
            // Masters (1 and 2) only sum up their slaves (3 and 4); a floating one (5) is nobody's.
            if use == 3 || use == 4 {
                body(device, name.hasSuffix(" XTEST pointer") || name.hasSuffix(" XTEST keyboard"))
            }
            offset += 12 + (Int(length) + 3) & ~3
            for _ in 0..<classes {
                guard let words = reply.load(UInt16.self, at: offset + 2), words > 0 else { return }
                offset += Int(words) * 4
            }
        }
    }

    /// GetProperty: the value where it has that format (8, 16 or 32 bits); nil when it is absent or of another.
    static func property(_ reply: XBytes, format: UInt8) -> XBytes? {
        guard reply.load(UInt8.self, at: 1) == format, let length = reply.load(UInt32.self, at: 16), length <= 1 << 20
        else { return nil }
        return reply.slice(at: 32, count: Int(length) * Int(format) / 8)
    }

    /// The first 32-bit item of a property.
    static func firstWord(_ reply: XBytes) -> UInt32? {
        property(reply, format: 32)?.load(UInt32.self, at: 0)
    }

    /// Whether a property of 32-bit items has this among its items.
    static func words(_ reply: XBytes, contain word: UInt32) -> Bool {
        guard let value = property(reply, format: 32) else { return false }
        for offset in stride(from: 0, to: value.count, by: 4) where value.load(UInt32.self, at: offset) == word { return true }
        return false
    }

    /// GetGeometry of the root window; nil for what no screen can be.
    static func screen(_ reply: XBytes) -> Screen? {
        guard let depth = reply.load(UInt8.self, at: 1), let width = reply.load(UInt16.self, at: 16),
            let height = reply.load(UInt16.self, at: 18)
        else { return nil }
        return Screen(width: width, height: height, depth: depth)
    }

    /// QueryTree: the first of the window's children, at most `limit`.
    static func children(_ reply: XBytes, limit: Int) -> [UInt32] {
        guard let total = reply.load(UInt16.self, at: 16) else { return [] }
        return (0..<min(Int(total), limit)).compactMap { reply.load(UInt32.self, at: 32 + 4 * $0) }
    }

    /// SYNC QueryCounter: the counter's value; idle counters are never negative.
    static func counterValue(_ reply: XBytes) -> Int64? {
        reply.loadSync64(at: 8).map { max($0, 0) }
    }

    /// The class in a WM_CLASS property: the second of two strings that each end with a zero byte; empty when it is malformed.
    static func windowClass(_ reply: XBytes) -> WindowClass? {
        guard let value = property(reply, format: 8), let first = value.firstIndex(of: 0),
            let rest = value.slice(at: first + 1, count: value.count - first - 1)
        else { return nil }
        guard let name = rest.slice(at: 0, count: rest.firstIndex(of: 0) ?? rest.count) else { return nil }
        return WindowClass(name.copy())
    }

    /// X-Resource QueryClientIds: the first pid that the reply names.
    static func localClientPID(_ reply: XBytes) -> UInt32? {
        guard let total = reply.load(UInt32.self, at: 8) else { return nil }
        var offset = 32
        for _ in 0..<min(total, 16) {
            guard let mask = reply.load(UInt32.self, at: offset + 4), let length = reply.load(UInt32.self, at: offset + 8),
                length <= 1 << 16
            else { return nil }
            if mask & 2 != 0, length >= 4, let pid = reply.load(UInt32.self, at: offset + 12) { return plausiblePID(pid) }
            offset += 12 + (Int(length) + 3) & ~3
        }
        return nil
    }

    /// Pids are positive and below the kernel's PID_MAX_LIMIT (2^22).
    static func plausiblePID(_ pid: UInt32) -> UInt32? {
        pid > 0 && pid <= 1 << 22 ? pid : nil
    }
}
