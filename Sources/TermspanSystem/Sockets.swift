import CTermspanLinux
import Glibc
import TermspanCore

/// Who is at the other end of a Unix socket (SO_PEERCRED, unix(7)).
///
/// The process is the one that called listen() or connect(), even if it has ended; its number may be another's by now.
package struct PeerCredentials: Hashable, Sendable {
    package var pid: Int32
    package var uid: UInt32
    package var gid: UInt32

    package init(pid: Int32, uid: UInt32, gid: UInt32) {
        self.pid = pid
        self.uid = uid
        self.gid = gid
    }

    /// The credentials of a connected socket's peer.
    package init(of socket: borrowing OwnedDescriptor) throws(SystemError) {
        var credentials = termspan_credentials()
        unsafe try check(termspan_peer_credentials(socket.raw, &credentials), "getsockopt SO_PEERCRED")
        self.init(pid: credentials.pid, uid: credentials.uid, gid: credentials.gid)
    }
}

/// Two connected sockets for datagrams that arrive whole and in order (SOCK_SEQPACKET).
package struct SocketPair: ~Copyable, Sendable {
    private var first: OwnedDescriptor
    private var second: OwnedDescriptor

    /// - Parameter nonblocking: Whether both ends are non-blocking at first; each end's own flag can be changed.
    package init(nonblocking: Bool = false) throws(SystemError) {
        var first: Int32 = -1
        var second: Int32 = -1
        unsafe try check(termspan_seqpacket_pair(nonblocking ? 1 : 0, &first, &second), "socketpair")
        self.first = OwnedDescriptor(first)
        self.second = OwnedDescriptor(second)
    }

    /// Calls `body` with both ends.
    package consuming func split<Result: ~Copyable, Failure: Error>(
        _ body: (consuming OwnedDescriptor, consuming OwnedDescriptor) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(first, second)
    }
}

/// At most 8 descriptors; those that nobody takes are closed.
package struct DescriptorList: ~Copyable, Sendable {
    /// The most that one message carries.
    package static var capacity: Int { 8 }

    private var storage: InlineArray<8, Int32>
    /// How many there are, the ones taken included.
    package let count: Int

    init(_ storage: InlineArray<8, Int32>, count: Int) {
        self.storage = storage
        self.count = count
    }

    deinit {
        for index in 0..<count where storage[index] >= 0 { _ = close(storage[index]) }
    }

    /// Takes one out; `nil` if there is none at that place or it was taken.
    package mutating func take(_ index: Int) -> OwnedDescriptor? {
        guard index >= 0, index < count, storage[index] >= 0 else { return nil }
        let raw = storage[index]
        storage[index] = -1
        return OwnedDescriptor(raw)
    }
}

/// A datagram with the descriptors that came with it.
package struct ReceivedMessage: ~Copyable, Sendable {
    /// Empty when the other end is closed (an empty datagram can't be told from that).
    package let bytes: [UInt8]
    package var descriptors: DescriptorList

    /// Takes a descriptor out; `nil` if there is none at that place or it was taken.
    package mutating func takeDescriptor(_ index: Int) -> OwnedDescriptor? {
        descriptors.take(index)
    }
}

/// Sends one datagram (sendmsg(2), SCM_RIGHTS; send(2) without descriptors), without SIGPIPE.
///
/// - Parameter descriptors: At most 8, which stay the caller's.
/// - Returns: Whether it was sent; false if the socket is non-blocking and there is no room now.
package func send(_ bytes: [UInt8], descriptors: [Int32] = [], to socket: borrowing OwnedDescriptor) throws(SystemError) -> Bool {
    precondition(descriptors.count <= DescriptorList.capacity)
    let sent = unsafe termspan_send(socket.raw, bytes, bytes.count, descriptors, Int32(descriptors.count))
    if sent == -Int(EAGAIN) { return false }
    try check(sent, "sendmsg")
    return true
}

