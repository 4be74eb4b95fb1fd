import Glibc
import TermspanCore
import Testing

@testable import TermspanSystem

private func code(_ body: () throws(SystemError) -> Void) -> Int32? {
    do {
        try body()
        return nil
    } catch {
        return error.code
    }
}

private let isRoot = geteuid() == 0

@Suite struct DescriptorTests {
    @Test func anOwnerCloses() throws {
        let counter = try EventCounter()
        let raw: Int32
        do {
            let copy = try counter.descriptor.duplicate()
            raw = copy.raw
            #expect(fcntl(raw, F_GETFD) == FD_CLOEXEC)
        }
        #expect(fcntl(raw, F_GETFD) == -1)
        let released = try counter.descriptor.duplicate().release()
        #expect(fcntl(released, F_GETFD) == FD_CLOEXEC)
        close(released)
    }

    @Test func anErrorSaysWhatAndOnWhat() {
        #expect(SystemError(code: ENOENT, operation: "open", subject: "/x").description == "open /x: No such file or directory")
        #expect(SystemError(code: 99_999, operation: "f").description == "f: Unknown error")
    }

    @Test func clocksGoOn() {
        let before = BootInstant.now()
        sleep(for: .milliseconds(2))
        #expect(before.duration(to: .now()) >= .milliseconds(2))
        let anchor = ClockAnchor.now()
        #expect(anchor.wall(at: .now()).duration(to: .now()) < .milliseconds(100))
    }

    @Test func anEventCounterWakes() throws {
        let counter = try EventCounter()
        var epoll = try Epoll()
        try epoll.add(counter.descriptor.raw, .readable, token: 7)
        #expect(try epoll.wait(timeout: .zero) { _, _ in } == 0)
        counter.ring()
        counter.ring()
        var seen: [UInt64] = []
        try epoll.wait(timeout: nil) { token, events in
            if events.contains(.readable) { seen.append(token) }
        }
        #expect(seen == [7])
        #expect(counter.drain() == 2)
        #expect(counter.drain() == 0)
        try epoll.remove(counter.descriptor.raw)
        #expect(code { () throws(SystemError) in try epoll.remove(counter.descriptor.raw) } == ENOENT)
    }

    @Test func aThreadRunsAndEnds() throws {
        let counter = try EventCounter()
        let raw = counter.descriptor.raw
        let thread = try Thread(name: "a-name-that-is-too-long", stackSize: 256 * 1024) {
            var mask = sigset_t()
            pthread_sigmask(SIG_SETMASK, nil, &mask)
            var one: UInt64 = sigismember(&mask, SIGTERM) == 1 ? 5 : 1
            Glibc.write(raw, &one, 8)
        }
        thread.join()
        #expect(counter.drain() == 5)
    }
}

@Suite struct MemoryTests {
    @Test func aSealedFileKeepsItsSize() throws {
        let file = try OwnedDescriptor.memoryFile(name: "test", size: 8192)
        #expect(try file.seals().isSuperset(of: [.shrink, .grow]))
        #expect(try file.status().permissions == 0o600)
        #expect(ftruncate(file.raw, 4096) == -1 && errno == EPERM)
        #expect(ftruncate(file.raw, 16384) == -1 && errno == EPERM)
        let mapping = try Mapping(file, length: 8192, writable: true)
        mapping.base.storeBytes(of: 42, toByteOffset: 4096, as: UInt64.self)
        try file.addSeals([.futureWrite, .seal])
        #expect(code { () throws(SystemError) in _ = try Mapping(file, length: 8192, writable: true) } == EPERM)
        let other = try Mapping(file, length: 8192, writable: false)
        mapping.base.storeBytes(of: 43, toByteOffset: 4104, as: UInt64.self)
        #expect(other.base.load(fromByteOffset: 4096, as: UInt64.self) == 42)
        #expect(other.base.load(fromByteOffset: 4104, as: UInt64.self) == 43)
        #expect(code { () throws(SystemError) in try file.addSeals(.write) } == EPERM)
    }

