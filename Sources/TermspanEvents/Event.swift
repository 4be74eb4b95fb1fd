package import TermspanCore

/// What a source tells of its session, free of the terms of any display system.
///
/// Every event travels with the moment of its observation, which the ring's header carries; where something began or ended
/// earlier than it was observed, the payload says when.
package enum Event: Equatable, Sendable {
    /// Another window, or none, has the focus.
    case focusChanged(Focus)
    /// There is input after a gap of the burst gap or more.
    case inputBegan(InputEdge)
    /// There has been no input for the burst gap; the edge names the last input.
    case inputEnded(InputEdge)
    /// The whole state at one moment, as the collector asked for it.
    case snapshot(Snapshot)
    /// The source itself missed events: what happened since `from` is not known.
    case sourceGap(from: BootInstant)
}

/// What has the focus.
package struct Focus: Equatable, Sendable {
    /// The window's identity within its display; 0 means that no window has the focus.
    package var window: UInt32
    package var process: ProcessClaim
    /// The class that the window's program gave it: a claim, and hostile bytes.
    package var windowClass: WindowClass

    @inlinable
    package init(window: UInt32, process: ProcessClaim, windowClass: WindowClass) {
        self.window = window
        self.process = process
        self.windowClass = windowClass
    }

    /// No window has the focus.
    package static let none = Focus(window: 0, process: .none, windowClass: WindowClass())

    /// A window had the focus, and was gone again before the source could see which. No display system gives a window this number.
    package static let unseen = Focus(window: .max, process: .none, windowClass: WindowClass())
}

/// A process as a source names it.
package struct ProcessClaim: Equatable, Sendable {
    /// Who says so.
    package enum Origin: UInt8, Sendable {
        /// Nobody: the pid is 0.
        case none = 0
        /// The display server, from the peer's credentials (X-Resource).
        case server = 1
        /// The client itself (`_NET_WM_PID`): a claim that has to be checked.
        case client = 2
    }

    package var pid: UInt32
    package var origin: Origin

    @inlinable
    package init(pid: UInt32, origin: Origin) {
        self.pid = pid
        self.origin = origin
    }

    package static let none = ProcessClaim(pid: 0, origin: .none)
}

/// Where input came from, as far as the source can tell. A hint, not a proof.
package enum InputOrigin: UInt8, Sendable {
    case unknown = 0
    /// A real input device, or the remote client's.
    case device = 1
    /// A program (XTEST and the like).
    case synthetic = 2
}

/// Input began or ended.
package struct InputEdge: Equatable, Sendable {
    /// When it did, which can be up to the burst gap before it was observed.
    package var effective: BootInstant
    package var origin: InputOrigin

    @inlinable
    package init(effective: BootInstant, origin: InputOrigin) {
        self.effective = effective
        self.origin = origin
    }
}

/// A source's whole state at one moment.
package struct Snapshot: Equatable, Sendable {
    /// The number with which the collector asked; 0 for the one that a source sends by itself when it starts.
    package var id: UInt64
    package var focus: Focus
    /// Whether an input burst is open.
    package var inputOpen: Bool
    /// The last input that the source knows of.
    package var lastInput: InputEdge?

    @inlinable
    package init(id: UInt64, focus: Focus, inputOpen: Bool, lastInput: InputEdge?) {
        self.id = id
        self.focus = focus
        self.inputOpen = inputOpen
        self.lastInput = lastInput
    }
}

/// A window's class: at most 128 bytes, as the program set them, in no certain encoding.
package struct WindowClass: Hashable, Sendable {
    package static let capacity = 128

    @usableFromInline var storage: InlineArray<128, UInt8>
    /// How many of the bytes count.
    package private(set) var count: Int

    package init() {
        storage = InlineArray(repeating: 0)
        count = 0
    }

    /// Takes the first 128 of the bytes.
    package init(_ bytes: some Sequence<UInt8>) {
        self.init()
        for byte in bytes.prefix(Self.capacity) {
            storage[count] = byte
            count += 1
        }
    }

    /// Likewise, for bytes that lie in a row: at one go.
    package init(_ bytes: UnsafeRawBufferPointer) {
        self.init()
        count = min(bytes.count, Self.capacity)
        withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes.prefix(count))) }
    }

    /// Calls `body` with each byte.
    package func forEach(_ body: (UInt8) -> Void) {
        for index in 0..<count { body(storage[index]) }
    }

    package subscript(index: Int) -> UInt8 { storage[index] }

    /// The class as text: invalid UTF-8 repaired, control characters replaced by U+FFFD.
    package var text: String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        forEach { bytes.append($0) }
        let scalars = String(decoding: bytes, as: UTF8.self).unicodeScalars.map { scalar -> Character in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: "\u{FFFD}"
            default: Character(scalar)
            }
        }
        return String(scalars)
    }

    package static func == (lhs: WindowClass, rhs: WindowClass) -> Bool {
        guard lhs.count == rhs.count else { return false }
        let (left, right) = (lhs.storage.span, rhs.storage.span)
        for index in 0..<lhs.count where left[index] != right[index] { return false }
        return true
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(count)
        for index in 0..<count { hasher.combine(storage[index]) }
    }
}
