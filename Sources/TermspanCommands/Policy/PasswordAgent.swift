import Glibc

/// Lets polkit ask for a password on this terminal: pkttyagent(1) runs beside the command while it waits, as systemctl(1) has it.
enum PasswordAgent {
    /// Runs `body` with an agent where one can help: on a terminal, and not for root, whom nobody asks.
    @MainActor
    static func whileAsking<Value, Failure>(if mayAsk: Bool = true, _ body: () throws(Failure) -> Value) throws(Failure) -> Value {
        guard mayAsk, geteuid() != 0, isatty(STDIN_FILENO) == 1, isatty(STDERR_FILENO) == 1, let agent = start() else { return try body() }
        defer {
            kill(agent, SIGTERM)
            waitpid(agent, nil, 0)
        }
        return try body()
    }

    private static func start() -> pid_t? {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { return nil }
        defer { close(ends[0]) }
        // The agent closes its end of the pipe once it is registered.
        _ = fcntl(ends[0], F_SETFD, FD_CLOEXEC)
        let words = ["pkttyagent", "--notify-fd", String(ends[1]), "--fallback", "--process", String(getpid())]
        let arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var processID: pid_t = 0
        let result = posix_spawn(&processID, "/usr/bin/pkttyagent", nil, nil, arguments, environ)
        close(ends[1])
        guard result == 0 else { return nil }
        var byte: UInt8 = 0
        while read(ends[0], &byte, 1) > 0 {}
        return processID
    }
}
