package import TermspanControl

/// Why a probe's work is over.
package enum ProbeEnd: Error, Equatable {
    /// The collector asked for it.
    case stopped
    /// The collector closed the control channel.
    case controlClosed
    /// The probe can't go on, and tells the collector why.
    case failed(ProbeFailure)

    /// The status with which the program exits: 0 when the collector or the X server ended it, else 10 and the reason's number.
    package var exitStatus: Int32 {
        switch self {
        case .stopped, .controlClosed, .failed(.connectionLost): 0
        case .failed(let reason): 10 + Int32(reason.rawValue)
        }
    }
}
