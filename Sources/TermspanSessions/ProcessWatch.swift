import TermspanBus
import TermspanSystem

/// Calls back once when a process has ended: pidfd_open(2). A process that is gone already counts as ended at once.
@MainActor
final class ProcessWatch {
    private(set) var isRunning = true
    private var handle: ProcessHandle?
    private var source: EventSource?

    init(loop: EventLoop, pid: UInt32, onExit: @escaping @MainActor () -> Void) {
        guard let pid = Int32(exactly: pid), let handle = try? ProcessHandle(pid: pid) else {
            isRunning = false
            loop.deferred(onExit)
            return
        }
        let raw = handle.descriptor.raw
        self.handle = consume handle
        source = try? loop.watch(raw) { [unowned self] _ in
            guard isRunning else { return }
            isRunning = false
            source?.cancel()
            onExit()
        }
    }
}
