import Foundation
import TermspanCore
import Testing

@testable import TermspanConfiguration

/// The file that the package installs, Units/termspan.yaml.
@Suite struct ShippedFileTests {
    let text: String

    init() throws {
        let top = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        text = try String(contentsOf: top.appendingPathComponent("Units/termspan.yaml"), encoding: .utf8)
    }

    /// The lines that show a setting, without their comment mark.
    var settings: [Substring] {
        text.split(separator: "\n").filter { $0.hasPrefix("#") && !$0.hasPrefix("# ") && $0 != "#" }.map { $0.dropFirst() }
    }

    @Test func theFileAsItIsChangesNothing() throws {
        var configuration = Configuration()
        configuration.burstGap = .seconds(7)
        let before = configuration
        try configuration.apply(text, file: "termspan.yaml")
        #expect(configuration == before)
    }

    @Test func theValuesThatItShowsAreTheDefaults() throws {
        var configuration = Configuration()
        configuration.burstGap = .seconds(7)
        configuration.idleThreshold = .seconds(7)
        configuration.passiveLimit = nil
        configuration.keepActivity = nil
        configuration.unencryptedDisk = .refuse
        configuration.keepSessions = nil
        configuration.keptByGroup = [KeptByGroup(group: "g", activity: .seconds(7))]
        configuration.commitInterval = .seconds(7)
        configuration.probeReadyTimeout = .seconds(7)
        configuration.limits.displaysPerUser = 7
        configuration.limits.socketsPerUser = 7
        configuration.limits.logonsPerMinute = 7
        configuration.limits.stateChangesPerMinute = 7
        configuration.limits.focusChangesPerSecond = 7
        configuration.limits.rowsPerDay = 7
        configuration.limits.probeStartsPerMinute = 7
        configuration.limits.busCallsPerSecond = 7
        configuration.limits.seats = 7
        configuration.responsible = "somebody"
        configuration.trackingHours = [TrackingHours.Window(start: 0, end: 1)]
        configuration.holidays = [CalendarDay(number: 7)]
        try configuration.apply(settings.joined(separator: "\n"), file: "termspan.yaml")
        #expect(configuration == Configuration())
    }

    @Test func everySettingIsShown() {
        #expect(settings.count == Mirror(reflecting: Configuration()).children.count - 1 + Mirror(reflecting: Limits()).children.count)
    }
}
