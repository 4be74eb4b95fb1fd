import Glibc

/// One thing that is fuzzed: what is done with the bytes of a run, and a few bytes to begin with.
struct FuzzTarget {
    var name: String
    /// One line for people.
    var about: String
    /// The longest input that is tried.
    var longest: Int
    var seeds: [[UInt8]]
    /// Traps, or says by `require` what does not hold.
    var run: @MainActor (UnsafeRawBufferPointer) -> Void

    static let all: [FuzzTarget] = [
        .lane, .laneThread, .aggregator, .events, .fold, .checkpoint, .control, .bus, .x11, .xauthority, .cookiePaths, .sessions,
        .journal, .configuration, .reports, .rendering, .json, .time, .programs, .imports,
    ]
    /// Each with a planted bug, to show that bugs are found.
    static let selfTests: [FuzzTarget] = [.plantedTrap, .plantedOverrun]
}

/// A finding, unless `condition` holds: libFuzzer saves the input.
func require(_ condition: Bool, _ promise: @autoclosure () -> String) {
    guard !condition else { return }
    let line = Array("BROKEN PROMISE: \(promise())\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
    abort()
}

/// Whether a terminal shows the text as it is: no control characters, which would be commands to it.
func isFitToPrint(_ text: String) -> Bool {
    !text.unicodeScalars.contains { $0.properties.generalCategory == .control || [0x2028, 0x2029].contains($0.value) }
}