/// Receives one datagram (recvmsg(2)); the descriptors are close-on-exec.
///
/// - Parameters:
///   - limit: The longest datagram that is taken. EMSGSIZE: it was longer, or had more descriptors than are taken; it is lost, and none of its
///     descriptors stays open.
///   - takesDescriptors: Whether up to 8 are taken, or none. Closing one that somebody hostile made can wait for that one (a file on FUSE is flushed);
///     one that is not taken is never closed here: the kernel drops it without that.
/// - Returns: `nil` if the socket is non-blocking and nothing is there.
package func receive(limit: Int, takesDescriptors: Bool = true, from socket: borrowing OwnedDescriptor) throws(SystemError)
    -> ReceivedMessage?
{
    var raw = InlineArray<8, Int32>(repeating: -1)
    var count: Int32 = 0
    var truncated: Int32 = 0
    var received = 0
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: max(limit, 1)) { buffer, initialized in
        var numbers: (Int32, Int32, Int32, Int32, Int32, Int32, Int32, Int32) = (-1, -1, -1, -1, -1, -1, -1, -1)
        unsafe withUnsafeMutableBytes(of: &numbers) { numbers in
            // Both bases are there: neither buffer is empty.
            guard let data = buffer.baseAddress, let list = numbers.baseAddress else { return }
            unsafe received = termspan_receive(
                socket.raw, data, buffer.count, takesDescriptors ? 8 : 0, list.assumingMemoryBound(to: Int32.self), &count, &truncated)
            for index in 0..<Int(count) { unsafe raw[index] = list.assumingMemoryBound(to: Int32.self)[index] }
        }
        initialized = max(received, 0)
    }
    if received == -Int(EAGAIN) { return nil }
    try check(received, "recvmsg")
    // Owned from here on, so that they are closed if this throws.
    let descriptors = DescriptorList(raw, count: Int(count))
    guard truncated == 0, received <= limit else { throw SystemError(code: EMSGSIZE, operation: "recvmsg") }
    return ReceivedMessage(bytes: bytes, descriptors: descriptors)
}

/// A socket that is connected, and who listens there.
package struct ConnectedSocket: ~Copyable, Sendable {
    /// Non-blocking.
    package let descriptor: OwnedDescriptor
    package let peer: PeerCredentials
    /// The socket file that was connected to.
    package let file: FileStatus

    /// Gives the descriptor up.
    package consuming func takeDescriptor() -> OwnedDescriptor {
        descriptor
    }
}

/// Connects to a Unix stream socket that somebody hostile may have made.
///
/// The file itself is opened first, without following a link at its end, and its type checked; the connection goes to that very file, whatever the
/// path leads to by then. The caller decides by the peer's uid whether to trust it.
///
/// - Parameter timeout: How long to try while the server's backlog is full; EAGAIN afterwards. With zero this never blocks.
/// - Throws: ENOTSOCK or ELOOP: no socket; ECONNREFUSED: nobody listens any more.
package func connectUnix(path: String, timeout: Duration = .zero) throws(SystemError) -> ConnectedSocket {
    let file = unsafe OwnedDescriptor(try check(termspan_open_path(AT_FDCWD, path), "open", path))
    let status = try file.status()
    guard !status.isSymbolicLink else { throw SystemError(code: ELOOP, operation: "connect", subject: path) }
    guard status.isSocket else { throw SystemError(code: ENOTSOCK, operation: "connect", subject: path) }
    let socket = OwnedDescriptor(try check(termspan_unix_stream_socket(), "socket"))
    let deadline = monotonicNanoseconds().addingReportingOverflow(UInt64(clamping: timeout.wholeNanoseconds))
    var pause = Duration.milliseconds(1)
    while true {
        let result = termspan_connect_by_descriptor(socket.raw, file.raw)
        if result >= 0 { break }
        // A full backlog: unix(7) has no EINPROGRESS, so there is nothing to poll for.
        guard result == -EAGAIN, deadline.overflow || monotonicNanoseconds() < deadline.partialValue else {
            throw SystemError(code: 0 - result, operation: "connect", subject: path)
        }
        sleep(for: pause)
        pause = min(pause * 2, .milliseconds(20))
    }
    let peer = try PeerCredentials(of: socket)
    return ConnectedSocket(descriptor: socket, peer: peer, file: status)
}
