import CXCB
import Glibc
import TermspanControl

/// One connection to an X server: requests that don't wait, replies and events that are taken when they have come.
///
/// Nothing here blocks except `open`, which the caller guards. The requests are all that the probe ever sends; the tests hold
/// them against the list in `Tests/TermspanX11Tests/allowed-requests.txt`.
struct XConnection: ~Copyable {
    /// A request whose answer is awaited.
    struct Request {
        fileprivate let sequence: UInt32
    }

    /// What has become of a request.
    enum Answer {
        case pending
        /// There was an answer, and the body was called with it.
        case reply
        /// The server refused, as it does when a window is gone.
        case error
        /// It is done, and there was nothing to answer.
        case done
        /// The connection is broken.
        case broken
    }

    private let connection: OpaquePointer
    /// For poll(2) alone.
    let descriptor: Int32
    let root: UInt32

    /// Speaks the handshake over a connected socket, which it takes over whatever happens; waits without limit.
    ///
    /// - Parameter cookie: MIT-MAGIC-COOKIE-1.
    init(socket: Int32, cookie: [UInt8]) throws(ProbeEnd) {
        var name: [CChar] = "MIT-MAGIC-COOKIE-1".utf8.map { CChar(bitPattern: $0) }
        var data = cookie.map { CChar(bitPattern: $0) }
        let nameCount = Int32(name.count)
        let dataCount = Int32(data.count)
        let opened = name.withUnsafeMutableBufferPointer { name in
            data.withUnsafeMutableBufferPointer { data in
                var info = xcb_auth_info_t(namelen: nameCount, name: name.baseAddress, datalen: dataCount, data: data.baseAddress)
                return xcb_connect_to_fd(socket, &info)
            }
        }
        guard let opened else { throw .failed(.connectionLost) }
        // libxcb has one error for every handshake that fails; nearly always the server refused.
        guard xcb_connection_has_error(opened) == 0, let setup = xcb_get_setup(opened) else {
            xcb_disconnect(opened)
            throw .failed(.refused)
        }
        let screens = xcb_setup_roots_iterator(setup)
        guard screens.rem > 0, let screen = screens.data else {
            xcb_disconnect(opened)
            throw .failed(.refused)
        }
        connection = opened
        descriptor = xcb_get_file_descriptor(opened)
        root = screen.pointee.root
    }

    deinit { xcb_disconnect(connection) }

    var isBroken: Bool { xcb_connection_has_error(connection) != 0 }

    /// Sends what is queued.
    func flush() { _ = xcb_flush(connection) }

    /// Takes a reply if it has come; the bytes are valid only within `body`.
    func poll(_ request: Request, _ body: (XBytes) -> Void) -> Answer {
        var reply: UnsafeMutableRawPointer?
        var error: UnsafeMutablePointer<xcb_generic_error_t>?
        if xcb_poll_for_reply(connection, request.sequence, &reply, &error) == 0 { return .pending }
        defer {
            free(reply)
            free(error)
        }
        if let reply {
            // libxcb allocates 32 bytes and four for each of the length that the reply begins with.
            let words = reply.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
            body(XBytes(UnsafeRawBufferPointer(start: reply, count: 32 + Int(words) * 4)))
            return .reply
        }
        if error != nil { return .error }
        return isBroken ? .broken : .done
    }

    /// Takes the next event, reading the socket once if none is queued; false when there is none.
    func takeEvent(reading: Bool, _ body: (XEvent) -> Void) -> Bool {
        guard let event = reading ? xcb_poll_for_event(connection) : xcb_poll_for_queued_event(connection) else { return false }
        defer { free(event) }
        body(XEvent(XBytes(UnsafeRawBufferPointer(start: event, count: 32))))
        return true
    }
}

// MARK: - Requests

extension XConnection {
    /// The largest part of a WM_CLASS that is read, in bytes.
    static let classLimit: UInt32 = 128

    /// Asks for all extensions, and for something after them whose answer shows that theirs have come.
    func prefetchExtensions() -> Request {
        termspan_x_prefetch_extensions(connection)
        return getInputFocus()
    }

    /// The code of an extension's first event; nil where the server lacks it. Call it after the answer to `prefetchExtensions`.
    func firstEvent(of extension: termspan_x_extension) -> UInt8? {
        var first: UInt8 = 0
        return termspan_x_extension(connection, `extension`, &first) ? first : nil
    }

    func internAtom(_ name: StaticString) -> Request {
        name.withUTF8Buffer { bytes in
            bytes.withMemoryRebound(to: CChar.self) {
                Request(sequence: xcb_intern_atom(connection, 0, UInt16($0.count), $0.baseAddress).sequence)
            }
        }
    }

    func getInputFocus() -> Request {
        Request(sequence: xcb_get_input_focus(connection).sequence)
    }

