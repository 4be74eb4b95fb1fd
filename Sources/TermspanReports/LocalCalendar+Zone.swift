import Foundation
import TermspanCore

extension LocalCalendar {
    /// The time zone of a name as `Europe/Vienna`; nil for one that is not known.
    init?(zone name: String) {
        guard name.utf8.count <= 64, let zone = TimeZone(identifier: name) else { return nil }
        self.init { zone.secondsFromGMT(for: Date(timeIntervalSince1970: TimeInterval($0))) }
    }
}
