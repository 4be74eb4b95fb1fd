import Glibc
package import TermspanBus
import TermspanCore
package import TermspanSessions
import TermspanSystem

/// Short-lived units that do what root should not: as a session's user they read an X server's cookie and end the connections of a VNC
/// server's clients, as nobody in particular what xrdp's clients call themselves, and by which address the internet sees the machine.
///
/// So a path that the user controls is never opened as root, and a home that stalls stalls nobody else; what a client says is read by
/// who has nothing to lose; and who talks to the internet sees nothing of the machine.
@MainActor
package final class HelperUnits {
    private let loop: EventLoop
    private let units: UnitManager
    private var runs: [Int: Run] = [:]
    private var count = 0

    /// What reads cookies: the probe as a unit without its empty root sees it.
    private static let reader = "/usr/libexec/termspan/probe-root/probe"
    /// How long reading a cookie may take; the unit's own limits, of being set up and of running, are shorter together.
    private static let cookieTimeout: Duration = .seconds(30)
    private static let mounts = "/proc/1/mountinfo"
    /// The machine's own mounts come first, and users' can be long: what lies beyond is not looked at.
    private static let mountsLimit = 1 << 20
    private static let cookieLength = 16
    private static let program = "/usr/libexec/termspan/termspand"
    /// How long reading names may take; the unit's own limit is shorter.
    private static let namesTimeout: Duration = .seconds(10)
    /// How long disconnecting may take: less than a caller on the bus waits.
    private static let disconnectTimeout: Duration = .seconds(10)
    private static let curl = "/usr/bin/curl"
    /// How long asking for the address may take; curl's own limit is shorter.
    private static let addressTimeout: Duration = .seconds(20)
    /// An address of IPv6 in full, and what a server may put around it.
    private static let addressLength = 64
    /// What is read of what a disconnecting unit says, and what of that is passed on.
    private static let answerLength = 512
    private static let complaintLength = 120

    package init(loop: EventLoop, connection: BusConnection) {
        self.loop = loop
        units = UnitManager(connection: connection)
    }

    /// What became of a unit.
    private enum Outcome {
        /// It has ended, and this is what it put out.
        case output([UInt8])
        /// It said more than it may, took too long or could not be started.
        case failed(String)
    }

    private enum Kind: String {
        case cookie, disconnect, names, address
    }

    private final class Run {
        let kind: Kind
        /// Nil where it is no user's of the machine.
        let uid: UInt32?
        let limit: Int
        var source: EventSource?
        var timer: EventSource?
        var input: OwnedDescriptor?
        var bytes: [UInt8] = []
        /// Nil once it has been answered that it failed, while the unit still hangs.
        var completion: (@MainActor (Outcome) -> Void)?

        init(_ kind: Kind, uid: UInt32?, limit: Int) {
            self.kind = kind
            self.uid = uid
            self.limit = limit
        }
    }

    /// Reads the cookie for the server's display; `completion` gets its 16 bytes, or nil if there is none or it takes too long.
    package func readCookie(for server: XServer, uid: UInt32, completion: @escaping @MainActor ([UInt8]?) -> Void) {
        let command = [Self.reader, "cookie", "--server", String(server.pid), "--display", String(server.display)]
        // Without the mounts it may still be in the machine's root file system.
        let mounts = (try? readFile(Self.mounts, limit: Self.mountsLimit, options: [.anyKind, .truncate])) ?? []
        let folders = Self.foldersOfFiles(mounts: mounts).map { UnitManager.Folder(path: $0, isWhole: true) }
        run(
            .cookie, command, about: Self.name(of: server), uid: uid, limit: Self.cookieLength, timeout: Self.cookieTimeout,
            showing: folders + [UnitManager.Folder(path: "/run/user/\(uid)", isWhole: false)]
        ) { outcome in
            guard case .output(let bytes) = outcome, bytes.count == Self.cookieLength else { return completion(nil) }
            completion(bytes)
        }
    }

    /// Has a server let its clients go, by a command that then prints a number; one at a time of each user.
    ///
    /// - Parameter completion: gets why it could not be done, or nil.
    package func disconnectClients(of server: XServer, uid: UInt32, _ command: [String], completion: @escaping @MainActor (String?) -> Void)
    {
        if runs.values.contains(where: { $0.uid == uid && $0.kind == .disconnect && $0.completion != nil }) {
            return completion("that was asked for already and is under way")
        }
        run(.disconnect, command, about: Self.name(of: server), uid: uid, limit: Self.answerLength, timeout: Self.disconnectTimeout) {
            outcome in
            switch outcome {
            case .failed(let why): completion(why)
            case .output(let said): completion(Self.complaint(said, of: command[0]))
            }
        }
    }

    /// Reads what the clients call themselves that xrdp's processes serve; `completion` gets the names that were read, and whether all were
    /// that there are.
    package func readClientNames(of pids: [UInt32], completion: @escaping @MainActor (_ names: [UInt32: String], _ isWhole: Bool) -> Void) {
        let command = [Self.program, "--client-names"] + pids.map(String.init)
        let limit = XrdpClientName.answerLength(of: pids.count)
        run(.names, command, about: "xrdp", uid: nil, limit: limit, timeout: Self.namesTimeout) { outcome in
            guard case .output(let answer) = outcome else { return completion([:], false) }
            let (names, isWhole) = XrdpClientName.names(in: answer, about: pids)
            completion(names, isWhole)
        }
    }

    /// Asks a server on the internet by which address it sees the machine; `completion` gets that, or why it could not be had.
    package func askPublicAddress(of url: String, completion: @escaping @MainActor (Result<String, AddressError>) -> Void) {
        // What it says of a failure goes to the journal, as the unit's.
        let command = [
            Self.curl, "--disable", "--silent", "--show-error", "--fail", "--globoff", "--max-time", "15", "--proto", "=https,http",
            "--url", url,
        ]
        run(.address, command, about: "of-machine", uid: nil, limit: Self.addressLength, timeout: Self.addressTimeout) { outcome in
            switch outcome {
            case .failed(let why): completion(.failure(AddressError(description: why)))
            case .output(let bytes):
                let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
                guard words.count == 1, Fact.isAddress(String(words[0])) else {
                    let problem =
                        bytes.isEmpty ? "nothing was answered; the journal of termspan-address has more" : "the answer is no address"
                    return completion(.failure(AddressError(description: problem)))
                }
                completion(.success(String(words[0])))
            }
        }
    }

    /// Why a public address is not known.
    package struct AddressError: Error, CustomStringConvertible {
        package let description: String
    }

    /// The folders of the root in or at which there are mounts where users may have files, by proc(5)'s mountinfo.
    ///
    /// Those of /run are left out, since each user has one there, and it is by their number that systemd's work grows.
    static func foldersOfFiles(mounts: [UInt8]) -> [String] {
        var folders: Set<String> = []
        for line in mounts.split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5, omittingEmptySubsequences: false)
            guard fields.count > 5, let first = fields[4].split(separator: UInt8(ascii: "/"), maxSplits: 1).first else { continue }
            let name = String(decoding: first, as: UTF8.self)
            // Of a name with a space or the like, which is escaped, nobody has files.
            if !name.utf8.contains(UInt8(ascii: "\\")), !["boot", "dev", "efi", "proc", "run", "sys"].contains(name) {
                folders.insert("/" + name)
            }
        }
        return folders.sorted()
    }

    private static func name(of server: XServer) -> String { "\(server.display)-\(server.pid)" }

    /// What a command said of its failure, or nil if it said that it succeeded. One that was kept from running or was killed says nothing.
    static func complaint(_ said: [UInt8], of program: String) -> String? {
        let lines = said.split { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }.map { $0.filter { (0x20..<0x7F).contains($0) } }
        guard let complaint = lines.first(where: { Int(String(decoding: $0, as: UTF8.self)) == nil }) else {
            return lines.isEmpty ? "\(program) did not come to an end" : nil
        }
        // It is the user's program and X server that speak.
        return "\(program) said '\(String(decoding: complaint.prefix(complaintLength), as: UTF8.self))'"
    }

    /// Runs a command as the user, or as the unit's drop-in says, and collects its output, up to a limit.
    ///
    /// One that waits for a file system that does not answer can't even be killed, and its user decides how long that lasts: there is
    /// no other of its kind for that user until it has gone.
    private func run(
        _ kind: Kind, _ command: [String], about subject: String, uid: UInt32?, limit: Int, timeout: Duration,
        showing folders: [UnitManager.Folder] = [], completion: @escaping @MainActor (Outcome) -> Void
    ) {
        if runs.values.contains(where: { $0.uid == uid && $0.kind == kind && $0.completion == nil }) {
            return completion(.failed("an earlier unit of this user's still hangs"))
        }
        guard let pipe = try? Pipe() else { return completion(.failed("there is no descriptor left")) }
        count += 1
        let service = UnitManager.Service(
            // Those of an earlier life of the collector may last.
            name: "termspan-\(kind.rawValue)-\(subject)-\(getpid())-\(count).service",
            description: "Termspan's \(kind.rawValue) helper for \(subject)", command: command, uid: uid, folders: folders)
        let run = Run(kind, uid: uid, limit: limit)
        run.completion = completion
        runs[count] = run
        pipe.split { start(service, as: count, run, timeout: timeout, from: $0, to: $1) }
    }

    private func start(
        _ service: UnitManager.Service, as number: Int, _ run: Run, timeout: Duration,
        from input: consuming OwnedDescriptor, to output: consuming OwnedDescriptor
    ) {
        let descriptor = input.raw
        run.input = consume input
        do {
            run.source = try loop.watch(descriptor) { [weak self] _ in self?.drain(number, from: descriptor) }
            run.timer = try loop.after(timeout) { [weak self] in self?.giveUp(number) }
        } catch {
            return finish(number, .failed("\(error)"))
        }
        var service = service
        service.standardOutput = output.raw
        units.start(service) { [weak self] result in
            if case .failure(let error) = result { self?.finish(number, .failed("its unit could not be started: \(error)")) }
        }
        // The message holds a duplicate; with this one closed, the pipe ends when the unit does.
        _ = consume output
    }

    private func drain(_ number: Int, from descriptor: Int32) {
        guard let run = runs[number] else { return }
        var buffer = [UInt8](repeating: 0, count: 64)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count > 0 {
                run.bytes += buffer.prefix(count)
                if run.bytes.count > run.limit { return finish(number, .failed("it said too much")) }
            } else if count < 0 && errno == EINTR {
                continue
            } else if count < 0 && errno == EAGAIN {
                return
            } else {
                return finish(number, .output(run.bytes))
            }
        }
    }

    /// Answers that it failed. The pipe stays open: its other end tells when the unit has gone.
    private func giveUp(_ number: Int) {
        guard let run = runs[number], let completion = run.completion else { return }
        run.completion = nil
        run.timer = nil
        completion(.failed("it took too long"))
    }

    private func finish(_ number: Int, _ outcome: Outcome) {
        guard let run = runs.removeValue(forKey: number) else { return }
        run.source?.cancel()
        run.timer?.cancel()
        run.completion?(outcome)
    }
}