    /// Asks for the size and depth of the root window.
    func getScreen() -> Request {
        Request(sequence: xcb_get_geometry(connection, root).sequence)
    }

    func getProperty(_ atom: UInt32, of window: UInt32, words: UInt32) -> Request {
        Request(sequence: xcb_get_property(connection, 0, window, atom, UInt32(XCB_GET_PROPERTY_TYPE_ANY.rawValue), 0, words).sequence)
    }

    func getWindowClass(of window: UInt32) -> Request {
        getProperty(UInt32(XCB_ATOM_WM_CLASS.rawValue), of: window, words: Self.classLimit / 4)
    }

    func queryTree(_ window: UInt32) -> Request {
        Request(sequence: xcb_query_tree(connection, window).sequence)
    }

    /// Chooses which events of a window this client gets. A window that is gone gives an error event, which nobody minds.
    func selectEvents(_ mask: XEventMask, of window: UInt32) {
        var value = mask.rawValue
        xcb_change_window_attributes(connection, window, XCB_CW_EVENT_MASK.rawValue, &value)
    }

    func syncInitialize() -> Request {
        Request(sequence: xcb_sync_initialize(connection, 3, 1).sequence)
    }

    func listSystemCounters() -> Request {
        Request(sequence: xcb_sync_list_system_counters(connection).sequence)
    }

    func queryCounter(_ counter: UInt32) -> Request {
        Request(sequence: xcb_sync_query_counter(connection, counter).sequence)
    }

    /// Makes an alarm on a counter; an error comes as the answer.
    func createAlarm(_ counter: UInt32, _ arming: InputMonitor.Arming) -> (alarm: UInt32, request: Request) {
        let alarm = xcb_generate_id(connection)
        let mask = Self.armingMask | XCB_SYNC_CA_COUNTER.rawValue | XCB_SYNC_CA_VALUE_TYPE.rawValue
        let values: [UInt32] = [counter, XCB_SYNC_VALUETYPE_ABSOLUTE.rawValue] + Self.words(arming)
        return (alarm, Request(sequence: xcb_sync_create_alarm_checked(connection, alarm, mask, values).sequence))
    }

    /// Arms the alarm once more; changing it makes it active (SYNC, ChangeAlarm).
    func changeAlarm(_ alarm: UInt32, _ arming: InputMonitor.Arming) {
        xcb_sync_change_alarm(connection, alarm, Self.armingMask, Self.words(arming))
    }

    private static var armingMask: UInt32 {
        XCB_SYNC_CA_VALUE.rawValue | XCB_SYNC_CA_TEST_TYPE.rawValue | XCB_SYNC_CA_DELTA.rawValue | XCB_SYNC_CA_EVENTS.rawValue
    }

    /// Value, test type, delta 0 (the alarm then fires once), events wanted; in the order of the mask's bits.
    private static func words(_ arming: InputMonitor.Arming) -> [UInt32] {
        let (value, test) =
            switch arming {
            case .reaches(let value): (value, XCB_SYNC_TESTTYPE_POSITIVE_COMPARISON)
            case .fallsTo(let value): (value, XCB_SYNC_TESTTYPE_NEGATIVE_COMPARISON)
            }
        return [
            UInt32(truncatingIfNeeded: value >> 32), UInt32(truncatingIfNeeded: value), test.rawValue,
            0, 0, 1,
        ]
    }

    func resourceQueryVersion() -> Request {
        Request(sequence: xcb_res_query_version(connection, 1, 2).sequence)
    }

    /// Asks for the process whose client made the window.
    func queryLocalClientPID(of window: UInt32) -> Request {
        var spec = xcb_res_client_id_spec_t(client: window, mask: XCB_RES_CLIENT_ID_MASK_LOCAL_CLIENT_PID.rawValue)
        return Request(sequence: xcb_res_query_client_ids(connection, 1, &spec).sequence)
    }

    func inputQueryVersion() -> Request {
        Request(sequence: xcb_input_xi_query_version(connection, 2, 0).sequence)
    }

    /// Asks for all input devices' names and kinds; nothing of what they do.
    func queryDevices() -> Request {
        Request(sequence: xcb_input_xi_query_device(connection, 0).sequence)
    }
}

/// The event masks that the probe uses, and no other.
struct XEventMask: OptionSet {
    let rawValue: UInt32

    static let propertyChange = XEventMask(rawValue: XCB_EVENT_MASK_PROPERTY_CHANGE.rawValue)
    static let structureNotify = XEventMask(rawValue: XCB_EVENT_MASK_STRUCTURE_NOTIFY.rawValue)
    static let substructureNotify = XEventMask(rawValue: XCB_EVENT_MASK_SUBSTRUCTURE_NOTIFY.rawValue)
    static let focusChange = XEventMask(rawValue: XCB_EVENT_MASK_FOCUS_CHANGE.rawValue)
}
