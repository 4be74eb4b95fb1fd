import CTermspanLinux
import Glibc
import TermspanCore
import TermspanSystem
import Testing

@testable import TermspanRing

/// Docs/ring.md is what somebody writes another source from.
@Suite struct DocumentTests {
    private static let top = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")

    private static func text(_ path: String) throws -> String {
        let file = try openFile("\(top)/\(path)", flags: O_RDONLY)
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while case let count = read(file.raw, &buffer, buffer.count), count > 0 { text += buffer[..<count] }
        return String(decoding: text, as: UTF8.self)
    }

    /// The rows of the tables of offsets below a heading: what is at each offset, and how many bytes.
    private static func fields(of heading: String) throws -> [String: [Int]] {
        var fields: [String: [Int]] = [:]
        var isBelow = false
        for line in try text("Docs/ring.md").split(separator: "\n") {
            if line.hasPrefix("#") { isBelow = line == "### \(heading)" }
            let cells = line.split(separator: "|").map { $0.drop { $0 == " " } }
            guard isBelow, cells.count == 4 else { continue }
            let numbers = cells.prefix(2).compactMap { Int($0.split(separator: " ")[0]) }
            if numbers.count == 2 { fields[cells[2].split(separator: " ").joined(separator: " ")] = numbers }
        }
        return fields
    }

    @Test func theDocumentHasTheLayoutOfTheCode() throws {
        typealias Control = termspan_lane_control
        func field<Value>(_ path: KeyPath<Control, Value>) -> [Int] {
            [MemoryLayout<Control>.offset(of: path) ?? -1, MemoryLayout<Value>.size]
        }
        let marks = LaneLayout.Offset.marks
        #expect(
            try Self.fields(of: "control") == [
                "magic": field(\.magic), "version major": field(\.version_major), "version minor": field(\.version_minor),
                "slot size": field(\.slot_size), "slots": field(\.slots), "lane": field(\.lane), "generation": field(\.generation),
                "first sequence": field(\.first_sequence), "features": field(\.features), "head": [LaneLayout.Offset.head, 8],
                "arm epoch": [LaneLayout.Offset.armEpoch, 4], "last epoch": [LaneLayout.Offset.lastEpoch, 4],
                "checkpoint": [LaneLayout.Offset.checkpoint, 8], "mark 0": [marks, LaneLayout.Offset.markSize],
                "mark 1": [marks + LaneLayout.Offset.markSize, LaneLayout.Offset.markSize],
            ])
        #expect(
            try Self.fields(of: "events") == [
                "attempted": [LaneLayout.Offset.attempted, 8], "state": [LaneLayout.Offset.state, 4],
                "slots": [LaneLayout.Offset.slots, LaneLayout.slotSize * LaneLayout.slotCount],
            ])
        let payload = LaneLayout.slotSize - LaneLayout.firstPayload
        #expect(
            try Self.fields(of: "slot") == [
                "header": [0, 8], "time": [8, 8], "attempted-at": [16, 8], "payload": [payload, LaneLayout.firstPayload],
            ])
        let document = try Self.text("Docs/ring.md")
        for error in ["size", "seals", "mode", "magic", "version", "geometry", "marks", "full"] {
            #expect(document.contains("`\(error)` |"))
        }
        for violation in LaneViolation.allCases { #expect(document.contains("| `\(violation.name)` |")) }
    }

    @Test func aSourceWrittenFromTheDocumentIsRead() throws {
        let count: UInt64 = 4_000
        var poller = try LanePoller(capacity: 1)
        // Sequences and slots begin anew within its first events.
        let memory = try LaneMemory(lane: 0, generation: 1, firstSequence: 0xFFFF_FFFB)
        let key = try poller.add(memory)
        // It sleeps from the beginning: the first event has to wake it.
        let asleep = try poller.wait(timeout: .zero)
        #expect(asleep == [])
        let control = try memory.controlForProducer()
        let process = try ProcessHandle.spawn(
            "/usr/bin/python3", ["\(Self.top)/Tests/Helpers/ring-source.py", String(count)],
            descriptors: [
                -1, 2, 2, control.raw, memory.events.raw, memory.doorbell.raw,
            ])
        _ = consume control
        var wrong = 0
        var last: UInt64 = 0
        while last < count, try poller.wait(timeout: .seconds(60)).contains(.lanes) {
            poller.round(violated: { _, _ in wrong += 1 }) { _, record in
                last += record.lostBefore + 1
                let bytes = (0..<Int(last % 161)).map { UInt8(truncatingIfNeeded: Int(last) + $0) }
                if record.attemptedAt != last || record.type != UInt8(1 + last % 255) || !record.payload.elementsEqual(bytes) { wrong += 1 }
            }
            _ = poller.withLane(key) { $0.acknowledge(upTo: $0.mark, checkpoint: 1) }
            // The last ones may have been dropped.
            if try process.hasEnded(), poller.withLane(key, { !$0.isReady }) ?? true { break }
        }
        #expect(try process.reap() == .exited(0))
        guard var reader = poller.remove(key) else { return }
        let totals = try reader.finish()
        #expect(wrong == 0 && totals.attempted == count && totals.attempted == totals.delivered + totals.lost && totals.delivered > 300)
    }
}

extension LaneViolation {
    fileprivate var name: String {
        switch self {
        case .slots: "slots"
        case .length: "length"
        case .type: "type"
        case .continuation: "continuation"
        case .attemptedAt: "attemptedAt"
        case .attempted: "attempted"
        case .overrun: "overrun"
        case .doorbell: "doorbell"
        }
    }
}
