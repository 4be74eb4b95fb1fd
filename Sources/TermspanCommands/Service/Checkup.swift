import Glibc
import TermspanBus
import TermspanCore
import TermspanSystem

/// The checks of `doctor`, in an order in which a later one means little where an earlier one failed.
@MainActor
struct Checkup {
    private let client = Result { () throws(CommandError) -> Client in try Client.connect() }

    func results() -> [CheckResult] {
        var results = machine() + files()
        switch client {
        case .failure(let error):
            results.append(CheckResult("System bus", .fail, error.message, remedy: error.remedy))
        case .success(let client):
            do throws(BusError) {
                _ = try client.bus.uniqueName()
                results.append(CheckResult("System bus", .ok, "reachable"))
                results += names(client) + unit(client) + collector(client) + shells(client)
            } catch {
                results.append(CheckResult("System bus", .fail, "\(error)", remedy: "Start it: systemctl start dbus.socket dbus.service"))
            }
        }
        return results + [configuration()]
    }

    // MARK: The machine

    private func machine() -> [CheckResult] {
        var results: [CheckResult] = []
        let hasSystemd = Files.exists("/run/systemd/system")
        results.append(
            CheckResult(
                "systemd", hasSystemd ? .ok : .fail, hasSystemd ? "is process 1" : "is not process 1",
                remedy: "Termspan needs a machine that systemd runs; in a container, Tests/Lab boots one."))
        let hasGroups = Files.exists("/sys/fs/cgroup/cgroup.controllers")
        results.append(
            CheckResult(
                "Control groups", hasGroups ? .ok : .fail, hasGroups ? "version 2" : "not version 2",
                remedy: "Boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line."))
        if let folder = Files.status("/tmp/.X11-unix") {
            let isSafe = folder.st_uid == 0 && folder.st_mode & S_IFMT == S_IFDIR && folder.st_mode & S_ISVTX != 0
            results.append(
                CheckResult(
                    "X sockets", isSafe ? .ok : .warn, isSafe ? "/tmp/.X11-unix is root's" : "/tmp/.X11-unix is not root's, or not sticky",
                    remedy: "systemd-tmpfiles --create x11.conf"))
        } else {
            results.append(
                CheckResult("X sockets", .warn, "/tmp/.X11-unix does not exist", remedy: "systemd-tmpfiles --create x11.conf"))
        }
        if Files.exists("/usr/sbin/xrdp") {
            let folder = ["/run/xrdp/sockdir", "/tmp/.xrdp"].first { Files.exists($0) }
            results.append(
                CheckResult(
                    "xrdp", folder == nil ? .warn : .ok, folder.map { "sockets in \($0)" } ?? "installed, but has no socket folder",
                    remedy: "Start it: systemctl start xrdp.service"))
        }
        return results
    }

    // MARK: What the package installs

    private func files() -> [CheckResult] {
        var results: [CheckResult] = []
        let missing = [
            "/usr/libexec/termspan/termspand", "/usr/libexec/termspan/termspan-reportd", "/usr/libexec/termspan/probe-root/probe",
            "/usr/lib/systemd/system/termspand.service", "/usr/lib/systemd/system/termspan-reportd.service",
            "/usr/lib/systemd/system/termspan-probe-.service.d/sandbox.conf",
            "/usr/lib/systemd/system/termspan-cookie-.service.d/sandbox.conf",
            "/usr/lib/systemd/system/termspan-disconnect-.service.d/sandbox.conf",
            "/usr/lib/systemd/system/termspan-names-.service.d/sandbox.conf",
            "/usr/lib/systemd/system/termspan-address-.service.d/sandbox.conf", "/usr/lib/systemd/system/termspan-keys.socket",
            "/usr/lib/systemd/system/termspan-keys@.service", "/usr/libexec/termspan/master-key",
            "/usr/share/dbus-1/system.d/org.termspan1.conf",
            "/usr/share/dbus-1/system-services/org.termspan1.Reports.service", "/usr/share/polkit-1/actions/org.termspan1.policy",
        ].filter { !Files.exists($0) }
        results.append(
            CheckResult(
                "Files", missing.isEmpty ? .ok : .fail, missing.isEmpty ? "all there" : "missing: \(missing.joined(separator: ", "))",
                remedy: "Install the package again: apt-get install --reinstall termspan"))
        let changed = Files.changedNotices
        results.append(
            CheckResult(
                "Notice", changed.isEmpty ? .ok : .warn,
                changed.isEmpty
                    ? "shown at logon"
                    : "whoever is recorded may not be told at logon: \(changed.joined(separator: ", ")) is missing or not the package's",
                remedy: "Compare it with that in \(LogonNotice.originals), or copy that over it"))
        guard getpwnam("termspan-reports") != nil else {
            results.append(
                CheckResult(
                    "Account", .fail, "termspan-reports does not exist", remedy: "systemd-sysusers /usr/lib/sysusers.d/termspan.conf"))
            return results
        }
        results.append(CheckResult("Account", .ok, "termspan-reports"))
        return results + store()
    }

