import CXCB
import Glibc
import TermspanSystem

/// An X client of a test's own: windows and root properties as it likes.
final class TestClient {
    private let connection: OpaquePointer
    let root: UInt32

    init(_ display: TestDisplay) throws {
        var name = Array("MIT-MAGIC-COOKIE-1".utf8CString.dropLast())
        var data = display.cookie.map { CChar(bitPattern: $0) }
        let socket = try display.connect().release()
        let opened = name.withUnsafeMutableBufferPointer { name in
            data.withUnsafeMutableBufferPointer { data in
                var info = xcb_auth_info_t(
                    namelen: Int32(name.count), name: name.baseAddress, datalen: Int32(data.count), data: data.baseAddress)
                return xcb_connect_to_fd(socket, &info)
            }
        }
        guard let opened, xcb_connection_has_error(opened) == 0, let setup = xcb_get_setup(opened),
            let screen = xcb_setup_roots_iterator(setup).data
        else { throw SystemError(code: ECONNREFUSED, operation: "xcb_connect_to_fd") }
        connection = opened
        root = screen.pointee.root
    }

    deinit { xcb_disconnect(connection) }

    func atom(_ name: String) -> UInt32 {
        let reply = xcb_intern_atom_reply(connection, xcb_intern_atom(connection, 0, UInt16(name.utf8.count), name), nil)
        defer { free(reply) }
        return reply?.pointee.atom ?? 0
    }

    /// A window that was never shown.
    func window(class name: String? = nil) -> UInt32 {
        let window = xcb_generate_id(connection)
        xcb_create_window(connection, 0, window, root, 0, 0, 100, 100, 0, UInt16(XCB_WINDOW_CLASS_INPUT_OUTPUT.rawValue), 0, 0, nil)
        if let name {
            let value = Array("instance\0\(name)\0".utf8)
            xcb_change_property(
                connection, UInt8(XCB_PROP_MODE_REPLACE.rawValue), window, UInt32(XCB_ATOM_WM_CLASS.rawValue),
                UInt32(XCB_ATOM_STRING.rawValue), 8, UInt32(value.count), value)
        }
        return window
    }

    func destroy(_ window: UInt32) { xcb_destroy_window(connection, window) }

    func set(_ property: UInt32, of window: UInt32, to words: [UInt32]) {
        xcb_change_property(
            connection, UInt8(XCB_PROP_MODE_REPLACE.rawValue), window, property, UInt32(XCB_ATOM_WINDOW.rawValue), 32,
            UInt32(words.count), words)
    }

    /// Whether a window manager has said that it is there.
    var hasManager: Bool {
        let request = xcb_get_property(connection, 0, root, atom("_NET_SUPPORTING_WM_CHECK"), 0, 0, 1)
        let reply = xcb_get_property_reply(connection, request, nil)
        defer { free(reply) }
        return reply?.pointee.format == 32
    }

    /// Poses as a window manager that names the active window.
    func becomeManager() {
        let check = window()
        set(atom("_NET_SUPPORTED"), of: root, to: [atom("_NET_ACTIVE_WINDOW")])
        set(atom("_NET_SUPPORTING_WM_CHECK"), of: check, to: [check])
        set(atom("_NET_SUPPORTING_WM_CHECK"), of: root, to: [check])
        sync()
    }

    /// Waits until the server has done everything.
    func sync() {
        free(xcb_get_input_focus_reply(connection, xcb_get_input_focus(connection), nil))
    }
}
