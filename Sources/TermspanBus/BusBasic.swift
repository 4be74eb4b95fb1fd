import CSystemd

/// A Swift type that is one of D-Bus's basic types. Paths, signatures and descriptors have functions of their own.
package protocol BusBasic {
    /// The type's letter.
    static var busType: CChar { get }
    /// Appends the value (sd_bus_message_append_basic(3)); a negative result is a negated errno.
    func appendBasic(to message: OpaquePointer) -> Int32
    /// Reads one (sd_bus_message_read_basic(3)): a negated errno, 0 at the end, else positive.
    static func readBasic(from message: OpaquePointer, into value: inout Self) -> Int32
    /// What a value is before it has been read.
    static var busZero: Self { get }
}

/// Types whose memory is what libsystemd reads and writes.
package protocol BusFixed: BusBasic, BitwiseCopyable {}

extension BusFixed {
    package func appendBasic(to message: OpaquePointer) -> Int32 {
        withUnsafeBytes(of: self) { sd_bus_message_append_basic(message, Self.busType, $0.baseAddress) }
    }

    package static func readBasic(from message: OpaquePointer, into value: inout Self) -> Int32 {
        withUnsafeMutableBytes(of: &value) { sd_bus_message_read_basic(message, busType, $0.baseAddress) }
    }
}

extension UInt8: BusFixed {
    package static var busType: CChar { CChar(truncatingIfNeeded: UInt8(ascii: "y")) }
    package static var busZero: UInt8 { 0 }
}
extension Int16: BusFixed {
    package static var busType: CChar { CChar(truncatingIfNeeded: UInt8(ascii: "n")) }
    package static var busZero: Int16 { 0 }
}
extension UInt16: BusFixed {
    package static var busType: CChar { CChar(truncatingIfNeeded: UInt8(ascii: "q")) }
    package static var busZero: UInt16 { 0 }
}
extension Int32: BusFixed {
    package static var busType: CChar { CChar(truncatingIfNeeded: UInt8(ascii: "i")) }
    package static var busZero: Int32 { 0 }
}
extension UInt32: BusFixed {
    package static var busType: CChar { CChar(truncatingIfNeeded: UInt8(ascii: "u")) }
    package static var busZero: UInt32 { 0 }
}
extension Int64: BusFixed {
    package static var busType: CChar { CChar(truncatingIfNeeded: UInt8(ascii: "x")) }
    package static var busZero: Int64 { 0 }
}
extension UInt64: BusFixed {
    package static var busType: CChar { CChar(truncatingIfNeeded: UInt8(ascii: "t")) }
    package static var busZero: UInt64 { 0 }
}
extension Double: BusFixed {
    package static var busType: CChar { CChar(truncatingIfNeeded: UInt8(ascii: "d")) }
    package static var busZero: Double { 0 }
}

extension Bool: BusBasic {
    package static var busType: CChar { CChar(truncatingIfNeeded: UInt8(ascii: "b")) }
    package static var busZero: Bool { false }

    package func appendBasic(to message: OpaquePointer) -> Int32 {
        // libsystemd's booleans are ints.
        withUnsafeBytes(of: Int32(self ? 1 : 0)) { sd_bus_message_append_basic(message, Self.busType, $0.baseAddress) }
    }

    package static func readBasic(from message: OpaquePointer, into value: inout Bool) -> Int32 {
        var number: Int32 = 0
        let result = withUnsafeMutableBytes(of: &number) { sd_bus_message_read_basic(message, busType, $0.baseAddress) }
        value = number != 0
        return result
    }
}

extension String: BusBasic {
    package static var busType: CChar { CChar(truncatingIfNeeded: UInt8(ascii: "s")) }
    package static var busZero: String { "" }

    /// The text up to its first NUL character, which D-Bus can't carry.
    package func appendBasic(to message: OpaquePointer) -> Int32 {
        withCString { sd_bus_message_append_basic(message, Self.busType, $0) }
    }

    package static func readBasic(from message: OpaquePointer, into value: inout String) -> Int32 {
        var text: UnsafePointer<CChar>?
        let result = withUnsafeMutableBytes(of: &text) { sd_bus_message_read_basic(message, busType, $0.baseAddress) }
        if result > 0, let text { value = String(cString: text) }
        return result
    }
}
