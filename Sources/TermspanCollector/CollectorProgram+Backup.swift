import Glibc
import Synchronization
import TermspanBus
import TermspanStore
import TermspanSystem

extension CollectorProgram {
    /// Copies the store into one file, for `termspan backup`: in a process of its own, beside the collector. 0 if that was done, else 1 and why on
    /// standard error.
    ///
    /// - Parameter arguments: a path, `--force` to replace what is there, `--json`.
    package static func backUp(_ arguments: [String]) -> Int32 {
        let options = arguments.dropFirst()
        guard let target = arguments.first, !target.hasPrefix("-"), target.last != "/",
            options.allSatisfy({ ["--force", "--json"].contains($0) })
        else { return usage() }
        for number in [SIGINT, SIGTERM, SIGHUP] { signal(number) { _ in wasInterrupted.store(true, ordering: .relaxed) } }
        signal(SIGPIPE, SIG_IGN)
        umask(0o077)
        let showsProgress = isatty(STDERR_FILENO) == 1
        var shown: UInt64 = 0
        func show(_ text: String) { put("\r\u{1B}[K" + text, to: STDERR_FILENO) }
        defer { if shown > 0 { show("") } }
        var isRecorded = false
        do {
            let backup = try StoreBackup.make(
                of: paths.database, to: target, replaces: options.contains("--force"), apart: [paths.database, paths.keys],
                progress: { done, all in
                    // SQLite asks many times a second.
                    if showsProgress, monotonicNanoseconds() > shown + 200_000_000 {
                        shown = monotonicNanoseconds()
                        show("Copying: \(done / 1_000_000) of \(all / 1_000_000) MB")
                    }
                    return !wasInterrupted.load(ordering: .relaxed)
                }, recording: { isRecorded = record($0) })
            if shown > 0 { show("") }
            put(options.contains("--json") ? backup.json(target, isRecorded: isRecorded) : backup.text(target), to: STDOUT_FILENO)
            return 0
        } catch {
            if shown > 0 { show("") }
            shown = 0
            complain("termspan: No backup was made: \(error).")
            if case .exists? = error as? StoreBackup.Refusal { complain("termspan: Give --force to replace it, or another name.") }
            switch error as? StoreBackup.Refusal {
            case .insecure?, .link?: complain("termspan: Take a folder that root alone may write to, as /var/backups.")
            default: break
            }
            return 1
        }
    }

    /// Has the collector record where a copy of everybody's data goes; whether it is in the audit record. A backup is needed most where something is
    /// broken, so it is made all the same (ADR 13).
    private static func record(_ file: String) -> Bool {
        do throws(BusError) {
            _ = try BusConnection.system().callAndWait(
                ManagerObject.name, path: ManagerObject.path, interface: "org.termspan1.Manager", member: "RecordBackup",
                timeout: .seconds(15), autoStart: false
            ) { writer in writer.append(file) }
            return true
        } catch {
            complain("termspan: That this backup is made is not in the audit record: \(error).")
            return false
        }
    }
}

private let wasInterrupted = Atomic<Bool>(false)

extension StoreBackup {
    fileprivate func text(_ target: String) -> String {
        """
        \(target): \(bytes) bytes, checked.
        SHA-256: \(digest)
        Who and from where is in it under keys that are not: back up /var/lib/termspan-keys apart, see termspan-keys(7). Without them nobody's name
        can be read in it; and whoever is erased is erased in it too, as long as no older copy of the keys is kept.

        """
    }

    fileprivate func json(_ target: String, isRecorded: Bool) -> String {
        let escaped = target.unicodeScalars.map { scalar in
            switch scalar {
            case "\"", "\\": "\\\(scalar)"
            case _ where scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value):
                "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: String(scalar)
            }
        }.joined()
        return "{\"file\":\"\(escaped)\",\"bytes\":\(bytes),\"sha256\":\"\(digest)\",\"recorded\":\(isRecorded)}\n"
    }
}
