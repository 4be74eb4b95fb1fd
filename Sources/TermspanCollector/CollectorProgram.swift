import CSystemd
import Glibc
import TermspanBus
import TermspanConfiguration
import TermspanCore
import TermspanJournal
import TermspanSystem

/// The service's life: configuration, start, signals, end. The whole of `termspand` but its `main`.
@MainActor
package enum CollectorProgram {
    /// Runs until SIGTERM and ends the process: with 0 in order, with 1 after a failure that is in the journal.
    package static func run() -> Never {
        do {
            try serve()
        } catch {
            Log.error("The collector can't run", [.error: "\(error)"])
            exit(1)
        }
    }

    /// EX_CONFIG of sysexits.h: the unit is not restarted after it.
    private static let configurationStatus: Int32 = 78

    /// Reads the configuration and nothing else, for `termspan doctor`: 0 if it is valid, else 1 and why on standard error.
    package static func checkConfiguration() -> Int32 {
        do throws(ConfigurationError) {
            _ = try Configuration.load()
            return 0
        } catch {
            complain(error.description)
            return 1
        }
    }

    /// Says which arguments there are, and returns the exit code for wrong ones.
    package static func usage() -> Int32 {
        complain("usage: termspand [--check-configuration]")
        return 2
    }

    private static func complain(_ text: String) {
        let line = Array((text + "\n").utf8)
        _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    private static func serve() throws -> Never {
        let configuration: Configuration
        do {
            configuration = try Configuration.load()
        } catch {
            Journal.configurationError(error.description, isRefused: false)
            exit(configurationStatus)
        }
        umask(0o027)
        let loop = try EventLoop()
        // Before any thread starts, so that each blocks them.
        var isEnding = false
        let end = try loop.signals([SIGTERM, SIGINT]) { _ in
            isEnding = true
            ServiceManager.stopping()
            loop.exit()
        }
        var answering: BusConnection?
        let wait = try BusWait(loop: loop, onFailure: { Journal.waiting(for: "\($0)") }, onAnswer: { answering = $0 })
        while answering == nil, !isEnding { try loop.runOnce(timeout: .seconds(10)) }
        guard let connection = withExtendedLifetime(wait, { answering }) else { exit(0) }
        let collector = try Collector(
            loop: loop, connection: connection, configuration: configuration, paths: paths, boot: try bootID(), machine: try machineID())
        let reload = try loop.signals([SIGHUP]) { _ in
            ServiceManager.reloading()
            do throws(ConfigurationError) {
                collector.reload(try Configuration.load())
                Log.notice("The configuration was read again")
            } catch {
                Journal.configurationError(error.description, isRefused: true)
            }
            ServiceManager.ready(status: "collecting")
        }
        // All that is known of the bus is gone with it: once it is back, systemd starts us anew. Until then lanes are read and stored on.
        var back: BusWait?
        let disconnected = try connection.onDisconnect {
            Journal.busLost()
            ServiceManager.status("waiting for the bus")
            do { back = try BusWait(loop: loop) { _ in loop.exit() } } catch { loop.exit(1) }
        }
        try connection.requestName(ManagerObject.name)
        try loop.enableWatchdog()
        Journal.collectorStarted()
        ServiceManager.ready(status: "collecting")
        let code = try withExtendedLifetime((end, reload, disconnected, back)) { try loop.run() }
        collector.shutDown()
        // At once: nothing is left to be taken apart, and a store that is not closed is as durable.
        exit(code)
    }

    /// From the folders that systemd made for the unit.
    private static var paths: Collector.Paths {
        func variable(_ name: String) -> String? {
            getenv(name).flatMap { String(cString: $0).split(separator: ":").first.map { String($0) } }
        }
        return Collector.Paths(
            state: variable("STATE_DIRECTORY") ?? "/var/lib/termspan", runtime: variable("RUNTIME_DIRECTORY") ?? "/run/termspan")
    }

    /// The kernel's boot id; the unit passes it, since its sandbox hides the file.
    private static func bootID() throws -> ID128 {
        let text: String
        if let variable = getenv("TERMSPAN_BOOT_ID") {
            text = String(cString: variable)
        } else {
            text = String(decoding: try readFile("/proc/sys/kernel/random/boot_id", limit: 64), as: UTF8.self).filter { $0 != "\n" }
        }
        guard let id = ID128(text) else { throw SystemError(code: EINVAL, operation: "reading the boot id") }
        return id
    }

    /// An identity of the machine for this product alone: sd_id128_get_machine_app_specific(3), so that it reveals no machine id.
    private static func machineID() throws -> ID128 {
        // 5b1e3a9c64d24f6e8c0f1d2b7a90c3e5
        let application = sd_id128_t(
            bytes: (0x5B, 0x1E, 0x3A, 0x9C, 0x64, 0xD2, 0x4F, 0x6E, 0x8C, 0x0F, 0x1D, 0x2B, 0x7A, 0x90, 0xC3, 0xE5))
        var id = sd_id128_t()
        let result = sd_id128_get_machine_app_specific(application, &id)
        guard result >= 0, let machine = withUnsafeBytes(of: id, { ID128(bytes: Array($0)) }) else {
            throw SystemError(code: -result, operation: "reading the machine id")
        }
        return machine
    }
}