    /// Who is recorded and not told so at a terminal's logon, as far as the caller may see who that is. Of accounts in /etc/passwd alone: a directory
    /// that is silent would hold up what is to say so.
    private func shells(_ client: Client) -> [CheckResult] {
        guard let policy = try? client.policy() else { return [] }
        let tracked = Set(policy.users.filter(\.isTracked).map(\.name))
        var silent: [String: [String]] = [:]
        for account in Account.local() where tracked.contains(account.login) && !LogonNotice.reaches(shell: account.shell, Files.notice) {
            silent[account.shell, default: []].append(account.login)
        }
        if silent.isEmpty { return [] }
        let text = silent.sorted { $0.key < $1.key }.map { shell, users in
            "\(shell) (\(users.prefix(5).joined(separator: ", "))\(users.count > 5 ? " and \(users.count - 5) more" : ""))"
        }
        return [
            CheckResult(
                "Shells", .warn, "who is recorded is not told at a terminal's logon by \(text.joined(separator: "; "))",
                remedy: "For zsh, add this line to \(LogonNotice.zshFiles[0]): \(LogonNotice.zshLine)")
        ]
    }

    /// Looks at the store by another process, which is left behind where the disk doesn't answer: nothing ends a process that waits for it.
    private func store() -> [CheckResult] {
        let command = ["/proc/self/exe", "doctor", "--store-only", "--format", "json"]
        guard let answer = Program.output(of: command, within: .seconds(3)) else {
            return [
                CheckResult(
                    "Store", .fail, "the disk of /var/lib/termspan does not answer",
                    remedy: "dmesg and findmnt -T /var/lib/termspan tell more.")
            ]
        }
        guard case .array(let rows) = JSONValue(answer) else { return [] }
        return rows.compactMap { CheckResult($0) }
    }

    /// What `store` has the other process look at.
    static func storeOnly() -> [CheckResult] {
        guard let account = getpwnam("termspan-reports") else { return [] }
        return [store(group: account.pointee.pw_gid)] + damagedStores()
    }

    /// Stores that were damaged and that the collector set aside, as long as somebody keeps them.
    private static func damagedStores() -> [CheckResult] {
        guard let names = try? namesInFolder("/var/lib/termspan", limit: 10_000) else { return [] }
        return names.filter { $0.hasPrefix("termspan-damaged-") && $0.hasSuffix(".db") }.sorted().map { name in
            CheckResult(
                "Damaged store", .warn,
                "/var/lib/termspan/\(name) was set aside: what is whole of it is in the store, and \(name).txt says what is lost, if any of it could be read",
                remedy: "See `termspan log --event store-replaced`, and check the disk. The file goes after 30 days, or with an erasure.")
        }
    }

    private static func store(group: gid_t) -> CheckResult {
        let (folder, path) = ("/var/lib/termspan", "/var/lib/termspan/termspan.db")
        let remedy = "sudo chown root:termspan-reports \(folder) \(path); sudo chmod 750 \(folder); sudo chmod 640 \(path)"
        guard let outer = Files.status(folder) else {
            return CheckResult("Store", .fail, "\(folder) does not exist", remedy: "Start the collector: systemctl start termspand.service")
        }
        if outer.st_gid != group || outer.st_mode & 0o050 != 0o050 {
            return CheckResult("Store", .fail, "the reports service can't enter \(folder)", remedy: remedy)
        }
        if outer.st_mode & 0o007 != 0 {
            return CheckResult("Store", .fail, "\(folder) is open to everybody", remedy: remedy)
        }
        guard let file = Files.status(path) else {
            if errno == EACCES { return CheckResult("Store", .warn, "can't be looked at by you", remedy: "Run it as root.") }
            return CheckResult("Store", .fail, "there is no \(path)", remedy: "journalctl -u termspand.service")
        }
        if file.st_gid != group || file.st_mode & 0o040 == 0 {
            return CheckResult("Store", .fail, "the reports service can't read \(path)", remedy: remedy)
        }
        if file.st_mode & 0o007 != 0 { return CheckResult("Store", .fail, "\(path) is open to everybody", remedy: remedy) }
        return CheckResult("Store", .ok, "\(TimeText.bytes(UInt64(max(0, file.st_size)))), readable by the reports service only")
    }

