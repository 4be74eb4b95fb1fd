package import TermspanCore

/// A session as systemd-logind describes it (org.freedesktop.login1(5)): what is used of its properties.
package struct LogindSession: Hashable, Sendable, Codable {
    /// logind's own identifier: the audit session's number, or `cN`. Reused after logind restarts, so never a key by itself.
    package var id: String
    /// When the login began, microseconds of CLOCK_REALTIME; with `id` it identifies the login within a boot.
    package var timestamp: UInt64
    package var uid: UInt32
    package var userName: String
    /// The process that registered the login; 0 once it is gone.
    package var leader: UInt32
    /// The unit of the session's processes: `session-c3.scope`.
    package var scope: String
    /// The PAM service: `xrdp-sesman`, `sshd`, `lightdm`, …
    package var service: String
    /// `x11`, `wayland`, `tty`, `mir`, `unspecified`.
    package var type: String
    /// `user`, `greeter`, `manager`, `background`, …
    package var sessionClass: String
    /// `:10`, `localhost:10.0`, or empty: a claim of whoever registered the login.
    package var display: String
    package var seat: String
    package var virtualTerminal: UInt32
    package var tty: String
    package var isRemote: Bool
    package var remoteHost: String
    /// `opening`, `online`, `active`, `closing`.
    package var state: String
    package var isActive: Bool
    package var lockedHint: Bool
    /// The bus name of the logind that said so; nil where it isn't known. One that has started again has forgotten the hint.
    package var owner: String?

    package init(
        id: String, timestamp: UInt64 = 0, uid: UInt32, userName: String, leader: UInt32 = 0, scope: String = "",
        service: String = "", type: String = "unspecified", sessionClass: String = "user", display: String = "", seat: String = "",
        virtualTerminal: UInt32 = 0, tty: String = "", isRemote: Bool = false, remoteHost: String = "", state: String = "active",
        isActive: Bool = true, lockedHint: Bool = false
    ) {
        self.id = id
        self.timestamp = timestamp
        self.uid = uid
        self.userName = userName
        self.leader = leader
        self.scope = scope
        self.service = service
        self.type = type
        self.sessionClass = sessionClass
        self.display = display
        self.seat = seat
        self.virtualTerminal = virtualTerminal
        self.tty = tty
        self.isRemote = isRemote
        self.remoteHost = remoteHost
        self.state = state
        self.isActive = isActive
        self.lockedHint = lockedHint
    }

    /// By which it is recognised within a boot: logind gives its IDs again.
    package var key: SessionKey { .logind(id: id, timestamp: timestamp) }

    /// When the login began.
    package var began: WallInstant {
        WallInstant(nanoseconds: Int64(clamping: timestamp.multipliedReportingOverflow(by: 1000).partialValue))
    }

    /// How long what belongs to a login may take to come after it: its client's connection, its X server.
    package static let youth: Duration = .seconds(30)

    package func isYoung(at moment: WallInstant) -> Bool { began.duration(to: moment) < Self.youth }

    /// The number of the local X display that the session names, if it names one: `:10` or `:10.0`, never `localhost:10.0`.
    package var displayNumber: UInt16? {
        guard display.hasPrefix(":") else { return nil }
        return UInt16(canonical: display.dropFirst().prefix { $0 != "." })
    }

    /// The other machine whose X server the session names: `192.0.2.9:0`; nil for `:0` and for X that ssh forwards.
    package var displayHost: String? {
        guard let colon = display.lastIndex(of: ":") else { return nil }
        let host = display[..<colon].drop { $0 == "[" }.prefix { $0 != "]" }
        return host.isEmpty || host == "localhost" || host == "unix" ? nil : String(host)
    }

    /// Where a desktop is in front of somebody, and a logon takes over from a logon screen: its seat, or the X terminal.
    package var place: String? {
        guard type != "tty", service != "sshd" else { return nil }
        return seat.isEmpty ? displayHost.map { _ in display } : seat
    }

    package var isWayland: Bool { type == "wayland" }

    /// Whether the login is one of a person, rather than of a service manager or a background job.
    package var isInteractive: Bool {
        !sessionClass.hasPrefix("manager") && !sessionClass.hasPrefix("background")
    }

    /// Nobody is logged on there: a logon screen.
    package var isGreeter: Bool { sessionClass == "greeter" }
}

extension UInt16 {
    /// Reads a display's number as the programs that name displays write it: digits alone, without a sign or leading zeros, so that a
    /// display has one name.
    init?(canonical text: Substring) {
        guard let number = UInt16(text), text.utf8.elementsEqual(String(number).utf8) else { return nil }
        self = number
    }
}
