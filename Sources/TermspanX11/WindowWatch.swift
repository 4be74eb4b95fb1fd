import TermspanCore
import TermspanEvents

/// How the window with the focus is found, and which events that needs.
///
/// | there is | events | how it is read |
/// | --- | --- | --- |
/// | a window manager that names the active window (EWMH) | PropertyChange and StructureNotify on the root | `_NET_ACTIVE_WINDOW` |
/// | none, or an old one | also SubstructureNotify and FocusChange on the root, FocusChange on the windows below it | GetInputFocus |
///
/// StructureNotify on the root tells when the screen has another size. PropertyChange is never selected on a window of a client: toolkits set `_NET_WM_USER_TIME` there at each key. FocusChange is,
/// and only without a window manager: the root's own tells nothing of a move from one window to another.
enum WindowWatch {
    case activeWindow
    /// The windows on which FocusChange is selected, to be left alone once a window manager has started.
    case inputFocus(watched: [UInt32])

    static let rootAlways: XEventMask = [.propertyChange, .structureNotify]
    static let rootWithoutManager: XEventMask = [.propertyChange, .structureNotify, .substructureNotify, .focusChange]
    static let windowWithoutManager: XEventMask = .focusChange

    /// How many windows are watched at most; no desktop comes near, and a hostile one gains nothing.
    static let windowLimit = 1024
    /// How far up from the window with the focus a class is looked for.
    static let depthLimit = 8
}

/// The numbers that the server gave to the names of properties.
struct Atoms {
    var activeWindow: UInt32
    var supportingCheck: UInt32
    var supported: UInt32
    var processID: UInt32

    init(of session: inout XSession) throws(ProbeEnd) {
        let requests = (
            session.x.internAtom("_NET_ACTIVE_WINDOW"), session.x.internAtom("_NET_SUPPORTING_WM_CHECK"),
            session.x.internAtom("_NET_SUPPORTED"), session.x.internAtom("_NET_WM_PID")
        )
        activeWindow = try session.atom(requests.0)
        supportingCheck = try session.atom(requests.1)
        supported = try session.atom(requests.2)
        processID = try session.atom(requests.3)
    }
}

extension XSession {
    /// A number that no property has, 0, where the server does not give one.
    fileprivate mutating func atom(_ request: XConnection.Request) throws(ProbeEnd) -> UInt32 {
        try answer(request) { $0.load(UInt32.self, at: 8) } ?? 0
    }

    /// Finds out how the focus is to be watched, and selects the events for it.
    mutating func beginWatching(_ atoms: Atoms, before: WindowWatch?) throws(ProbeEnd) -> WindowWatch {
        // Before anything is read, so that no change after the reading is missed.
        if before == nil { x.selectEvents(WindowWatch.rootAlways, of: x.root) }
        let managed = try hasManager(atoms)
        switch (before, managed) {
        case (.activeWindow, true), (.inputFocus, false):
            return before ?? .activeWindow
        case (nil, true):
            return .activeWindow
        case (.inputFocus(let watched), true):
            x.selectEvents(WindowWatch.rootAlways, of: x.root)
            for window in watched { x.selectEvents([], of: window) }
            return .activeWindow
        case (nil, false), (.activeWindow, false):
            x.selectEvents(WindowWatch.rootWithoutManager, of: x.root)
            let windows = try answer(x.queryTree(x.root)) { XReplies.children($0, limit: WindowWatch.windowLimit) } ?? []
            for window in windows { x.selectEvents(WindowWatch.windowWithoutManager, of: window) }
            return .inputFocus(watched: windows)
        }
    }

    /// Whether a window manager is there and names the active window.
    ///
    /// The root's `_NET_SUPPORTING_WM_CHECK` names a window that bears the same property with its own number; after a window
    /// manager has died the root's is stale, and the window gone.
    private mutating func hasManager(_ atoms: Atoms) throws(ProbeEnd) -> Bool {
        let check = x.getProperty(atoms.supportingCheck, of: x.root, words: 1)
        let supported = x.getProperty(atoms.supported, of: x.root, words: 1024)
        let window = try answer(check) { XReplies.firstWord($0) }
        let named = try answer(supported) { XReplies.words($0, contain: atoms.activeWindow) }
        guard let window, window != 0, named == true else { return false }
        return try answer(x.getProperty(atoms.supportingCheck, of: window, words: 1)) { XReplies.firstWord($0) } == window
    }

    /// What has the focus now. When that is the same window as `known`, that is returned without more questions.
    mutating func readFocus(
        _ watch: WindowWatch, _ atoms: Atoms, namesProcesses: Bool, known: Focus?
    ) throws(ProbeEnd) -> Focus {
        switch watch {
        case .activeWindow:
            let window =
                try answer(x.getProperty(atoms.activeWindow, of: x.root, words: 1)) { XReplies.firstWord($0) } ?? 0
            if window == 0 || window == x.root { return .none }
            if let known, known.window == window { return known }
            let name = x.getWindowClass(of: window)
            let process = processRequest(window, atoms, namesProcesses: namesProcesses)
            let windowClass = try answer(name) { XReplies.windowClass($0) }
            return Focus(
                window: window, process: try self.process(process, namesProcesses: namesProcesses),
                windowClass: windowClass ?? WindowClass())

        case .inputFocus:
            let window = try answer(x.getInputFocus()) { $0.load(UInt32.self, at: 8) } ?? 0
            // 0 is none; 1 is the window under the pointer, which only asking for the pointer again and again would tell.
            if window <= 1 || window == x.root { return .none }
            return try climb(from: window, atoms, namesProcesses: namesProcesses, known: known)
        }
    }

    /// The window with the focus can be one inside the window that bears the class, and that inside a frame without one.
    private mutating func climb(
        from window: UInt32, _ atoms: Atoms, namesProcesses: Bool, known: Focus?
    ) throws(ProbeEnd) -> Focus {
        var candidate = window
        for _ in 0..<WindowWatch.depthLimit {
            let name = x.getWindowClass(of: candidate)
            let tree = x.queryTree(candidate)
            let process = processRequest(candidate, atoms, namesProcesses: namesProcesses)
            let windowClass = try answer(name) { XReplies.windowClass($0) }
            let parent = try answer(tree) { $0.load(UInt32.self, at: 12) }
            let claim = try self.process(process, namesProcesses: namesProcesses)
            if let windowClass {
                if let known, known.window == candidate { return known }
                return Focus(window: candidate, process: claim, windowClass: windowClass)
            }
            guard let parent, parent != 0, parent != x.root else {
                return Focus(window: window, process: claim, windowClass: WindowClass())
            }
            candidate = parent
        }
        return Focus(window: window, process: .none, windowClass: WindowClass())
    }

    /// X-Resource's word is the server's own; `_NET_WM_PID` is asked for only where the server has none.
    private func processRequest(_ window: UInt32, _ atoms: Atoms, namesProcesses: Bool) -> XConnection.Request {
        namesProcesses ? x.queryLocalClientPID(of: window) : x.getProperty(atoms.processID, of: window, words: 1)
    }

    private mutating func process(_ request: XConnection.Request, namesProcesses: Bool) throws(ProbeEnd) -> ProcessClaim {
        let pid = try answer(request) { reply in
            namesProcesses ? XReplies.localClientPID(reply) : XReplies.firstWord(reply).flatMap(XReplies.plausiblePID)
        }
        guard let pid else { return .none }
        return ProcessClaim(pid: pid, origin: namesProcesses ? .server : .client)
    }
}