    @Test func aReservationHoldsFiles() throws {
        let region = try Mapping(reserving: 1 << 30)
        let file = try OwnedDescriptor.memoryFile(name: "test", size: 4096)
        let mapping = try Mapping(file, length: 4096, writable: true)
        mapping.base.storeBytes(of: 9, as: UInt64.self)
        try region.place(file, at: 1 << 20, length: 4096, writable: false)
        #expect((region.base + (1 << 20)).load(as: UInt64.self) == 9)
        try region.clear(at: 1 << 20, length: 4096)
        try region.place(file, at: 0, length: 4096, writable: false)
        #expect(region.base.load(as: UInt64.self) == 9)
    }
}

@Suite struct SocketTests {
    @Test func descriptorsTravel() throws {
        let counter = try EventCounter()
        try SocketPair(nonblocking: true).split { (near: consuming OwnedDescriptor, far: consuming OwnedDescriptor) throws in
            let nothing = try receive(limit: 64, from: far) == nil
            #expect(nothing)
            #expect(try send([1, 2, 3], descriptors: [counter.descriptor.raw, counter.descriptor.raw], to: near))
            guard var message = try receive(limit: 64, from: far) else {
                Issue.record("nothing came")
                return
            }
            #expect(message.bytes == [1, 2, 3])
            let count = message.descriptors.count
            #expect(count == 2)
            if let first = message.takeDescriptor(0) {
                #expect(fcntl(first.raw, F_GETFD) == FD_CLOEXEC)
                EventCounter(first).ring()
            }
            let again = message.takeDescriptor(0) == nil
            let beyond = message.takeDescriptor(5) == nil
            #expect(again && beyond)
            #expect(counter.drain() == 1)
            #expect(try PeerCredentials(of: near).pid == getpid())
        }
    }

    @Test func whatIsTooLongIsAnError() throws {
        try SocketPair(nonblocking: true).split { (near: consuming OwnedDescriptor, far: consuming OwnedDescriptor) throws in
            #expect(try send([UInt8](repeating: 1, count: 65), to: near))
            #expect(code { () throws(SystemError) in _ = try receive(limit: 64, from: far) } == EMSGSIZE)
            _ = (consume near).release()
        }
    }

    @Test func theEndIsAnEmptyMessage() throws {
        try SocketPair().split { (near: consuming OwnedDescriptor, far: consuming OwnedDescriptor) throws in
            close((consume near).release())
            guard let message = try receive(limit: 64, from: far) else {
                Issue.record("nothing came")
                return
            }
            #expect(message.bytes.isEmpty)
            #expect(code { () throws(SystemError) in _ = try send([1], to: far) } == EPIPE)
        }
    }

    @Test func onlyARealSocketIsConnectedTo() throws {
        let folder = TemporaryFolder()
        let listener = folder.listen("X1", backlog: 1)
        defer { close(listener) }
        let connected = try connectUnix(path: folder.file("X1"))
        #expect(connected.peer == PeerCredentials(pid: getpid(), uid: geteuid(), gid: getegid()))
        #expect(fcntl(connected.descriptor.raw, F_GETFL) & O_NONBLOCK != 0)

        symlink(folder.file("X1"), folder.file("X2"))
        #expect(code { () throws(SystemError) in _ = try connectUnix(path: folder.file("X2")) } == ELOOP)
        let plain = folder.write([], to: "X3")
        #expect(code { () throws(SystemError) in _ = try connectUnix(path: plain) } == ENOTSOCK)
        mkfifo(folder.file("X4"), 0o644)
        #expect(code { () throws(SystemError) in _ = try connectUnix(path: folder.file("X4")) } == ENOTSOCK)
        #expect(code { () throws(SystemError) in _ = try connectUnix(path: folder.file("X5")) } == ENOENT)
    }

    @Test func aFullBacklogDoesNotHang() throws {
        let folder = TemporaryFolder()
        let listener = folder.listen("X1", backlog: 0)
        defer { close(listener) }
        let first = try connectUnix(path: folder.file("X1"))
        let start = monotonicNanoseconds()
        #expect(code { () throws(SystemError) in _ = try connectUnix(path: folder.file("X1")) } == EAGAIN)
        #expect(code { () throws(SystemError) in _ = try connectUnix(path: folder.file("X1"), timeout: .milliseconds(50)) } == EAGAIN)
        #expect(monotonicNanoseconds() - start >= 50_000_000)
        _ = consume first
    }

