import Glibc
import TermspanBus
import TermspanSystem

/// Calls back once when a process has ended: pidfd_open(2). A process that is gone already counts as ended at once; one that can't be
/// watched for a shortage counts as running.
@MainActor
final class ProcessWatch {
    private(set) var isRunning = true
    /// False where the end would not be seen.
    private(set) var isWatching = false
    private var handle: ProcessHandle?
    private var source: EventSource?

    init(loop: EventLoop, pid: UInt32, onExit: @escaping @MainActor () -> Void) {
        do throws(SystemError) {
            guard let pid = Int32(exactly: pid) else { throw SystemError(code: ESRCH, operation: "pidfd_open") }
            let handle = try ProcessHandle(pid: pid)
            let raw = handle.descriptor.raw
            self.handle = consume handle
            source = try? loop.watch(raw) { [unowned self] _ in
                guard isRunning else { return }
                isRunning = false
                source?.cancel()
                onExit()
            }
            isWatching = source != nil
        } catch {
            guard !error.isShortage else { return }
            isRunning = false
            loop.deferred(onExit)
        }
    }
}
