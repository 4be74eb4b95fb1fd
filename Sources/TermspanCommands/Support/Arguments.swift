import ArgumentParser
import Glibc
import TermspanCore

/// A moment on the command line; see `TimeText.parse`.
struct Moment: ExpressibleByArgument {
    var instant: WallInstant

    init?(argument: String) {
        guard let instant = TimeText.parse(argument, now: .present) else { return nil }
        self.instant = instant
    }

    static let help = "2026-01-02, 2026-01-02T03:04, 03:04, today, yesterday, 2h (ago) or 7d (ago)"
}

extension WallInstant {
    /// Now, as the command shows it.
    static var present: WallInstant {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return WallInstant(nanoseconds: 0).advanced(by: .seconds(Int64(time.tv_sec)) + .nanoseconds(Int64(time.tv_nsec)))
    }
}

/// What the shell completes, asked of the running collector.
enum Completions {
    static let sessions = CompletionKind.custom { _, _, _ in
        rows { rows in rows.flatMap { [String($0.id), $0.shownName] }.filter { !$0.isEmpty } }
    }

    static let users = CompletionKind.custom { _, _, _ in rows { rows in rows.map(\.user).filter { !$0.isEmpty } } }

    static let groups = CompletionKind.shellCommand("getent group | cut -d: -f1")

    static let targets = CompletionKind.custom { _, _, _ in
        rows { rows in rows.flatMap { [String($0.id), $0.shownName, $0.user] }.filter { !$0.isEmpty } }
    }

    private static func rows(_ words: @Sendable ([SessionRow]) -> [String]) -> [String] {
        MainActor.assumeIsolated {
            guard let client = try? Client.connect(), let rows = try? client.enumeratedSessions() else { return [] }
            return Set(words(rows)).sorted()
        }
    }
}
