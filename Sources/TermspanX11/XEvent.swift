import CXCB

/// An event that the probe selects, read within the bounds of its 32 bytes.
enum XEvent {
    /// A property changed, on the root window since no other is watched for it; the time is the server's.
    case property(atom: UInt32, time: UInt32?)
    /// The keyboard focus went into or out of a window.
    case focus
    /// There is a new window, or one was moved to another parent.
    case windowAdded(UInt32, parent: UInt32)
    /// A window below the root was unmapped.
    case windowHidden
    case windowRemoved(UInt32)
    /// A window has this size now; the root's is the screen's.
    case resized(UInt32, width: UInt16, height: UInt16)
    /// An event of an extension, by its code.
    case other(code: UInt8, XBytes)
    case ignored

    init(_ bytes: XBytes) {
        // The highest bit marks what another client sent (SendEvent): never believed.
        guard let code = bytes.load(UInt8.self, at: 0), code & 0x80 == 0 else {
            self = .ignored
            return
        }
        switch Int32(code) {
        case XCB_PROPERTY_NOTIFY:
            self = .property(atom: bytes.load(UInt32.self, at: 8) ?? 0, time: bytes.load(UInt32.self, at: 12))
        case XCB_FOCUS_IN, XCB_FOCUS_OUT:
            // Keyboard grabs come and go with shortcuts and menus and don't move the focus.
            let mode = bytes.load(UInt8.self, at: 8) ?? 0
            self = mode == XCB_NOTIFY_MODE_GRAB.rawValue || mode == XCB_NOTIFY_MODE_UNGRAB.rawValue ? .ignored : .focus
        case XCB_CREATE_NOTIFY:
            self = .windowAdded(bytes.load(UInt32.self, at: 8) ?? 0, parent: bytes.load(UInt32.self, at: 4) ?? 0)
        case XCB_REPARENT_NOTIFY:
            self = .windowAdded(bytes.load(UInt32.self, at: 8) ?? 0, parent: bytes.load(UInt32.self, at: 12) ?? 0)
        case XCB_UNMAP_NOTIFY:
            self = .windowHidden
        case XCB_DESTROY_NOTIFY:
            self = .windowRemoved(bytes.load(UInt32.self, at: 8) ?? 0)
        case XCB_CONFIGURE_NOTIFY:
            self = .resized(
                bytes.load(UInt32.self, at: 8) ?? 0, width: bytes.load(UInt16.self, at: 20) ?? 0,
                height: bytes.load(UInt16.self, at: 22) ?? 0)
        default:
            self = .other(code: code, bytes)
        }
    }
}
