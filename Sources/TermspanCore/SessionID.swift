/// The small number of a session, as Windows Terminal Services numbers its sessions.
///
/// 0 is the system's session; users get the lowest free number from 1 up; listeners are numbered from 65536.
package struct SessionID: RawRepresentable, Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    package var rawValue: UInt32

    @inlinable
    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// The services' session.
    package static let services = SessionID(rawValue: 0)
    /// The first number that a user's session can have.
    package static let firstUser = SessionID(rawValue: 1)
    /// The first number of listeners; users' numbers stay below.
    package static let firstListener = SessionID(rawValue: 65536)

    package var description: String { String(rawValue) }

    @inlinable
    package static func < (lhs: SessionID, rhs: SessionID) -> Bool { lhs.rawValue < rhs.rawValue }
}