    @Test func aDeadSocketRefuses() throws {
        let folder = TemporaryFolder()
        close(folder.listen("X1", backlog: 1))
        #expect(code { () throws(SystemError) in _ = try connectUnix(path: folder.file("X1")) } == ECONNREFUSED)
    }
}

@Suite struct FileTests {
    @Test func lengthIsBounded() throws {
        let folder = TemporaryFolder()
        let bytes = (0..<20_000).map { UInt8(truncatingIfNeeded: $0) }
        let path = folder.write(bytes, to: "a")
        #expect(try readFile(path, limit: 20_000) == bytes)
        #expect(code { () throws(SystemError) in _ = try readFile(path, limit: 19_999) } == EFBIG)
        #expect(try readFile(path, limit: 19_999, options: .truncate) == Array(bytes.dropLast()))
        #expect(try readFile(path, limit: 0, options: .truncate) == [])
        #expect(try readFile("/proc/self/stat", limit: 4096).count > 10)
    }

    @Test func linksAndFifosAreRefused() throws {
        let folder = TemporaryFolder()
        let path = folder.write([1], to: "a")
        symlink(path, folder.file("b"))
        #expect(code { () throws(SystemError) in _ = try readFile(folder.file("b"), limit: 10) } == ELOOP)
        #expect(try readFile(folder.file("b"), limit: 10, options: .followLinks) == [1])
        #expect(try readLink(folder.file("b")) == Array(path.utf8))
        mkfifo(folder.file("c"), 0o644)
        #expect(code { () throws(SystemError) in _ = try readFile(folder.file("c"), limit: 10) } == EINVAL)
        #expect(try readFile(folder.file("c"), limit: 10, options: .anyKind) == [])
        #expect(code { () throws(SystemError) in _ = try readFile(folder.path, limit: 10) } == EINVAL)
        #expect(try namesInFolder(folder.path, limit: 10).sorted() == ["a", "b", "c"])
        #expect(try namesInFolder(folder.path, limit: 2).count == 2)
    }
}

@Suite struct FolderTests {
    private static func code(_ body: () throws(SystemError) -> Void) -> Int32? {
        do throws(SystemError) {
            try body()
            return nil
        } catch {
            return error.code
        }
    }

    /// The folder's path as the kernel has it.
    private static func place(_ path: String) throws(SystemError) -> String {
        let folder = try openFolderByOwnLinks(path)
        return String(decoding: try readLink("/proc/self/fd/\(folder.raw)"), as: UTF8.self)
    }

    @Test func ownLinksAreFollowed() throws {
        let folder = TemporaryFolder()
        #expect(try Self.place(folder.path) == folder.path)
        #expect(try Self.place(folder.path + "//./../" + folder.path.split(separator: "/")[1] + "/") == folder.path)
        #expect(try Self.place("/") == "/")
        symlink(folder.path, folder.file("absolute"))
        symlink("./absolute/../" + folder.path.split(separator: "/")[1], folder.file("relative"))
        #expect(try Self.place(folder.file("relative/absolute")) == folder.path)
        #expect(try Self.place(".") == String(decoding: readLink("/proc/self/cwd"), as: UTF8.self))
        symlink("loop", folder.file("loop"))
        #expect(Self.code { () throws(SystemError) in _ = try openFolderByOwnLinks(folder.file("loop")) } == ELOOP)
        _ = folder.write([1], to: "file")
        #expect(Self.code { () throws(SystemError) in _ = try openFolderByOwnLinks(folder.file("file")) } == ENOTDIR)
        #expect(Self.code { () throws(SystemError) in _ = try openFolderByOwnLinks(folder.file("file/more")) } == ENOTDIR)
        #expect(Self.code { () throws(SystemError) in _ = try openFolderByOwnLinks(folder.file("none")) } == ENOENT)
    }

