import TermspanCore

extension ControlMessage {
    private enum MessageType: UInt8 {
        case start = 1
        case snapshot = 2
        case level = 3
        case stop = 4
        case ready = 65
        case failed = 66
        case screen = 67
    }

    /// The length in bytes of a `start`, the longest message of this version.
    private static let startLength = 8 + Start.cookieLength

    /// How many descriptors belong to the message.
    package var descriptorCount: Int {
        if case .start = self { Start.descriptorCount } else { 0 }
    }

    /// The message as one datagram.
    package func encode() -> [UInt8] {
        switch self {
        case .start(let start):
            var bytes = [MessageType.start.rawValue, start.level.rawValue]
            bytes.reserveCapacity(Self.startLength)
            bytes.appendLittle(start.display)
            bytes.appendLittle(start.burstGapMilliseconds)
            bytes.append(contentsOf: start.cookie)
            return bytes
        case .snapshot(let id):
            var bytes = [MessageType.snapshot.rawValue]
            bytes.appendLittle(id)
            return bytes
        case .level(let level):
            return [MessageType.level.rawValue, level.rawValue]
        case .stop:
            return [MessageType.stop.rawValue]
        case .ready(let features):
            var bytes = [MessageType.ready.rawValue]
            bytes.appendLittle(features.rawValue)
            return bytes
        case .failed(let reason):
            return [MessageType.failed.rawValue, reason.rawValue]
        case .screen(let screen):
            var bytes = [MessageType.screen.rawValue]
            bytes.appendLittle(screen.width)
            bytes.appendLittle(screen.height)
            bytes.append(screen.depth)
            return bytes
        }
    }

    /// Reads a datagram that anybody may have written; nil unless it is exactly of the form that the table gives.
    package static func decode(_ bytes: UnsafeRawBufferPointer) -> ControlMessage? {
        guard let first = bytes.first, let type = MessageType(rawValue: first) else { return nil }
        switch type {
        case .start:
            guard bytes.count == startLength, let level = PrivacyLevel(rawValue: bytes[1]) else { return nil }
            return .start(
                Start(
                    level: level, display: bytes.loadLittle(UInt16.self, at: 2),
                    burstGapMilliseconds: bytes.loadLittle(UInt32.self, at: 4), cookie: Array(bytes[8..<startLength])))
        case .snapshot:
            guard bytes.count == 9 else { return nil }
            return .snapshot(id: bytes.loadLittle(UInt64.self, at: 1))
        case .level:
            guard bytes.count == 2, let level = PrivacyLevel(rawValue: bytes[1]) else { return nil }
            return .level(level)
        case .stop:
            return bytes.count == 1 ? .stop : nil
        case .ready:
            guard bytes.count == 5 else { return nil }
            return .ready(ProbeFeatures(rawValue: bytes.loadLittle(UInt32.self, at: 1)))
        case .failed:
            guard bytes.count == 2, let reason = ProbeFailure(rawValue: bytes[1]) else { return nil }
            return .failed(reason)
        case .screen:
            guard bytes.count == 6 else { return nil }
            return Screen(
                width: bytes.loadLittle(UInt16.self, at: 1), height: bytes.loadLittle(UInt16.self, at: 3), depth: bytes[5]
            ).map { .screen($0) }
        }
    }
}

extension [UInt8] {
    fileprivate mutating func appendLittle(_ value: some FixedWidthInteger) {
        var rest = value.littleEndian
        Swift.withUnsafeBytes(of: &rest) { append(contentsOf: $0) }
    }
}

extension UnsafeRawBufferPointer {
    /// The caller has checked the length.
    fileprivate func loadLittle<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at offset: Int) -> T {
        T(littleEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
    }
}