    // MARK: The bus

    private func names(_ client: Client) -> [CheckResult] {
        func list(_ member: String) -> Set<String> {
            do throws(BusError) {
                return Set(
                    try client.bus.callAndWait(
                        "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus", member: member
                    ).readStrings())
            } catch {
                return []
            }
        }
        let owned = list("ListNames")
        let possible = owned.union(list("ListActivatableNames"))
        return [
            CheckResult(
                "logind", owned.contains("org.freedesktop.login1") ? .ok : .fail,
                owned.contains("org.freedesktop.login1") ? "reachable" : "not reachable",
                remedy: "apt-get install libpam-systemd; systemctl start systemd-logind.service"),
            CheckResult(
                "polkit", possible.contains("org.freedesktop.PolicyKit1") ? .ok : .warn,
                possible.contains("org.freedesktop.PolicyKit1") ? "reachable" : "not installed: only root has rights",
                remedy: "apt-get install polkitd"),
            CheckResult(
                "Bus name", owned.contains("org.termspan1") ? .ok : .fail,
                owned.contains("org.termspan1") ? "org.termspan1 is owned" : "nobody owns org.termspan1",
                remedy: "Start the collector: systemctl start termspand.service"),
            reports(client, areKnown: possible.contains("org.termspan1.Reports")),
        ]
    }

    /// Asks them for a sign of life, which starts them.
    private func reports(_ client: Client, areKnown: Bool) -> CheckResult {
        guard areKnown else {
            return CheckResult("Reports", .fail, "the bus doesn't know how to start them", remedy: "systemctl reload dbus.service")
        }
        do throws(BusError) {
            _ = try client.bus.callAndWait(
                "org.termspan1.Reports", path: "/org/termspan1/reports", interface: "org.freedesktop.DBus.Peer", member: "Ping",
                timeout: .seconds(10))
            return CheckResult("Reports", .ok, "start when they are asked")
        } catch {
            return CheckResult(
                "Reports", .fail, "do not answer: \(error)",
                remedy: "systemctl status termspan-reportd.service; journalctl -u termspan-reportd.service")
        }
    }

    private func unit(_ client: Client) -> [CheckResult] {
        let manager = ("org.freedesktop.systemd1", "org.freedesktop.systemd1.Manager")
        do throws(BusError) {
            let path = try client.bus.callAndWait(
                manager.0, path: "/org/freedesktop/systemd1", interface: manager.1, member: "LoadUnit",
                arguments: { writer in writer.append("termspand.service") }
            ).readObjectPath()
            func property(_ interface: String, _ name: String) throws(BusError) -> BusValue {
                try client.bus.property(manager.0, path: path, interface: "org.freedesktop.systemd1." + interface, name: name)
            }
            let state = try property("Unit", "ActiveState").string ?? ""
            let restarts = try property("Service", "NRestarts").unsigned ?? 0
            let text = try property("Service", "StatusText").string ?? ""
            let isWell = state == "active" && ["", "collecting"].contains(text)
            var results = [
                CheckResult(
                    "Collector", isWell ? .ok : .fail, "termspand.service is \(state)" + (isWell || text.isEmpty ? "" : ": \(text)"),
                    remedy: "systemctl status termspand.service; journalctl -u termspand.service"),
                CheckResult(
                    "Restarts", restarts == 0 ? .ok : .warn, "\(restarts) after failures",
                    remedy: "journalctl -u termspand.service tells why"),
            ]
            let changes = try property("Unit", "DropInPaths").strings ?? []
            var weak: [String] = []
            if try property("Service", "ProtectSystem").string != "strict" { weak.append("ProtectSystem=strict") }
            if try property("Service", "NoNewPrivileges").bool != true { weak.append("NoNewPrivileges=yes") }
            // CAP_SYS_ADMIN is number 21 (capabilities(7)).
            if (try property("Service", "CapabilityBoundingSet").unsigned ?? .max) >> 21 & 1 == 1 { weak.append("CapabilityBoundingSet=") }
            results.append(
                CheckResult(
                    "Sandbox", weak.isEmpty ? (changes.isEmpty ? .ok : .warn) : .fail,
                    weak.isEmpty
                        ? (changes.isEmpty ? "as shipped" : "changed by \(changes.joined(separator: ", "))")
                        : "without \(weak.joined(separator: ", "))",
                    remedy: "Look at: systemctl cat termspand.service; systemd-analyze security termspand.service"))
            results.append(probes())
            return results
        } catch {
            return [CheckResult("Collector", .fail, "systemd can't be asked about it: \(error)", remedy: "Is systemd process 1 here?")]
        }
    }

