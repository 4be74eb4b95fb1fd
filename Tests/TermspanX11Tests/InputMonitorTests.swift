import TermspanCore
import TermspanEvents
import Testing

@testable import TermspanX11

/// Where bursts begin and end, without a server.
struct InputMonitorTests {
    private func at(_ milliseconds: UInt64) -> BootInstant { BootInstant(nanoseconds: milliseconds * 1_000_000) }

    @Test func aBurstEndsAtTheLastInputAndTheNextBeginsAtTheFirst() {
        var monitor = InputMonitor(gapMilliseconds: 30_000, idle: 100, now: at(1_000_000))
        #expect(monitor.isOpen)
        #expect(monitor.arming == .reaches(30_000))
        #expect(monitor.alarmFired(idle: 30_002, now: at(1_500_000)) == .ended(at(1_469_998)))
        #expect(monitor.arming == .fallsTo(15_000))
        #expect(monitor.alarmFired(idle: 3, now: at(1_600_000)) == .began(at(1_599_997)))
        #expect(monitor.arming == .reaches(30_000))
    }

    /// Else a snapshot told of the input, and the event a moment later of a burst that began then.
    @Test func aSnapshotThatIsAheadOfTheAlarmBeginsTheBurst() {
        var monitor = InputMonitor(gapMilliseconds: 30_000, idle: 30_000, now: at(1_000_000))
        func read(_ idle: Int64, _ milliseconds: UInt64) -> Bool { monitor.wasRead(idle: idle, now: at(milliseconds)) }
        #expect(!read(31_000, 1_001_000))
        #expect(!monitor.isOpen)
        #expect(read(1, 1_002_000))
        #expect(monitor.isOpen)
        #expect(monitor.arming == .reaches(30_000))
        #expect(monitor.alarmFired(idle: 2, now: at(1_002_001)) == nil)
        // One that is open ends by its alarm alone.
        #expect(!read(40_000, 1_042_000))
        #expect(monitor.alarmFired(idle: 40_000, now: at(1_042_000)) == .ended(at(1_002_000)))
    }

    @Test func beginsIdleWhenTheCounterSaysSo() {
        let monitor = InputMonitor(gapMilliseconds: 30_000, idle: 30_000, now: at(1_000_000))
        #expect(!monitor.isOpen)
        #expect(monitor.arming == .fallsTo(15_000))
    }

    @Test func aValueThatDoesNotFitChangesNothing() {
        var monitor = InputMonitor(gapMilliseconds: 30_000, idle: 0, now: at(1_000_000))
        #expect(monitor.alarmFired(idle: 29_999, now: at(1_000_001)) == nil)
        #expect(monitor.isOpen)
        _ = monitor.alarmFired(idle: 30_000, now: at(1_030_000))
        #expect(monitor.alarmFired(idle: 15_001, now: at(1_030_001)) == nil)
        #expect(!monitor.isOpen)
    }

    @Test func anEndIsNeverBeforeItsBegin() {
        var monitor = InputMonitor(gapMilliseconds: 30_000, idle: 10, now: at(1_000_000))
        #expect(monitor.alarmFired(idle: 90_000, now: at(1_030_000)) == .ended(at(999_990)))
    }

    @Test(arguments: [Int64.min, -1, 0, .max])
    func hostileValuesSaturate(_ idle: Int64) {
        for now in [at(0), at(1_000_000), BootInstant(nanoseconds: .max)] {
            var monitor = InputMonitor(gapMilliseconds: 0, idle: idle, now: now)
            _ = monitor.alarmFired(idle: idle, now: now)
            _ = monitor.alarmFired(idle: .max, now: now)
            _ = monitor.alarmFired(idle: .min, now: now)
        }
    }

    @Test func theGapIsBounded() {
        #expect(InputMonitor(gapMilliseconds: 0, idle: 0, now: at(0)).arming == .reaches(500))
        #expect(InputMonitor(gapMilliseconds: .max, idle: 0, now: at(0)).arming == .reaches(86_400_000))
    }
}

struct DeviceIdleTimesTests {
    @Test func theDeviceThatWasUsedLastTellsTheOrigin() {
        var times = DeviceIdleTimes()
        #expect(times.origin(idle: 0) == .unknown)
        times.add(90_000, isSynthetic: false)
        times.add(20, isSynthetic: true)
        #expect(times.origin(idle: 18) == .synthetic)
        times.add(15, isSynthetic: false)
        #expect(times.origin(idle: 14) == .unknown, "a reset of all")
    }

    @Test func devicesThatWereNeverUsedTellNothing() {
        var times = DeviceIdleTimes()
        for idle: Int64 in [1500, 1503] { times.add(idle, isSynthetic: true) }
        times.add(90_000, isSynthetic: false)
        #expect(times.origin(idle: 1500) == .unknown)
        times.add(60_000, isSynthetic: true)
        #expect(times.origin(idle: 1500) == .synthetic)
    }

    @Test func realInputIsADevices() {
        var times = DeviceIdleTimes()
        times.add(5, isSynthetic: false)
        times.add(70_000, isSynthetic: true)
        #expect(times.origin(idle: 0) == .device)
        #expect(times.origin(idle: .max) == .unknown)
    }
}
