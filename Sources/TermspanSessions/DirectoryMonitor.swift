import Glibc
package import TermspanBus
import TermspanSystem

/// Tells when names appear in or vanish from a directory: inotify(7). It follows a directory that is made later or made anew, with any of
/// the directories above it.
@MainActor
package final class DirectoryMonitor {
    private let onChange: @MainActor () -> Void
    private let descriptor: OwnedDescriptor
    /// The directory and those above it, the root first.
    private let levels: [String]
    /// Whether the directory itself is a user's.
    private let isUsers: Bool
    private let seesWrites: Bool
    /// What is watched: the directory, or while there is none, the nearest above it that exists.
    private var watched: Int32?
    private var source: EventSource?

    /// Starts watching; `onChange` is called once for any number of changes that are there together.
    ///
    /// - Parameters:
    ///   - isUsers: that the directory itself, not those above it, is a user's, who may mount anything over it.
    ///   - seesWrites: whether files in it that are written count, too.
    package init(
        loop: EventLoop, path: String, isUsers: Bool = false, seesWrites: Bool = false, onChange: @escaping @MainActor () -> Void
    ) throws {
        self.onChange = onChange
        self.seesWrites = seesWrites
        self.isUsers = isUsers
        let raw = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
        guard raw >= 0 else { throw SystemError(code: errno, operation: "inotify_init1") }
        descriptor = OwnedDescriptor(raw)
        levels = path.split(separator: "/").reduce(into: ["/"]) { $0.append(($0.last == "/" ? "" : $0.last ?? "") + "/" + $1) }
        attach()
        source = try loop.watch(raw) { [unowned self] _ in drain() }
        // Some directories are everybody's: whoever makes and removes names there without end must not keep us busy.
        source?.limit(25, per: .milliseconds(500))
    }

    /// Watches the directory, or the nearest one above it that tells when the way to it comes.
    private func attach() {
        // From the deepest on, then down again: what is made in between is seen either way.
        var level = levels.count - 1
        while level > 0, !add(level) { level -= 1 }
        if level == 0 { _ = add(0) }
        while level + 1 < levels.count, add(level + 1) { level += 1 }
    }

    /// No link is followed at its end, since some folders lie where users may make them.
    private func add(_ level: Int) -> Bool {
        let names = UInt32(IN_CREATE) | UInt32(IN_MOVED_TO)
        let gone = UInt32(IN_DELETE) | UInt32(IN_MOVED_FROM)
        let own = UInt32(IN_DELETE_SELF) | UInt32(IN_MOVE_SELF) | UInt32(IN_ONLYDIR) | UInt32(IN_DONT_FOLLOW)
        let isWhole = level == levels.count - 1
        let mask = names | own | (isWhole ? gone | (seesWrites ? UInt32(IN_CLOSE_WRITE) : 0) : 0)
        let added = isWhole && isUsers ? watchUsers(mask) : inotify_add_watch(descriptor.raw, levels[level], mask)
        guard added >= 0 else { return false }
        if let watched, watched != added { inotify_rm_watch(descriptor.raw, watched) }
        watched = added
        return true
    }

    /// Watches the user's folder as its owner, since xrdp's is readable to that user alone, and by a descriptor: by its path it could be another
    /// by then, a mount that does not answer for one.
    private func watchUsers(_ mask: UInt32) -> Int32 {
        let raw = descriptor.raw
        guard let name = levels.last?.split(separator: "/").last,
            let folder = try? openOwnFolder(String(name), in: levels[levels.count - 2]),
            let status = try? folder.status()
        else { return -1 }
        let path = "/proc/self/fd/\(folder.raw)"
        let added = try? actingAs(uid: status.uid, gid: status.gid) { inotify_add_watch(raw, path, mask & ~UInt32(IN_DONT_FOLLOW)) }
        withExtendedLifetime(folder) {}
        return added ?? -1
    }

    private func drain() {
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while read(descriptor.raw, &buffer, buffer.count) > 0 {}
        // What changed is found by looking, so that an overflow of the queue loses nothing; adding a watch again is harmless.
        attach()
        onChange()
    }
}
