import CTermspanLinux

/// A thread with a name, all signals blocked: the loop's thread alone takes them.
package struct Thread: ~Copyable {
    private let handle: UInt64

    /// Starts a thread.
    ///
    /// - Parameters:
    ///   - name: What /proc shows; at most 15 bytes count.
    ///   - stackSize: Bytes; 0 takes the default (8 MiB of addresses).
    ///   - body: What it does. What it captures is the thread's from then on.
    package init(name: String, stackSize: Int = 0, _ body: sending @escaping () -> Void) throws(SystemError) {
        let box = unsafe Unmanaged.passRetained(Body(body))
        var handle: UInt64 = 0
        let result = unsafe termspan_thread_start(
            name, stackSize,
            { context in
                if let context = unsafe context {
                    unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
                }
                return nil
            }, box.toOpaque(), &handle)
        if result < 0 { unsafe box.release() }
        try check(result, "pthread_create", name)
        self.handle = handle
    }

    /// Gives the thread its freedom, so that its stack goes when it ends.
    deinit {
        _ = termspan_thread_detach(handle)
    }

    /// Waits until the thread has ended. A thread that is not joined goes on by itself.
    package consuming func join() {
        _ = termspan_thread_join(handle)
        discard self
    }

    private final class Body {
        let run: () -> Void

        init(_ run: @escaping () -> Void) {
            self.run = run
        }
    }
}

/// The calling thread's number (gettid(2)).
package func threadID() -> Int32 {
    termspan_gettid()
}
