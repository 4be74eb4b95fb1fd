import TermspanEvents

/// How long ago the display's input devices were used, real ones apart from those through which programs send input.
///
/// Real devices reset their own counter and the display's; XTEST resets the counter of its own slave device and the display's;
/// XResetScreenSaver resets all at once; XWarpPointer resets that of the device that was used last, so a jiggler that warps can
/// look real. What comes out is a hint.
struct DeviceIdleTimes {
    /// The least of the real slave devices' counters in milliseconds; nil where there is none.
    private(set) var real: Int64?
    /// The same of the XTEST slave devices.
    private(set) var synthetic: Int64?

    /// The greatest of those, and how many there are.
    private var syntheticLeastUsed: Int64 = 0
    private var syntheticCount = 0

    /// Devices that the server made at its start count from then, a few milliseconds apart, until they are first used.
    static let spreadOfUnused: Int64 = 50
    /// Counters are read one after the other and the display's before them.
    static let tolerance: Int64 = 250

    mutating func add(_ idle: Int64, isSynthetic: Bool) {
        if isSynthetic {
            synthetic = min(synthetic ?? .max, idle)
            syntheticLeastUsed = max(syntheticLeastUsed, idle)
            syntheticCount += 1
        } else {
            real = min(real ?? .max, idle)
        }
    }

    /// The origin of the input after which the display's own counter has the value `idle`.
    ///
    /// Unknown when both kinds of device claim it, as after a reset of all, and when all of XTEST's devices claim it alike and no
    /// real one does: a server none of whose devices was ever used.
    func origin(idle: Int64) -> InputOrigin {
        let (latest, overflow) = idle.addingReportingOverflow(Self.tolerance)
        guard !overflow else { return .unknown }
        switch (real.map { $0 <= latest } ?? false, synthetic.map { $0 <= latest } ?? false) {
        case (true, false): return .device
        case (false, true):
            return syntheticCount > 1 && syntheticLeastUsed - (synthetic ?? 0) <= Self.spreadOfUnused ? .unknown : .synthetic
        case (true, true), (false, false): return .unknown
        }
    }
}
