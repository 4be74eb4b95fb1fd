import Glibc
import TermspanCore
import Testing

@testable import TermspanBus

@Suite(.serialized) @MainActor struct EventLoopTests {
    @Test func timersFireOnceAndOnTime() throws {
        let loop = try EventLoop()
        var fired: [BootInstant] = []
        let start = loop.now
        let timer = try loop.after(.milliseconds(20)) { fired.append(loop.now) }
        try turn(loop) { !fired.isEmpty }
        #expect(start.duration(to: fired[0]) >= .milliseconds(20))
        #expect(start.duration(to: fired[0]) < .milliseconds(200))
        #expect(!timer.isArmed)
        timer.arm(after: .milliseconds(5))
        #expect(timer.isArmed)
        try turn(loop) { fired.count == 2 }
        try loop.runOnce(timeout: .milliseconds(30))
        #expect(fired.count == 2)
    }

    @Test func aTimerWithoutAMomentWaits() throws {
        let loop = try EventLoop()
        var count = 0
        let timer = try loop.timer { count += 1 }
        #expect(!timer.isArmed)
        try loop.runOnce(timeout: .milliseconds(10))
        #expect(count == 0)
        timer.arm(at: .zero)
        try turn(loop) { count == 1 }
        timer.arm(at: BootInstant(nanoseconds: .max))
        try loop.runOnce(timeout: .milliseconds(10))
        #expect(count == 1)
    }

    @MainActor private final class Watched {
        var seen: UInt32 = 0
        var source: EventSource?
    }

    @Test func descriptorsAreWatchedUntilTheSourceGoes() throws {
        let loop = try EventLoop()
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let (descriptor, other) = (ends[0], ends[1])
        let watched = Watched()
        watched.source = try loop.watch(descriptor) { events in
            watched.seen = events
            // A handler may drop its own source.
            watched.source = nil
        }
        #expect(write(other, "x", 1) == 1)
        try turn(loop) { watched.seen != 0 }
        #expect(watched.seen & EventLoop.readable != 0)
        watched.seen = 0
        try loop.runOnce(timeout: .milliseconds(10))
        #expect(watched.seen == 0)
        #expect(throws: BusError.self) { try loop.watch(-1) { _ in } }
        close(descriptor)
        close(other)
    }

    @Test func deferredWorkRunsInOrderAndMayDeferMore() throws {
        let loop = try EventLoop()
        var order: [Int] = []
        loop.deferred {
            order.append(1)
            loop.deferred { order.append(3) }
        }
        loop.deferred { order.append(2) }
        #expect(order.isEmpty)
        try turn(loop) { order.count == 3 }
        #expect(order == [1, 2, 3])
    }

    @Test func runReturnsTheCodeOfExit() throws {
        let loop = try EventLoop()
        loop.deferred { loop.exit(7) }
        #expect(try loop.run() == 7)
    }

    @Test func theWatchdogIsOffWithoutAManager() throws {
        #expect(try EventLoop().enableWatchdog() == false)
    }
}
