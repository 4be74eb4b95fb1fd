import Glibc
package import TermspanBus
import TermspanSystem

/// Tells when names appear in or vanish from a directory: inotify(7). It follows a directory that is made later or made anew.
@MainActor
package final class DirectoryMonitor {
    private let loop: EventLoop
    private let path: String
    private let onChange: @MainActor () -> Void
    private let descriptor: OwnedDescriptor
    private var watch: Int32 = -1
    private var parentWatch: Int32 = -1
    private var source: EventSource?

    /// Starts watching; `onChange` is called once for any number of changes that are there together.
    package init(loop: EventLoop, path: String, onChange: @escaping @MainActor () -> Void) throws {
        self.loop = loop
        self.path = path
        self.onChange = onChange
        let raw = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
        guard raw >= 0 else { throw SystemError(code: errno, operation: "inotify_init1") }
        descriptor = OwnedDescriptor(raw)
        // The parent tells when the directory itself comes, as the first session makes it.
        let parent = path.split(separator: "/").dropLast().reduce(into: "") { $0 += "/" + $1 }
        parentWatch = inotify_add_watch(raw, parent.isEmpty ? "/" : parent, UInt32(IN_CREATE) | UInt32(IN_MOVED_TO))
        attach()
        source = try loop.watch(raw) { [unowned self] _ in drain() }
    }

    private func attach() {
        let mask = UInt32(IN_CREATE) | UInt32(IN_DELETE) | UInt32(IN_MOVED_TO) | UInt32(IN_MOVED_FROM) | UInt32(IN_DELETE_SELF)
        watch = inotify_add_watch(descriptor.raw, path, mask)
    }

    private func drain() {
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while read(descriptor.raw, &buffer, buffer.count) > 0 {}
        // What changed is found by looking, so that an overflow of the queue loses nothing; adding a watch again is harmless.
        attach()
        onChange()
    }
}
