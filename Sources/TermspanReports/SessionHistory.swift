import TermspanAccounting
import TermspanCore
import TermspanStore

/// What happened in a session's life, as people ask for it: pure, from the state changes that accounting needs.
///
/// Those tell the state at the beginning too, and tell a state again after a time in which it was not certain; here only changes remain.
struct SessionHistory {
    enum Kind: Equatable {
        case logon
        /// The session was there already when its user was tracked.
        case recorded
        case connect, disconnect, lock, unlock, pause, resume, sleep, wake
        case logoff

        /// The name in machine-readable output.
        var name: String { String(describing: self) }
    }

    struct Event: Equatable {
        var kind: Kind
        var at: BootInstant
        var clientAddress = ""
        var clientName = ""
    }

    /// In order.
    private(set) var events: [Event]

    /// Addresses told of one session.
    private static let maximumAddresses = 100
    /// A session that is recorded within this time of its beginning is recorded from its beginning.
    private static let logonTime: Duration = .seconds(5)

    init(_ session: ReportedSession, events changes: [SessionEvent]) {
        let start = session.record.start
        let delay = session.anchors.wall(at: start).map { session.record.uuid.created.duration(to: $0) } ?? .zero
        events = [Event(kind: delay < Self.logonTime ? .logon : .recorded, at: start)]
        var client: (address: String, name: String)?
        var (isLocked, isPaused, isSuspended) = (false, false, false)
        func turn(_ state: inout Bool, _ value: Bool, _ kind: Kind) -> Kind? {
            defer { state = value }
            return state == value ? nil : kind
        }
        let ordered = changes.enumerated().sorted { ($0.element.change.at, $0.offset) < ($1.element.change.at, $1.offset) }
        for change in ordered.map(\.element) where session.isOpen || change.change.at <= session.end {
            var event = Event(kind: .connect, at: max(start, change.change.at))
            let kind: Kind?
            switch change.change.kind {
            case .connected:
                kind = client?.address == change.clientAddress ? nil : .connect
                client = (change.clientAddress, change.clientName)
                (event.clientAddress, event.clientName) = (change.clientAddress, change.clientName)
            case .disconnected:
                kind = client == nil ? nil : .disconnect
                // A client's name may be known only after it connected.
                event.clientAddress = change.clientAddress.isEmpty ? client?.address ?? "" : change.clientAddress
                event.clientName = change.clientName.isEmpty ? client?.name ?? "" : change.clientName
                client = nil
            case .locked: kind = turn(&isLocked, true, .lock)
            case .unlocked: kind = turn(&isLocked, false, .unlock)
            case .paused: kind = turn(&isPaused, true, .pause)
            case .resumed: kind = turn(&isPaused, false, .resume)
            case .suspended: kind = turn(&isSuspended, true, .sleep)
            case .woke: kind = turn(&isSuspended, false, .wake)
            }
            guard let kind else { continue }
            event.kind = kind
            events.append(event)
        }
        if !session.isOpen { events.append(Event(kind: .logoff, at: session.end)) }
    }

    /// From where it was used, each address once, the first first.
    var addresses: [String] {
        var seen: Set<String> = []
        var addresses: [String] = []
        for event in events where event.kind == .connect && !event.clientAddress.isEmpty && addresses.count < Self.maximumAddresses {
            if seen.insert(event.clientAddress).inserted { addresses.append(event.clientAddress) }
        }
        return addresses
    }
}
