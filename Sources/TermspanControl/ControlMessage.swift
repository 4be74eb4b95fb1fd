package import TermspanCore

/// What the collector and a probe say to each other: one message a SEQPACKET datagram, little-endian, at most 64 bytes.
///
/// | type | from | fields | descriptors |
/// | --- | --- | --- | --- |
/// | 1 start | collector | level u8, display u16, burst gap in ms u32, cookie 16 bytes | X socket, lane's control, lane's events, doorbell |
/// | 2 snapshot | collector | id u64 | |
/// | 3 level | collector | level u8 | |
/// | 4 stop | collector | | |
/// | 65 ready | probe | features u32 | |
/// | 66 failed | probe | reason u8 | |
/// | 67 screen | probe | width u16, height u16, depth u8 | |
///
/// The type is the first byte. The answer to a snapshot is an event in the lane, so that it has its place among the others, and the screen.
/// The screen comes once the probe is ready and whenever it has changed.
/// A probe that receives anything else ends; a collector that does, stops the probe.
package enum ControlMessage: Equatable, Sendable {
    case start(Start)
    case snapshot(id: UInt64)
    case level(PrivacyLevel)
    case stop
    case ready(ProbeFeatures)
    case failed(ProbeFailure)
    case screen(Screen)

    /// What a probe needs to begin; its four descriptors come with the same datagram, in the order of the table.
    package struct Start: Equatable, Sendable {
        package var level: PrivacyLevel
        /// The X display's number, which the probe only reports back in errors.
        package var display: UInt16
        /// A pause in the input of this many milliseconds ends a burst.
        package var burstGapMilliseconds: UInt32
        /// MIT-MAGIC-COOKIE-1: 16 bytes.
        package var cookie: [UInt8]

        package init(level: PrivacyLevel, display: UInt16, burstGapMilliseconds: UInt32, cookie: [UInt8]) {
            precondition(cookie.count == Self.cookieLength)
            self.level = level
            self.display = display
            self.burstGapMilliseconds = burstGapMilliseconds
            self.cookie = cookie
        }

        package static let cookieLength = 16
        package static let descriptorCount = 4
    }

    /// The longest message in bytes.
    package static let maximumLength = 64
}

/// The size of an X server's screen in pixels, over all monitors, and the depth of its root window in bits.
package struct Screen: Hashable, Sendable {
    package let width: UInt16
    package let height: UInt16
    package let depth: UInt8

    /// - Returns: nil for what no screen can be.
    package init?(width: UInt16, height: UInt16, depth: UInt8) {
        guard width > 0, height > 0, (1...32).contains(depth) else { return nil }
        (self.width, self.height, self.depth) = (width, height, depth)
    }
}

/// What a probe found its X server to have.
package struct ProbeFeatures: OptionSet, Hashable, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// X-Resource 1.2: the server itself names the process of a window.
    package static let serverPIDs = ProbeFeatures(rawValue: 1 << 0)
    /// SYNC's IDLETIME counter: input edges are measured.
    package static let idleTime = ProbeFeatures(rawValue: 1 << 1)
    /// SYNC's idle counter of each device: synthetic input can be told apart.
    package static let deviceIdleTime = ProbeFeatures(rawValue: 1 << 2)
    /// A window manager that names the active window.
    package static let activeWindow = ProbeFeatures(rawValue: 1 << 3)
}

/// Why a probe ended by itself.
package enum ProbeFailure: UInt8, CaseIterable, Sendable {
    /// The X server refused the connection: the cookie is wrong or access is denied.
    case refused = 1
    /// The X server has no SYNC extension or no IDLETIME counter.
    case missingExtension = 2
    /// The X server did not answer in time.
    case timeout = 3
    /// The connection to the X server ended.
    case connectionLost = 4
    /// The lane's memory is not of the form that this probe knows.
    case lane = 5
    /// The collector sent what the protocol does not have.
    case `protocol` = 6
    /// The probe could not give up the system calls that it must not have.
    case confinement = 7

    /// One line for people.
    package var explanation: String {
        switch self {
        case .refused: "the X server refused the connection"
        case .missingExtension: "the X server lacks SYNC with an IDLETIME counter"
        case .timeout: "the X server did not answer in time"
        case .connectionLost: "the connection to the X server ended"
        case .lane: "the lane is not of a known form"
        case .confinement: "the system-call filter could not be installed"
        case .protocol: "a message on the control channel was not understood"
        }
    }
}