    @Test(.enabled(if: geteuid() == 0, "only root can make links of others"))
    func othersLinksAreNot() throws {
        let folder = TemporaryFolder()
        symlink("/", folder.file("theirs"))
        try #require(lchown(folder.file("theirs"), 65_534, 65_534) == 0)
        symlink("theirs/usr", folder.file("own"))
        for path in ["theirs", "theirs/usr", "own", "../" + folder.path.split(separator: "/")[1] + "/theirs/"] {
            #expect(Self.code { () throws(SystemError) in _ = try openFolderByOwnLinks(folder.file(path)) } == ELOOP)
        }
    }
}

@Suite struct ProcessTests {
    @Test func aChildIsSignalledAndReaped() throws {
        let child = try ProcessHandle.spawn("/bin/sleep", ["100"])
        #expect(try !child.hasEnded())
        #expect(try child.reap(block: false) == nil)
        try child.signal(SIGKILL)
        #expect(try poll(child.descriptor, for: .readable, timeout: .seconds(10)))
        #expect(try child.hasEnded())
        #expect(try child.reap() == .signalled(SIGKILL))
        #expect(code { () throws(SystemError) in try child.signal(0) } == ESRCH)
    }

    @Test func aChildGetsItsDescriptorsAndNoOthers() throws {
        let output = try OwnedDescriptor.memoryFileForOutput()
        // Not close-on-exec: somebody else's slip must not reach the child either.
        let open = OwnedDescriptor(fcntl(output.raw, F_DUPFD, 300))
        let child = try ProcessHandle.spawn("/bin/ls", ["/proc/self/fd"], descriptors: [-1, output.raw, -1])
        #expect(try child.reap() == .exited(0))
        lseek(output.raw, 0, SEEK_SET)
        // The fourth is the one with which ls reads the folder.
        #expect(try readAll(output, limit: 4096) == Array("0\n1\n2\n3\n".utf8))
        _ = consume open
        #expect(code { () throws(SystemError) in _ = try ProcessHandle.spawn("/nonexistent") } == ENOENT)
    }

    @Test(.enabled(if: isRoot)) func actingAsChangesOnlyThisThreadAndOnlyForTheCall() throws {
        let folder = TemporaryFolder()
        chmod(folder.path, 0o777)
        let path = folder.file("mine")
        let ask = try EventCounter()
        let answer = try EventCounter()
        let (question, reply) = (ask.descriptor.raw, answer.descriptor.raw)
        let thread = try Thread(name: "bystander") {
            var entry = pollfd(fd: question, events: Int16(POLLIN), revents: 0)
            _ = Glibc.poll(&entry, 1, 10_000)
            var value = UInt64(geteuid()) + 1
            Glibc.write(reply, &value, 8)
        }
        let ids: (euid: UInt32, ruid: UInt32, fileOwner: UInt32) = try actingAs(uid: 65534, gid: 65534) { () throws(SystemError) in
            #expect(code { () throws(SystemError) in _ = try openFile("/etc/shadow", flags: O_RDONLY) } == EACCES)
            // Another thread keeps its ids.
            ask.ring()
            #expect(try poll(answer.descriptor, for: .readable, timeout: .seconds(10)))
            let file = try openFile(path, flags: O_WRONLY | O_CREAT, mode: 0o600)
            return (geteuid(), getuid(), try file.status().uid)
        }
        thread.join()
        #expect(answer.drain() == 1)
        #expect(ids == (65534, 0, 65534))
        #expect(geteuid() == 0 && getegid() == 0)
        #expect(try openFile("/etc/shadow", flags: O_RDONLY).raw >= 0)
        #expect(
            code { () throws(SystemError) in
                try actingAs(uid: 65534, gid: 65534) { () throws(SystemError) in throw SystemError(code: 5, operation: "x") }
            } == 5)
        #expect(geteuid() == 0)
        #expect(code { () throws(SystemError) in try actingAs(uid: .max, gid: 1) { () throws(SystemError) in } } == EINVAL)
    }
}

extension OwnedDescriptor {
    /// A file that may grow.
    fileprivate static func memoryFileForOutput() throws(SystemError) -> OwnedDescriptor {
        try openFile("/tmp", flags: O_RDWR | 0o20200000, mode: 0o600)
    }
}
