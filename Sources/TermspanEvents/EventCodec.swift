import TermspanCore

/// The form of events in a lane: a type and a payload of fixed little-endian fields.
///
/// | type | payload |
/// | --- | --- |
/// | 1 focus changed | focus |
/// | 2 input began, 3 input ended | effective u64, origin u8 |
/// | 5 snapshot | id u64, last input u64 (0: unknown), its origin u8, input open u8, 2 bytes 0, focus |
/// | 6 source gap | from u64 |
///
/// focus: pid u32, window u32, origin of the pid u8, length of the class u8, 2 bytes 0, then the class (at most 128 bytes).
/// 4 is kept for titles, which no source of this version sends.
package enum EventCodec {
    package enum EventType: UInt8, Sendable {
        case focusChanged = 1
        case inputBegan = 2
        case inputEnded = 3
        case snapshot = 5
        case sourceGap = 6
    }

    /// The longest payload in bytes: a snapshot with a class of 128 bytes.
    package static let maximumLength = 20 + 12 + WindowClass.capacity

    /// Writes the payload and says its type and how long it is.
    ///
    /// - Parameter buffer: at least `maximumLength` bytes.
    package static func encode(_ event: Event, into buffer: UnsafeMutableRawBufferPointer) -> (type: EventType, length: Int) {
        precondition(buffer.count >= maximumLength)
        switch event {
        case .focusChanged(let focus):
            return (.focusChanged, encode(focus, into: buffer, at: 0))
        case .inputBegan(let edge):
            return (.inputBegan, encode(edge, into: buffer))
        case .inputEnded(let edge):
            return (.inputEnded, encode(edge, into: buffer))
        case .snapshot(let snapshot):
            buffer.storeLittle(snapshot.id, at: 0)
            buffer.storeLittle(snapshot.lastInput?.effective.nanoseconds ?? 0, at: 8)
            buffer[16] = (snapshot.lastInput?.origin ?? .unknown).rawValue
            buffer[17] = snapshot.inputOpen ? 1 : 0
            buffer.storeLittle(UInt16(0), at: 18)
            return (.snapshot, encode(snapshot.focus, into: buffer, at: 20))
        case .sourceGap(let from):
            buffer.storeLittle(from.nanoseconds, at: 0)
            return (.sourceGap, 8)
        }
    }

    /// Reads a payload that anybody may have written; nil unless every field is of the form above.
    package static func decode(type: UInt8, payload: UnsafeRawBufferPointer) -> Event? {
        guard let type = EventType(rawValue: type) else { return nil }
        switch type {
        case .focusChanged:
            guard let focus = focus(payload, at: 0) else { return nil }
            return .focusChanged(focus)
        case .inputBegan:
            return edge(payload).map(Event.inputBegan)
        case .inputEnded:
            return edge(payload).map(Event.inputEnded)
        case .snapshot:
            guard payload.count >= 32, let origin = InputOrigin(rawValue: payload[16]), payload[17] <= 1,
                let focus = focus(payload, at: 20)
            else { return nil }
            let lastInput = payload.loadLittle(UInt64.self, at: 8)
            return .snapshot(
                Snapshot(
                    id: payload.loadLittle(UInt64.self, at: 0), focus: focus, inputOpen: payload[17] == 1,
                    lastInput: lastInput == 0
                        ? nil : InputEdge(effective: BootInstant(nanoseconds: lastInput), origin: origin)))
        case .sourceGap:
            guard payload.count == 8 else { return nil }
            return .sourceGap(from: BootInstant(nanoseconds: payload.loadLittle(UInt64.self, at: 0)))
        }
    }

    private static func encode(_ focus: Focus, into buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> Int {
        buffer.storeLittle(focus.process.pid, at: offset)
        buffer.storeLittle(focus.window, at: offset + 4)
        buffer[offset + 8] = focus.process.origin.rawValue
        buffer[offset + 9] = UInt8(focus.windowClass.count)
        buffer.storeLittle(UInt16(0), at: offset + 10)
        for index in 0..<focus.windowClass.count { buffer[offset + 12 + index] = focus.windowClass[index] }
        return offset + 12 + focus.windowClass.count
    }

    /// Inlined: a focus is long, and what is handed over is copied.
    @inline(__always)
    private static func focus(_ payload: UnsafeRawBufferPointer, at offset: Int) -> Focus? {
        guard payload.count >= offset + 12, let origin = ProcessClaim.Origin(rawValue: payload[offset + 8]),
            Int(payload[offset + 9]) <= WindowClass.capacity, payload.count == offset + 12 + Int(payload[offset + 9])
        else { return nil }
        return Focus(
            window: payload.loadLittle(UInt32.self, at: offset + 4),
            process: ProcessClaim(pid: payload.loadLittle(UInt32.self, at: offset), origin: origin),
            windowClass: WindowClass(UnsafeRawBufferPointer(rebasing: payload[(offset + 12)...])))
    }

    private static func encode(_ edge: InputEdge, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        buffer.storeLittle(edge.effective.nanoseconds, at: 0)
        buffer[8] = edge.origin.rawValue
        return 9
    }

    private static func edge(_ payload: UnsafeRawBufferPointer) -> InputEdge? {
        guard payload.count == 9, let origin = InputOrigin(rawValue: payload[8]) else { return nil }
        return InputEdge(effective: BootInstant(nanoseconds: payload.loadLittle(UInt64.self, at: 0)), origin: origin)
    }
}

extension UnsafeMutableRawBufferPointer {
    fileprivate func storeLittle<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func loadLittle<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at offset: Int) -> T {
        T(littleEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
    }
}
