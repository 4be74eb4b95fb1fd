import CTermspanLinux
import Glibc
import RingPattern
import SeededRandom
import TermspanCore
import TermspanSystem
import Testing

@testable import TermspanRing

/// A producer that was taken over: it may write anything at any time, and costs only its own lane.
@Suite struct HostileTests {
    /// One thing that no producer of ours does, after two proper events in slots 0 and 1.
    struct Crime: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var expected: LaneViolation
        var commit: @Sendable (UnsafeMutableRawPointer) -> Void
    }

    /// MADV_REMOVE of madvise(2), which Glibc's module lacks.
    private var removePages: Int32 { 9 }

    private static func slot(_ position: UInt64) -> Int { LaneLayout.offset(of: position) }

    /// A proper event of one slot at a position, written by hand.
    private static func write(
        _ base: UnsafeMutableRawPointer, at position: UInt64, slots: Int = 1, type: UInt8 = 1, length: Int = 8, attemptedAt: UInt64,
        attempted: UInt64? = nil
    ) {
        base.storeBytes(of: attempted ?? attemptedAt, as: UInt64.self)
        base.storeBytes(of: 1, toByteOffset: slot(position) + 8, as: UInt64.self)
        base.storeBytes(of: attemptedAt, toByteOffset: slot(position) + 16, as: UInt64.self)
        let header = SlotHeader(position: position, slots: slots, type: type, length: length)
        base.storeBytes(of: header.word, toByteOffset: slot(position), as: UInt64.self)
    }

    static let crimes: [Crime] = [
        Crime(testDescription: "no slots", expected: .slots) { write($0, at: 2, slots: 0, attemptedAt: 3) },
        Crime(testDescription: "more slots than the length needs", expected: .slots) { write($0, at: 2, slots: 2, attemptedAt: 3) },
        Crime(testDescription: "fewer slots", expected: .slots) { write($0, at: 2, slots: 1, length: 41, attemptedAt: 3) },
        Crime(testDescription: "255 slots", expected: .slots) { write($0, at: 2, slots: 255, attemptedAt: 3) },
        Crime(testDescription: "a continuation as the first", expected: .slots) { write($0, at: 2, slots: 0x81, attemptedAt: 3) },
        Crime(testDescription: "161 bytes", expected: .length) { write($0, at: 2, slots: 4, length: 161, attemptedAt: 3) },
        Crime(testDescription: "65535 bytes", expected: .length) { write($0, at: 2, slots: 4, length: 65535, attemptedAt: 3) },
        Crime(testDescription: "type 0", expected: .type) { write($0, at: 2, type: 0, attemptedAt: 3) },
        Crime(testDescription: "continuation missing", expected: .continuation) { write($0, at: 2, slots: 2, length: 60, attemptedAt: 3) },
        Crime(testDescription: "continuation of another event", expected: .continuation) {
            let header = SlotHeader(continuation: 2, ofEventAt: 1, type: 1, length: 60)
            $0.storeBytes(of: header.word, toByteOffset: slot(3), as: UInt64.self)
            write($0, at: 2, slots: 2, length: 60, attemptedAt: 3)
        },
        Crime(testDescription: "the same attempt again", expected: .attemptedAt) { write($0, at: 2, attemptedAt: 2, attempted: 9) },
        Crime(testDescription: "an earlier attempt", expected: .attemptedAt) { write($0, at: 2, attemptedAt: 1, attempted: 9) },
        Crime(testDescription: "attempt 0", expected: .attemptedAt) { write($0, at: 2, attemptedAt: 0, attempted: 9) },
        Crime(testDescription: "attempted behind the event", expected: .attempted) { write($0, at: 2, attemptedAt: 5, attempted: 4) },
        Crime(testDescription: "attempted went back", expected: .attempted) { write($0, at: 2, attemptedAt: 3, attempted: 0) },
        Crime(testDescription: "the last number of all", expected: .attempted) { write($0, at: 2, attemptedAt: .max, attempted: .max - 1) },
        Crime(testDescription: "more than fits", expected: .overrun) { base in
            for position in 2..<1_024 { write(base, at: UInt64(position), attemptedAt: UInt64(position) + 1) }
            // Slot 0 again, though nothing was acknowledged.
            write(base, at: 1_024, attemptedAt: 1_025)
        },
    ]

    @Test(arguments: crimes) func aViolationStopsTheLane(crime: Crime) throws {
        let memory = try LaneMemory(lane: 0, generation: 1)
        let raw = try Mapping(memory.events, length: LaneLayout.eventsSize, writable: true)
        var reader = try LaneReader(memory, in: Arena(capacity: 1))
        let base = raw.base
        Self.write(base, at: 0, attemptedAt: 1)
        Self.write(base, at: 1, attemptedAt: 2)
        var seen = 0
        try reader.drain { _ in seen += 1 }
        crime.commit(base)
        var violation: LaneViolation?
        for _ in 0..<40 where violation == nil {
            do throws(LaneViolation) {
                // Before it sleeps, a reader looks at the count of attempts as well.
                if try reader.drain({ _ in seen += 1 }) == 0 { _ = reader.arm() }
            } catch {
                violation = error
            }
        }
        #expect(violation == crime.expected)
        #expect(seen >= 2)
        let kept = reader.violation
        #expect(kept == crime.expected)
        // For good, even if what is there is proper now.
        Self.write(base, at: 2, attemptedAt: 3)
        #expect(throws: crime.expected) { try reader.drain { _ in Issue.record("read after a violation") } }
        #expect(throws: crime.expected) { _ = try reader.finish() }
        let ready = reader.arm()
        #expect(!ready)
    }

    @Test func attemptedMayNotEndBehindWhatWasRead() throws {
        let memory = try LaneMemory(lane: 0, generation: 1)
        var writer = try Lane.writer(memory)
        let raw = try Mapping(memory.events, length: LaneLayout.eventsSize, writable: true)
        var reader = try LaneReader(memory, in: Arena(capacity: 1))
        for _ in 0..<5 { writer.publishNext() }
        try reader.drain { _ in }
        raw.base.storeBytes(of: 4, as: UInt64.self)
        let (attempted, pending) = (reader.attempted, reader.pending)
        #expect(attempted == 5 && pending == 0)
        #expect(throws: LaneViolation.attempted) { _ = try reader.finish() }
        raw.base.storeBytes(of: UInt32.max, toByteOffset: 64, as: UInt32.self)
        let state = reader.producerState
        #expect(state == nil)
    }

    @Test(arguments: 0..<300 as Range<UInt64>) func garbageNeverTraps(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let memory = try LaneMemory(lane: 0, generation: 1, firstSequence: seed % 3 == 0 ? 0xFFFF_FFF0 : 0)
        let raw = try Mapping(memory.events, length: LaneLayout.eventsSize, writable: true)
        var reader = try LaneReader(memory, in: Arena(capacity: 1))
        var position: UInt64 = seed % 3 == 0 ? 0xFFFF_FFF0 : 0
        var last = BootInstant.zero
        rounds: for _ in 0..<30 {
            for _ in 0..<40 {
                // Mostly plausible, so that the checks behind the first ones are met as well.
                let slots = random.next() % 8 == 0 ? Int(random.next() & 0xFF) : Int(random.next() % 5)
                let length = random.next() % 8 == 0 ? Int(random.next() & 0xFFFF) : max(0, 40 + 56 * (slots - 1) - Int(random.next() % 16))
                let place = LaneLayout.offset(of: position)
                for word in 1..<8 where random.next() % 2 == 0 {
                    raw.base.storeBytes(of: random.next(), toByteOffset: place + 8 * word, as: UInt64.self)
                }
                if random.next() % 4 > 0 {
                    raw.base.storeBytes(of: (position &+ 1) &* 1_000 &+ random.next() % 1_000, toByteOffset: place + 16, as: UInt64.self)
                }
                for index in 1..<4 {
                    let header = SlotHeader(continuation: index, ofEventAt: position, type: 1, length: length)
                    raw.base.storeBytes(
                        of: header.word, toByteOffset: LaneLayout.offset(of: position &+ UInt64(index)), as: UInt64.self)
                }
                let header = SlotHeader(position: position, slots: slots, type: random.next() % 16 == 0 ? 0 : 1, length: length)
                raw.base.storeBytes(of: header.word, toByteOffset: place, as: UInt64.self)
                if random.next() % 16 > 0 { raw.base.storeBytes(of: UInt64.max - random.next() % 2, as: UInt64.self) }
                position &+= UInt64(max(1, min(slots, 4)))
            }
            do throws(LaneViolation) {
                try reader.drain { record in
                    #expect(record.payload.count <= LaneLayout.maximumPayload)
                    #expect(record.time >= last && record.time <= .now())
                    last = record.time
                }
            } catch {
                break rounds
            }
            reader.acknowledge(upTo: reader.mark, checkpoint: 1)
        }
        _ = (reader.lost, reader.pending, reader.attempted, reader.unacknowledgedSlots)
    }

    @Test func aSlotThatChangesWhileItIsReadIsCopiedOnce() throws {
        let memory = try LaneMemory(lane: 0, generation: 1)
        let arena = try Arena(capacity: 1)
        var reader = try LaneReader(memory, in: arena)
        let stop = try EventCounter()
        let events = try memory.events.duplicate().release()
        let stopRaw = stop.descriptor.raw
        // Two forms of the same event, both proper; what comes out must be consistent with its own length.
        let thread = try Thread(name: "hostile") {
            guard let raw = try? Mapping(OwnedDescriptor(events), length: LaneLayout.eventsSize, writable: true) else { return }
            var position: UInt64 = 0
            var entry = pollfd(fd: stopRaw, events: Int16(POLLIN), revents: 0)
            raw.base.storeBytes(of: UInt64.max, as: UInt64.self)
            while true {
                for _ in 0..<256 {
                    for candidate in position..<(position + 64) {
                        let place = LaneLayout.offset(of: candidate)
                        raw.base.storeBytes(of: candidate + 1, toByteOffset: place + 16, as: UInt64.self)
                        for length in [8, 30, 0, 65_000, 40] {
                            let header = SlotHeader(position: candidate, slots: 1, type: 1, length: length)
                            raw.base.storeBytes(of: header.word, toByteOffset: place, as: UInt64.self)
                        }
                    }
                    position += 1
                }
                if Glibc.poll(&entry, 1, 0) != 0 { return }
            }
        }
        for _ in 0..<2_000 {
            do throws(LaneViolation) {
                try reader.drain { #expect($0.payload.count <= 40) }
                reader.acknowledge(upTo: reader.mark, checkpoint: 1)
            } catch {
                break
            }
        }
        stop.ring()
        thread.join()
    }

    // MARK: The memory itself

    @Test func theFilesKeepTheirSize() throws {
        let memory = try LaneMemory(lane: 0, generation: 1)
        var writer = try Lane.writer(memory)
        let before = try Mapping(memory.events, length: LaneLayout.eventsSize, writable: true)
        try memory.sealEvents()
        try memory.sealEvents()
        for size in [0, 100, LaneLayout.eventsSize * 2] {
            #expect(ftruncate(memory.events.raw, size) == -1 && errno == EPERM)
            #expect(ftruncate(memory.control.raw, size) == -1 && errno == EPERM)
        }
        // No hole punch, not even through a mapping that was there before; no write, no new writable mapping.
        #expect(madvise(before.base, LaneLayout.eventsSize, removePages) == -1 && errno == EPERM)
        #expect(pwrite(memory.events.raw, "x", 1, 0) == -1 && errno == EPERM)
        #expect(throws: SystemError(code: EPERM, operation: "mmap")) {
            _ = try Mapping(memory.events, length: LaneLayout.eventsSize, writable: true)
        }
        #expect(throws: SystemError(code: EPERM, operation: "fcntl F_ADD_SEALS")) { try memory.events.addSeals(.futureWrite) }
        // What is mapped goes on, and a collector that starts again can still attach.
        let published = writer.publishNext()
        #expect(published == .published)
        var reader = try LaneReader(Lane.adopted(memory), in: Arena(capacity: 1))
        let count = try reader.drain { #expect($0.isIntact) }
        #expect(count == 1)
    }

    /// A second source of a lane can't map it; one that had it mapped before breaks the protocol by what it writes.
    @Test func aLaneHasOneSource() throws {
        let memory = try LaneMemory(lane: 0, generation: 1)
        var first = try Lane.writer(memory)
        var second = try Lane.writer(memory)
        try memory.sealEvents()
        #expect(throws: LaneError.system(SystemError(code: EPERM, operation: "mmap"))) { _ = try Lane.writer(memory) }
        var reader = try LaneReader(memory, in: Arena(capacity: 1))
        for _ in 0..<5 { first.publishNext() }
        let count = try reader.drain { #expect($0.isIntact) }
        #expect(count == 5)
        second.publishNext()
        let looks = reader.arm()
        #expect(looks)
        #expect(throws: LaneViolation.attempted) { _ = try reader.drain { _ in Issue.record("event") } }
    }

    @Test func theProducerCannotWriteControl() throws {
        let memory = try LaneMemory(lane: 0, generation: 1)
        let control = try memory.controlForProducer()
        #expect(throws: SystemError(code: EACCES, operation: "mmap")) {
            _ = try Mapping(control, length: LaneLayout.controlSize, writable: true)
        }
        #expect(pwrite(control.raw, "x", 1, 0) == -1 && errno == EBADF)
        #expect(throws: SystemError(code: EPERM, operation: "fcntl F_ADD_SEALS")) { try control.addSeals(.futureWrite) }
        let mapping = try Mapping(control, length: LaneLayout.controlSize, writable: false)
        #expect(mprotect(mapping.base, LaneLayout.controlSize, PROT_READ | PROT_WRITE) == -1 && errno == EACCES)
    }

    @Test(.enabled(if: geteuid() == 0, "needs another user")) func anotherUserCannotOpenTheFilesAgain() throws {
        let memory = try LaneMemory(lane: 0, generation: 1)
        let control = try memory.controlForProducer()
        for raw in [control.raw, memory.events.raw, memory.control.raw] {
            for flags in [O_RDWR, O_WRONLY, O_RDONLY] {
                #expect(throws: SystemError(code: EACCES, operation: "open", subject: "/proc/self/fd/\(raw)")) {
                    try actingAs(uid: 65_534, gid: 65_534) { () throws(SystemError) in
                        _ = try openFile("/proc/self/fd/\(raw)", flags: flags)
                    }
                }
            }
        }
        #expect(fchmod(control.raw, 0o666) == 0)
    }

    @Test func whatIsNotALaneIsRefused() throws {
        let memory = try LaneMemory(lane: 0, generation: 1)
        func attach(_ change: (borrowing LaneMemory) throws -> Void) -> LaneError? {
            do {
                let other = try LaneMemory(lane: 0, generation: 1)
                try change(other)
                _ = try LaneMemory(
                    adopting: other.control.duplicate(), events: other.events.duplicate(), doorbell: other.doorbell.duplicate())
                _ = try LaneReader(other, in: Arena(capacity: 1))
                _ = try Lane.writer(other)
                return nil
            } catch {
                return error as? LaneError
            }
        }
        func store<T: BitwiseCopyable>(_ value: T, at offset: Int) -> (borrowing LaneMemory) throws -> Void {
            { memory in
                let mapping = try Mapping(memory.control, length: LaneLayout.controlSize, writable: true)
                mapping.base.storeBytes(of: value, toByteOffset: offset, as: T.self)
            }
        }
        #expect(attach { _ in } == nil)
        #expect(attach(store(UInt64(1), at: 0)) == .magic)
        #expect(attach(store(UInt16(2), at: 8)) == .version(major: 2))
        #expect(attach(store(UInt16(99), at: 10)) == nil)
        #expect(attach(store(UInt32(128), at: 12)) == .geometry)
        #expect(attach(store(UInt32(1 << 20), at: 16)) == .geometry)
        #expect(attach(store(UInt64(5), at: 128)) == .marks)
        #expect(attach(store(UInt64(5), at: 448 + 16)) == .marks)
        #expect(attach { fchmod($0.events.raw, 0o644) } == .mode)
        #expect(attach { fchmod($0.control.raw, 0o602) } == .mode)

        let short = try OwnedDescriptor.memoryFile(name: "short", size: 4_096)
        #expect(throws: LaneError.size) {
            _ = try LaneWriter(control: memory.controlForProducer(), events: short.duplicate(), doorbell: memory.doorbell.duplicate())
        }
        #expect(throws: LaneError.size) {
            _ = try LaneWriter(control: memory.events.duplicate(), events: memory.events.duplicate(), doorbell: memory.doorbell.duplicate())
        }
        let unsealed = OwnedDescriptor(termspan_memfd_create("unsealed"))
        fchmod(unsealed.raw, 0o600)
        ftruncate(unsealed.raw, LaneLayout.eventsSize)
        #expect(throws: LaneError.seals) {
            _ = try LaneWriter(control: memory.controlForProducer(), events: unsealed.duplicate(), doorbell: memory.doorbell.duplicate())
        }
        #expect(throws: LaneError.self) {
            _ = try LaneWriter(
                control: memory.doorbell.duplicate(), events: memory.events.duplicate(), doorbell: memory.doorbell.duplicate())
        }
    }
}
