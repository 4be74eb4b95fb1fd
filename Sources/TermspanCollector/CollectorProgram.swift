import CSystemd
import Glibc
import TermspanBus
import TermspanConfiguration
import TermspanCore
import TermspanJournal
import TermspanSessions
import TermspanStore
import TermspanSystem

/// The service's life: configuration, start, signals, end. The whole of `termspand` but its `main`.
@MainActor
package enum CollectorProgram {
    /// Runs until SIGTERM and ends the process: with 0 in order, with 1 after a failure that is in the journal, with 78 if a start again
    /// could only fail again.
    package static func run() -> Never {
        do {
            try JournalWriter.shared.start()
            end(try serve())
        } catch {
            Log.error("The collector can't run", [.error: "\(error)"])
            end(1)
        }
    }

    /// At once: nothing is left to be taken apart, and a store that is not closed is as durable.
    private static func end(_ code: Int32) -> Never {
        // A journal that stands still holds up a restart no longer than this.
        JournalWriter.shared.flush(within: .seconds(2))
        exit(code)
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

    /// Looks whether the users' keys are under the master key that is on standard input, for `master-key rotate`: 0 if so, else 1 and why on
    /// standard error.
    package static func checkMasterKey() -> Int32 {
        let bytes = try? readAll(OwnedDescriptor(dup(STDIN_FILENO)), limit: SecretKey.length)
        guard let key = bytes.flatMap({ SecretKey(bytes: $0) }) else {
            complain("a master key has \(SecretKey.length) bytes")
            return 1
        }
        do throws(StoreError) {
            try KeyPlace(path: paths.keys, masters: [key]).check()
            return 0
        } catch {
            complain(error.description)
            return 1
        }
    }

    /// Prints what the clients call themselves that these processes of xrdp's serve, for the collector, which starts this as a unit that may do
    /// nothing else: `PID NAME` a line.
    ///
    /// - Parameter arguments: up to 256 PIDs.
    package static func printClientNames(of arguments: [String]) -> Int32 {
        let pids = arguments.compactMap { UInt32($0) }
        guard !pids.isEmpty, pids.count == arguments.count, pids.count <= XrdpClientName.maximumProcesses else { return usage() }
        guard let boot = try? bootID() else { return 1 }
        return XrdpClientName.read(pids, boot: boot) { put($0, to: STDOUT_FILENO) } ? 0 : 1
    }

    /// Says which arguments there are, and returns the exit code for wrong ones.
    package static func usage() -> Int32 {
        complain("usage: termspand [--backup FILE [--force] [--json] | --check-configuration | --check-master-key | --client-names PID...]")
        return 2
    }

    static func complain(_ text: String) { put(text + "\n", to: STDERR_FILENO) }

    static func put(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        _ = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    }

    /// Returns the exit code.
    private static func serve() throws -> Int32 {
        var configuration: Configuration
        do {
            configuration = try Configuration.load()
        } catch {
            Journal.configurationError(error.description, isRefused: false)
            return configurationStatus
        }
        let disk = DiskEncryption(of: paths.state)
        if disk != .encrypted, configuration.unencryptedDisk == .refuse {
            let problem = "unencrypted-disk is refuse, and the disk of \(paths.state) is \(disk.text)"
            Journal.configurationError(problem, isRefused: false)
            return configurationStatus
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
        guard let connection = withExtendedLifetime(wait, { answering }) else { return 0 }
        var collector: Collector?
        var state = "starting"
        let reload = try loop.signals([SIGHUP]) { _ in
            ServiceManager.reloading()
            do throws(ConfigurationError) {
                let other = try Configuration.load()
                try collector?.checkGrounds(of: other)
                configuration = other
                collector?.reload(configuration)
                Log.notice("The configuration was read again")
            } catch {
                Journal.configurationError(error.description, isRefused: true)
            }
            ServiceManager.ready(status: collector?.stateText ?? state)
        }
        // All that is known of the bus is gone with it: once it is back, systemd starts us anew. Until then lanes are read and stored on.
        var back: BusWait?
        let disconnected = try connection.onDisconnect {
            Journal.busLost()
            state = "waiting for the bus"
            ServiceManager.status(state)
            do { back = try BusWait(loop: loop) { _ in loop.exit() } } catch { loop.exit(1) }
        }
        try loop.enableWatchdog()
        var isWaiting = false
        let place = StorePlace(path: paths.database, machine: try machineID(), boot: try bootID(), keys: .ofService(path: paths.keys))
        let opener = try StoreOpener(loop: loop, place: place) { report in
            switch report {
            case .opened(let opening):
                do throws(ConfigurationError) {
                    // What was in force is not known without the store's keys, and nothing is recorded then.
                    if opening.locked == nil { try Collector.checkGrounds(of: configuration, opening.policy) }
                } catch {
                    Journal.configurationError(error.description, isRefused: false)
                    return loop.exit(configurationStatus)
                }
                do {
                    collector = try Collector(
                        loop: loop, connection: connection, configuration: configuration, paths: paths, store: opening, disk: disk)
                    try connection.requestName(ManagerObject.name)
                } catch {
                    Log.error("The collector can't run", [.error: "\(error)"])
                    return loop.exit(1)
                }
                if isWaiting { Journal.storeRecovered() }
                Journal.collectorStarted()
                ServiceManager.ready(status: collector?.stateText ?? state)
            case .waiting(let problem):
                if !isWaiting { Journal.storeFailed(problem, consequence: "The collector waits for it, and probes that run go on.") }
                isWaiting = true
                state = "waiting for the store: \(problem)"
                // The start is over: neither the boot nor an upgrade shall wait for a disk that somebody has to look after.
                ServiceManager.ready(status: state)
            case .refused(let error):
                Journal.storeRefused(error.description, file: place.path)
                loop.exit(configurationStatus)
            }
        }
        let code = try withExtendedLifetime((end, reload, disconnected, opener, back)) { try loop.run() }
        collector?.shutDown()
        return code
    }

    /// From the folders that systemd made for the unit.
    static var paths: Collector.Paths {
        func variable(_ name: String) -> [String] {
            getenv(name).map { String(cString: $0).split(separator: ":").map { String($0) } } ?? []
        }
        let state = variable("STATE_DIRECTORY")
        return Collector.Paths(
            state: state.first ?? "/var/lib/termspan", runtime: variable("RUNTIME_DIRECTORY").first ?? "/run/termspan",
            keyFolder: state.dropFirst().first ?? "/var/lib/termspan-keys")
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
