import Foundation
import Glibc
import TermspanAccounting
import TermspanBus
import TermspanConfiguration
import TermspanStore
import TermspanSystem

/// termspan-reportd: started by the bus, ends when nobody has asked for a while.
@MainActor
package enum ReportsProgram {
    private static let usage = """
        Usage: termspan-reportd [--database FILE] [--keys FILE] [--idle SECONDS]
               termspan-reportd --make-database FILE

        Answers questions about recorded activity on the system bus (org.termspan1.Reports).
        The bus starts it when it is asked; it ends by itself. See termspan-reportd(8).
        --make-database is for termspan export sqlite: it makes a database of the tables that it reads.

        """

    /// Runs the service. Exit codes: 0 ended, 1 failed, 2 wrong arguments.
    package static func run(_ arguments: [String]) -> Int32 {
        var options = ReportsService.Options()
        options.keys = .ofService(path: options.keys.path)
        if let path = getenv("TERMSPAN_DATABASE") { options.store = String(cString: path) }
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "--database":
                guard let path = rest.popFirst() else { return complain(usage, 2) }
                options.store = path
            case "--keys":
                guard let path = rest.popFirst() else { return complain(usage, 2) }
                options.keys.path = path
            case "--idle":
                guard let seconds = rest.popFirst().flatMap({ UInt32($0) }) else { return complain(usage, 2) }
                options.idle = .seconds(seconds)
            case "--make-database":
                guard let path = rest.popFirst(), rest.isEmpty else { return complain(usage, 2) }
                return makeDatabase(path)
            case "--help", "-h":
                print(usage, terminator: "")
                return 0
            default:
                return complain(usage, 2)
            }
        }
        options.kept = Configuration().shortestKept
        // What one page of rows needed the next one needs again: given back to the kernel between them, it took a sixth of a long report's time.
        keepFreedMemory(upTo: 1 << 20)
        do {
            let configuration = try Configuration.load()
            options.thresholds = Thresholds(idle: configuration.idleThreshold, passiveLimit: configuration.passiveLimit)
            options.kept = configuration.shortestKept
            options.calls = CallLimits.Settings(callsPerSecond: configuration.limits.busCallsPerSecond)
        } catch {
            // The collector says so too, and keeps to what it had; here the defaults hold.
            _ = complain("termspan-reportd: \(error)\n", 0)
        }
        do {
            let loop = try EventLoop()
            let bus = try BusConnection.system()
            try bus.attach(to: loop)
            let service = try ReportsService(options: options, bus: bus, loop: loop)
            try service.endOnSignals()
            // The bus starts another one when somebody asks; answers under way end with their pipes.
            let lost = try bus.onDisconnect { loop.exit() }
            return withExtendedLifetime((service, lost)) {
                // At once: nothing is left to be taken apart.
                do { exit(try loop.run()) } catch { return complain("termspan-reportd: \(error)\n", 1) }
            }
        } catch {
            return complain("termspan-reportd: \(error)\n", 1)
        }
    }

    /// Makes a database of the lines of an export on standard input, as whoever runs it, and prints how many rows it has.
    private static func makeDatabase(_ path: String) -> Int32 {
        do {
            let database = try ExportDatabase(path: path)
            var buffer = Data()
            var part = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = read(STDIN_FILENO, &part, part.count)
                if count < 0, errno == EINTR { continue }
                if count < 0 { return complain("termspan-reportd: reading: \(String(cString: strerror(errno)))\n", 1) }
                if count == 0 { break }
                buffer.append(contentsOf: part[..<count])
                var start = buffer.startIndex
                while let end = buffer[start...].firstIndex(of: UInt8(ascii: "\n")) {
                    try database.add(buffer[start..<end])
                    start = end + 1
                }
                buffer = Data(buffer[start...])
                if buffer.count > 1 << 20 { return complain("termspan-reportd: a line is too long\n", 1) }
            }
            print(try database.finish())
            return 0
        } catch {
            unlink(path)
            return complain("termspan: \(error)\n", 1)
        }
    }

    private static func complain(_ text: String, _ code: Int32) -> Int32 {
        let bytes = Array(text.utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
        return code
    }
}
