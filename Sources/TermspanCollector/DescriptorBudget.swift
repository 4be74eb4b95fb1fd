import Glibc
import TermspanRing

/// How many lanes there may be, so that the collector never runs out of descriptors for what it has already. Pure.
///
/// A lane takes six while its probe is being started and four in the descriptor store; what comes back from there after a restart must
/// fit below the limit at once. A session's X server and its client take one each, measured or not.
package struct DescriptorBudget: Equatable, Sendable {
    static let perLane = 6
    static let perSession = 2
    static let storedPerLane = 4
    /// For the bus, the store, the journal, and what is opened to look at something.
    static let reserve = 64

    /// RLIMIT_NOFILE and FileDescriptorStoreMax=.
    package let limit: Int
    package let stored: Int

    package init(limit: Int, stored: Int) {
        self.limit = limit
        self.stored = stored
    }

    /// The process's own. Systemd tells the store's size since 254; before, it is the one that our unit has.
    package static func ofProcess() -> DescriptorBudget {
        var limits = rlimit()
        let isKnown = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits) == 0
        let stored = getenv("FDSTORE").flatMap { Int(String(cString: $0)) }
        return DescriptorBudget(limit: isKnown ? Int(clamping: limits.rlim_cur) : 1024, stored: stored ?? 4096)
    }

    /// Why there may be no lane beside `lanes`, with so many sessions; nil if there may.
    package func refusal(lanes: Int, sessions: Int) -> String? {
        if Self.reserve + Self.perSession * sessions + Self.perLane * (lanes + 1) > limit {
            return "the collector may open no more descriptors for another probe (LimitNOFILE=\(limit))"
        }
        if lanes + 1 > Arena.maximumLanes { return "the collector reads no more than \(Arena.maximumLanes) probes at once" }
        if Self.storedPerLane * (lanes + 1) > stored {
            return "the service manager keeps no more descriptors for another probe (FileDescriptorStoreMax=\(stored))"
        }
        return nil
    }
}
