import TermspanCore
import Testing

@testable import TermspanAccounting

@Suite struct ClockAnchorsTests {
    static func anchor(_ boot: UInt64, _ wall: Int64) -> ClockAnchor {
        ClockAnchor(boot: BootInstant(nanoseconds: boot), wall: WallInstant(nanoseconds: wall))
    }

    @Test(arguments: [
        [],
        [anchor(100, 1000)],
        [anchor(100, 1000), anchor(200, 900)],
        [anchor(100, 1000), anchor(200, 2000)],
        [anchor(200, 500), anchor(100, 1000), anchor(300, 1150), anchor(400, 1151)],
    ])
    func boundariesAreTheFirstMomentAtOrAfter(anchors: [ClockAnchor]) {
        let clock = ClockAnchors(anchors)
        for wall in Int64(0)..<2200 where wall % 7 == 0 {
            let wall = WallInstant(nanoseconds: wall)
            // Moment by moment; before the boot's start time is out of reach, and 0 then.
            let first = (UInt64(0)..<4000).lazy.map { BootInstant(nanoseconds: $0) }.first { moment in
                clock.wall(at: moment).map { $0 >= wall } ?? false
            }
            #expect(clock.boot(at: wall) == first)
        }
    }
}
