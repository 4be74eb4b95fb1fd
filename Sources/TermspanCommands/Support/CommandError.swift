package import TermspanBus
import TermspanCore
import TermspanJournal

/// What the command could not do, why, and what helps; each becomes a line on standard error.
package struct CommandError: Error, Hashable, Sendable {
    /// The exit codes of termspan(1).
    package enum Code: Int32, Sendable {
        case failure = 1
        case usage = 2
        case notFound = 3
        case notPermitted = 4
        case unreachable = 5
    }

    package var code: Code
    package var message: String
    package var remedy: String?

    package init(_ code: Code, _ message: String, remedy: String? = nil) {
        self.code = code
        self.message = message
        self.remedy = remedy
    }

    /// What standard error gets, with nothing in it that could control a terminal.
    package var lines: [String] {
        (["termspan: " + message] + (remedy.map { ["termspan: " + $0] } ?? [])).map { Printable.text($0) }
    }

    /// The services that a call can fail to reach.
    package enum Service: Sendable {
        case collector, reports
    }

    /// Turns an error of the bus into what a person can act on.
    package init(_ error: BusError, from service: Service) {
        switch error.name {
        case "org.termspan1.Error.NoSuchSession", "org.termspan1.Error.NoSuchUser":
            self.init(.notFound, error.description)
        case "org.freedesktop.DBus.Error.InvalidArgs":
            self.init(.failure, error.description)
        case "org.freedesktop.DBus.Error.UnknownMethod", "org.freedesktop.DBus.Error.UnknownInterface":
            self.init(
                .failure, "The running service does not know this request.",
                remedy: "It is probably older than this command: sudo systemctl restart termspand.service")
        default:
            if error.isAccessDenied {
                let right = Right.allCases.map(\.action).first { error.message.contains($0) }
                let rights = right.map { "It needs the right \($0)" } ?? "It needs a right that you don't have"
                self.init(
                    .notPermitted, error.description.isEmpty ? "Not permitted." : error.description,
                    remedy: rights + ": use sudo, or have the administrator give you a role or a polkit rule.")
            } else if error.isUnreachable {
                switch (service, error.message.hasPrefix("connecting to")) {
                case (_, true):
                    self.init(.unreachable, "The system bus can't be reached: \(error.description).", remedy: "Is dbus.service running?")
                case (.collector, _) where error.isUnanswered:
                    self.init(
                        .unreachable, "The collector did not answer in time.",
                        remedy: "The server or its message bus may be overloaded: try again; `termspan doctor` tells more.")
                case (.collector, _):
                    self.init(
                        .unreachable, "The collector is not running.",
                        remedy: "Start it: sudo systemctl start termspand.service; `termspan doctor` tells more.")
                case (.reports, _):
                    self.init(
                        .unreachable, "The reports service can't be started: \(error.description)",
                        remedy: "See: systemctl status termspan-reportd.service; `termspan doctor` tells more.")
                }
            } else {
                self.init(.failure, error.description)
            }
        }
    }

    init(_ error: JournalError) {
        self.init(.failure, error.description)
    }
}