    /// Drop-ins that change what probes and the short-lived helpers may do: systemd reads those of the administrator beside or instead of ours.
    private func probes() -> CheckResult {
        let changes = ["/etc", "/run"].flatMap { root in
            ["", "probe-", "cookie-", "disconnect-", "names-", "address-"].map {
                "\(root)/systemd/system/termspan-\($0).service.d"
            }
        }.filter { Files.exists($0) }
        return CheckResult(
            "Probes' sandbox", changes.isEmpty ? .ok : .warn,
            changes.isEmpty ? "as shipped" : "changed by \(changes.joined(separator: ", "))",
            remedy: "Look at: systemctl cat 'termspan-probe-*'; systemd-analyze security 'termspan-probe-*'")
    }

    private func collector(_ client: Client) -> [CheckResult] {
        do throws(CommandError) {
            let status = try client.status()
            return CheckResult.judge(status, now: .present)
        } catch {
            return [CheckResult("Status", .fail, error.message, remedy: error.remedy)]
        }
    }

    // MARK: Configuration

    /// The collector itself reads it, so that there is one judge of what is right.
    private func configuration() -> CheckResult {
        let program = "/usr/libexec/termspan/termspand"
        guard let (code, text) = Program.run([program, "--check-configuration"]) else {
            return CheckResult("Configuration", .fail, "\(program) can't be started", remedy: "apt-get install --reinstall termspan")
        }
        let detail = text.split(separator: "\n").joined(separator: "; ")
        return CheckResult(
            "Configuration", code == 0 ? .ok : .fail, code == 0 ? "valid" : detail.isEmpty ? "exit code \(code)" : detail,
            remedy: "Mend the file, then: systemctl reload-or-restart termspand.service")
    }
}

/// Runs a program and waits for it.
enum Program {
    /// What it wrote to standard output, up to 64 KiB; nil if it can't be started or has not ended in time, and then it is left behind.
    static func output(of command: [String], within duration: Duration) -> [UInt8]? {
        let deadline = BootInstant.now().advanced(by: duration)
        guard let ends = try? Pipe() else { return nil }
        return ends.split { read, write in
            guard let processID = start(command, output: write) else { return nil }
            _ = consume write
            var bytes: [UInt8] = []
            var part = [UInt8](repeating: 0, count: 4096)
            while bytes.count < 1 << 16 {
                let left = BootInstant.now().duration(to: deadline)
                guard left > .zero, (try? poll(read, for: .readable, timeout: left)) == true else { return nil }
                let count = Glibc.read(read.raw, &part, part.count)
                if count <= 0 { break }
                bytes += part[..<count]
            }
            waitpid(processID, nil, 0)
            return bytes
        }
    }

    /// Starts a program that reads and complains to nowhere.
    private static func start(_ command: [String], output: borrowing OwnedDescriptor) -> pid_t? {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output.raw, 1)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var processID: pid_t = 0
        return posix_spawn(&processID, command[0], &actions, nil, &arguments, environ) == 0 ? processID : nil
    }

    /// The exit code and what it wrote to standard error, up to 16 KiB; nil if it can't be started.
    static func run(_ command: [String]) -> (code: Int32, errors: String)? {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { return nil }
        defer { close(ends[0]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
        posix_spawn_file_actions_addclose(&actions, ends[0])
        posix_spawn_file_actions_addclose(&actions, ends[1])
        var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var processID: pid_t = 0
        let result = posix_spawn(&processID, command[0], &actions, nil, &arguments, environ)
        close(ends[1])
        guard result == 0 else { return nil }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(ends[0], &part, part.count)
            if count <= 0 { break }
            if bytes.count < 1 << 14 { bytes += part[..<count] }
        }
        var status: Int32 = 0
        guard waitpid(processID, &status, 0) == processID else { return nil }
        // WIFEXITED and WEXITSTATUS, which are macros.
        return (status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F, String(decoding: bytes, as: UTF8.self))
    }
}
