package import TermspanAccounting
package import TermspanCore
package import TermspanEvents

/// One row of the collector's CollectActivity: what is open in a session, or closed and not yet durable.
///
/// A plain value: `fields` and `init(fields:)` are its form on the bus (an `a{sv}`), whoever packs it.
package struct ActivityRow: Equatable, Sendable {
    package enum Content: Equatable, Sendable {
        /// The session itself: one row a session, whether anything is open in it or not. The span is the session's life.
        case session(SessionID, stack: String, ended: EndReason? = nil)
        case focus(Application?, switches: UInt32)
        case burst(InputOrigin)
        case unknown(UnknownReason, lost: UInt64)
        /// A state change at the span's start, with what is known of the client; "" where not known.
        case state(StateChange.Kind, clientAddress: String = "", clientName: String = "")
    }

    package var session: UUIDv7
    package var user: UserIdentity
    package var content: Content
    package var start: BootInstant
    /// Nil while it is open.
    package var end: BootInstant?
    /// The moment of the answer, up to which open rows hold.
    package var now: BootInstant
    /// The anchor that gives wall times at `now`.
    package var anchor: ClockAnchor

    package init(
        session: UUIDv7, user: UserIdentity, content: Content, start: BootInstant, end: BootInstant?, now: BootInstant, anchor: ClockAnchor
    ) {
        self.session = session
        self.user = user
        self.content = content
        self.start = start
        self.end = end
        self.now = now
        self.anchor = anchor
    }

    /// A value as the bus has it.
    package enum Field: Equatable, Sendable {
        /// s
        case string(String)
        /// u
        case uint32(UInt32)
        /// t
        case uint64(UInt64)
        /// x
        case int64(Int64)
    }

    /// session-uuid s, user s, uid u, kind s, start t, end t (0: open), now t, anchor-boot t, anchor-wall x, and by kind:
    /// "session": session u, stack s, end-reason s ("" while it is open); "focus": executable s, class s ("" not known), window u (0: none had the focus), switches u;
    /// "burst": origin s; "unknown": reason s, lost t; "state": state s, client-address s, client-name s.
    package var fields: [String: Field] {
        var fields: [String: Field] = [
            "session-uuid": .string(session.description), "user": .string(user.login), "uid": .uint32(user.uid),
            "start": .uint64(start.nanoseconds), "end": .uint64(end?.nanoseconds ?? 0), "now": .uint64(now.nanoseconds),
            "anchor-boot": .uint64(anchor.boot.nanoseconds), "anchor-wall": .int64(anchor.wall.nanoseconds),
        ]
        switch content {
        case .session(let id, let stack, let reason):
            fields["kind"] = .string("session")
            fields["end-reason"] = .string(reason?.name ?? "")
            fields["session"] = .uint32(id.rawValue)
            fields["stack"] = .string(stack)
        case .focus(let application, let switches):
            fields["kind"] = .string("focus")
            fields["executable"] = .string(application?.executable ?? "")
            fields["class"] = .string(application?.windowClass ?? "")
            fields["window"] = .uint32(application == nil ? 0 : 1)
            fields["switches"] = .uint32(switches)
        case .burst(let origin):
            fields["kind"] = .string("burst")
            fields["origin"] = .string(String(describing: origin))
        case .unknown(let reason, let lost):
            fields["kind"] = .string("unknown")
            fields["reason"] = .string(reason.name)
            fields["lost"] = .uint64(lost)
        case .state(let kind, let address, let name):
            fields["kind"] = .string("state")
            fields["state"] = .string(kind.name)
            fields["client-address"] = .string(address)
            fields["client-name"] = .string(name)
        }
        return fields
    }

    /// Reads what `fields` gave; nil where something is missing or of another type. Fields that are not known are ignored.
    package init?(fields: [String: Field]) {
        func string(_ key: String) -> String? { if case .string(let value)? = fields[key] { value } else { nil } }
        func uint32(_ key: String) -> UInt32? { if case .uint32(let value)? = fields[key] { value } else { nil } }
        func uint64(_ key: String) -> UInt64? { if case .uint64(let value)? = fields[key] { value } else { nil } }
        guard let session = string("session-uuid").flatMap({ UUIDv7($0) }), let login = string("user"), let uid = uint32("uid"),
            let start = uint64("start"), let end = uint64("end"), let now = uint64("now"), let anchorBoot = uint64("anchor-boot"),
            case .int64(let anchorWall)? = fields["anchor-wall"]
        else { return nil }
        switch string("kind") {
        case "session":
            guard let id = uint32("session"), let stack = string("stack"), let reason = string("end-reason") else { return nil }
            content = .session(SessionID(rawValue: id), stack: stack, ended: EndReason.allCases.first { $0.name == reason })
        case "focus":
            guard let executable = string("executable"), let windowClass = string("class"), let window = uint32("window"),
                let switches = uint32("switches")
            else { return nil }
            content = .focus(
                window == 0 ? nil : Application(executable: executable.nonEmpty, windowClass: windowClass.nonEmpty), switches: switches)
        case "burst":
            guard let name = string("origin"),
                let origin = [InputOrigin.unknown, .device, .synthetic].first(where: { String(describing: $0) == name })
            else { return nil }
            content = .burst(origin)
        case "unknown":
            guard let name = string("reason"), let reason = UnknownReason.allCases.first(where: { $0.name == name }),
                let lost = uint64("lost")
            else { return nil }
            content = .unknown(reason, lost: lost)
        case "state":
            guard let state = string("state"), let kind = StateChange.Kind.allCases.first(where: { $0.name == state }),
                let address = string("client-address"), let name = string("client-name")
            else { return nil }
            content = .state(kind, clientAddress: address, clientName: name)
        default:
            return nil
        }
        self.session = session
        user = UserIdentity(login: login, uid: uid)
        self.start = BootInstant(nanoseconds: start)
        self.end = end == 0 ? nil : BootInstant(nanoseconds: end)
        self.now = BootInstant(nanoseconds: now)
        anchor = ClockAnchor(boot: BootInstant(nanoseconds: anchorBoot), wall: WallInstant(nanoseconds: anchorWall))
    }
}

