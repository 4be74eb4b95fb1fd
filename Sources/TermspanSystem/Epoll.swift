import CTermspanLinux
import TermspanCore

/// What is waited for, and what was found (epoll_ctl(2)).
package struct EpollEvents: OptionSet, Hashable, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    package static let readable = EpollEvents(rawValue: 0x1)
    package static let writable = EpollEvents(rawValue: 0x4)
    package static let error = EpollEvents(rawValue: 0x8)
    package static let hangUp = EpollEvents(rawValue: 0x10)
    package static let readHangUp = EpollEvents(rawValue: 0x2000)
    package static let edgeTriggered = EpollEvents(rawValue: 1 << 31)
    package static let oneShot = EpollEvents(rawValue: 1 << 30)
}

/// An epoll(7) set. One thread waits; any thread may add and remove.
@safe package struct Epoll: ~Copyable {
    // Of <sys/epoll.h>, which Glibc's module lacks.
    private enum Operation {
        static let add: Int32 = 1
        static let remove: Int32 = 2
        static let modify: Int32 = 3
    }

    private let descriptor: OwnedDescriptor
    private let events: UnsafeMutablePointer<termspan_epoll_event>

    /// The most events that one wait returns.
    package static var batch: Int { 64 }

    package init() throws(SystemError) {
        descriptor = OwnedDescriptor(try check(termspan_epoll_create(), "epoll_create"))
        unsafe events = .allocate(capacity: Self.batch)
    }

    deinit {
        unsafe events.deallocate()
    }

    /// The set itself, which is readable when one of its descriptors is ready: sets nest.
    package var raw: Int32 { descriptor.raw }

    /// Waits for a descriptor, which must stay open as long as it is in the set.
    ///
    /// - Parameter token: What the wait names it by.
    package borrowing func add(_ raw: Int32, _ interest: EpollEvents, token: UInt64) throws(SystemError) {
        try check(termspan_epoll_control(descriptor.raw, Operation.add, raw, interest.rawValue, token), "epoll_ctl")
    }

    package borrowing func modify(_ raw: Int32, _ interest: EpollEvents, token: UInt64) throws(SystemError) {
        try check(termspan_epoll_control(descriptor.raw, Operation.modify, raw, interest.rawValue, token), "epoll_ctl")
    }

    /// Takes a descriptor out. Events of it that a wait has returned already are still passed on.
    package borrowing func remove(_ raw: Int32) throws(SystemError) {
        try check(termspan_epoll_control(descriptor.raw, Operation.remove, raw, 0, 0), "epoll_ctl")
    }

    /// Waits and calls `body` with each token and what was found.
    ///
    /// - Parameter timeout: `nil` waits for ever; rounded up to milliseconds. A signal ends the wait early, with no event.
    /// - Returns: How many events there were.
    @discardableResult
    package mutating func wait(timeout: Duration?, _ body: (UInt64, EpollEvents) -> Void) throws(SystemError) -> Int {
        let milliseconds = timeout?.pollTimeout ?? -1
        let count = unsafe Int(try check(termspan_epoll_wait(descriptor.raw, events, Int32(Self.batch), milliseconds), "epoll_wait"))
        for index in 0..<count {
            let event = unsafe events[index]
            body(event.token, EpollEvents(rawValue: event.events))
        }
        return count
    }
}

/// Waits for one descriptor (poll(2)).
///
/// - Returns: Whether it became ready (hang-up and error included); false at the time limit or after a signal.
package func poll(_ descriptor: borrowing OwnedDescriptor, for interest: EpollEvents, timeout: Duration?) throws(SystemError) -> Bool {
    let events = Int16(truncatingIfNeeded: interest.rawValue & 0x7)
    return try check(termspan_poll(descriptor.raw, events, timeout?.pollTimeout ?? -1), "poll") != 0
}
