import Glibc
import RingPattern
import TermspanCore
import TermspanSystem

@testable import TermspanRing

/// The maker of both sides, for tests within one process.
enum Lane {
    static func writer(_ memory: borrowing LaneMemory) throws -> LaneWriter {
        try LaneWriter(
            control: memory.controlForProducer(), events: memory.events.duplicate(), doorbell: memory.doorbell.duplicate())
    }

    /// As a collector that starts again gets it.
    static func adopted(_ memory: borrowing LaneMemory) throws -> LaneMemory {
        try LaneMemory(
            adopting: memory.control.duplicate(), events: memory.events.duplicate(), doorbell: memory.doorbell.duplicate())
    }
}

extension LaneWriter {
    /// Publishes the event that its number asks for.
    @discardableResult
    mutating func publishNext(time: BootInstant = .now()) -> PublishResult {
        let pattern = RingPattern(attempt: attempted + 1)
        return withUnsafeTemporaryAllocation(byteCount: LaneLayout.maximumPayload, alignment: 8) {
            publish(type: pattern.type, time: time, payload: pattern.fill($0))
        }
    }

    mutating func publish(length: Int, type: UInt8 = 1, time: BootInstant = .now()) -> PublishResult {
        let bytes = [UInt8](repeating: 0xA5, count: length)
        return bytes.withUnsafeBytes { publish(type: type, time: time, payload: $0) }
    }
}

extension LaneRecord {
    /// Whether it is, byte for byte, the event that its number asks for.
    var isIntact: Bool {
        RingPattern(attempt: attemptedAt).matches(type: type, payload: payload)
    }
}

/// A producer in a process of its own.
struct Producer: ~Copyable {
    let process: ProcessHandle
    private let witness: Mapping

    init(_ memory: borrowing LaneMemory, count: UInt64 = 0, pause: UInt64 = 0, seed: UInt64 = 0) throws {
        let file = try OwnedDescriptor.memoryFile(name: "witness", size: 4096)
        let witness = try Mapping(file, length: 4096, writable: false)
        let control = try memory.controlForProducer()
        process = try ProcessHandle.spawn(
            Self.path, [String(count), String(pause), String(seed)],
            environment: ["TSAN_OPTIONS=report_bugs=0", "ASAN_OPTIONS=detect_leaks=0"],
            descriptors: [-1, 2, 2, control.raw, memory.events.raw, memory.doorbell.raw, file.raw])
        self.witness = witness
    }

    /// The last event of which the producer knows that it published it.
    var published: UInt64 { witness.base.load(as: UInt64.self) }

    consuming func kill() throws -> UInt64 {
        try process.signal(SIGKILL)
        _ = try process.reap()
        return published
    }

    /// Beside the test's own program, in whatever folder this was built.
    private static let path: String = {
        let candidates = ["/proc/self/exe"] + CommandLine.arguments
        for candidate in candidates {
            let target = (try? readLink(candidate)).map { String(decoding: $0, as: UTF8.self) } ?? candidate
            let path = target.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/") + "/ring-producer"
            if access(path, X_OK) == 0 { return path }
        }
        preconditionFailure("ring-producer was not built")
    }()
}