extension ActivityRow {
    /// The rows of what a fold has open at `now`.
    ///
    /// - Parameter executable: what is behind the open focus interval, as far as it is known by now.
    package static func rows(
        of open: SessionFold.Open, session: UUIDv7, user: UserIdentity, executable: String?, now: BootInstant, anchor: ClockAnchor
    ) -> [ActivityRow] {
        var rows: [ActivityRow] = []
        func add(_ content: Content, _ start: BootInstant) {
            rows.append(ActivityRow(session: session, user: user, content: content, start: start, end: nil, now: now, anchor: anchor))
        }
        if let focus = open.focus { add(.focus(Application(focus, executable: executable), switches: focus.switches), focus.start) }
        if let burst = open.burst { add(.burst(burst.origin), burst.start) }
        if let unknown = open.unknown { add(.unknown(unknown.reason, lost: unknown.lost), unknown.start) }
        return rows
    }

    /// The rows of what a batch holds that is not durable yet: sessions, intervals and state changes, not checkpoints.
    ///
    /// - Parameter user: whose a session is; rows of a session for which it gives nil are left out.
    package static func rows(
        of batch: StoreBatch, now: BootInstant, anchor: ClockAnchor, user: (UUIDv7) -> UserIdentity?
    ) -> [ActivityRow] {
        var rows: [ActivityRow] = []
        func add(_ session: UUIDv7, _ content: Content, _ start: BootInstant, _ end: BootInstant?) {
            guard let user = user(session) else { return }
            rows.append(ActivityRow(session: session, user: user, content: content, start: start, end: end, now: now, anchor: anchor))
        }
        for session in batch.sessions {
            let end = batch.ended.first { $0.session == session.uuid }
            add(session.uuid, .session(session.id, stack: session.stack, ended: end?.reason), session.start, end?.at)
        }
        for event in batch.events {
            let (kind, at) = (event.change.kind, event.change.at)
            add(event.session, .state(kind, clientAddress: event.clientAddress, clientName: event.clientName), at, at)
        }
        for focus in batch.focus {
            add(focus.session, .focus(focus.application, switches: focus.switches), focus.span.start, focus.span.end)
        }
        for burst in batch.bursts { add(burst.session, .burst(burst.burst.origin), burst.burst.start, burst.burst.end) }
        for unknown in batch.unknowns {
            let interval = unknown.interval
            add(unknown.session, .unknown(interval.reason, lost: interval.lost), interval.start, interval.end)
        }
        return rows
    }
}
