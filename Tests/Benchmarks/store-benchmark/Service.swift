import BusTesting
import Foundation
import Glibc
import ProgramOptions
import TermspanBus
import TermspanStore

/// The report service as it is installed, on a bus of its own, with a collector that knows nothing beside the store and lets everybody see everything.
@MainActor final class Service {
    private let bus: PrivateBus
    private let loop: EventLoop
    private let client: BusConnection
    private let manager: BusConnection
    private var slots: [BusSlot] = []
    private let program: Child

    var processID: Int32 { program.processID }

    init(store: String, keys: String, master: [UInt8], folder: String) throws {
        bus = try PrivateBus()
        loop = try EventLoop()
        client = try .open(address: bus.address)
        try client.attach(to: loop)
        manager = try .open(address: bus.address)
        try manager.attach(to: loop)
        slots.append(
            try manager.export(
                path: "/org/termspan1",
                BusInterface(
                    "org.termspan1.Manager",
                    methods: [
                        BusMethod("CollectActivity", in: ["filter": "a{sv}"], out: ["rows": "aa{sv}"]) { call in call.reply { $0.rows([]) }
                        },
                        BusMethod("RecordRead", in: ["read": "a{sv}"]) { call in call.reply() },
                        BusMethod("GetSight", in: ["reader": "u", "right": "s", "whose": "a{sv}"], out: ["sight": "a{sv}"]) { call in
                            call.reply { $0.properties(["all": .bool(true)]) }
                        },
                        BusMethod("GetClassification", out: ["classification": "a{sv}"]) { call in
                            call.reply { $0.properties(["rules": .string("")]) }
                        },
                    ])))
        try manager.requestName("org.termspan1")
        try Data(master).write(to: URL(fileURLWithPath: "\(folder)/\(KeyPlace.credential)"))
        let nowhere = Glibc.open("/dev/null", O_WRONLY | O_CLOEXEC)
        defer { close(nowhere) }
        program = try Child(
            [
                option("--service") ?? PrivateBus.productsFolder + "/termspan-reportd", "--database", store, "--keys", keys, "--idle",
                "3600",
            ], output: nowhere,
            errors: 2, environment: ["DBUS_SYSTEM_BUS_ADDRESS=" + bus.address, "CREDENTIALS_DIRECTORY=" + folder])
        while true {
            var isOwned: Bool?
            client.call(
                "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus", member: "GetNameOwner",
                arguments: { $0.append("org.termspan1.Reports") }, reply: { isOwned = (try? $0.get()) != nil })
            while isOwned == nil { try loop.runOnce(timeout: .milliseconds(20)) }
            if isOwned == true { break }
            guard !program.hasEnded() else { throw BusError(code: ECHILD, operation: "starting termspan-reportd") }
            usleep(10_000)
        }
    }

    /// Asks, reads the answer to its end and gives `each` what came; what it takes altogether, in seconds.
    func ask(_ member: String, _ filter: [String: BusValue], _ each: (UnsafeRawBufferPointer) -> Void) throws -> Double {
        let begin = now()
        var answer: Result<Int32, BusError>?
        client.call(
            "org.termspan1.Reports", path: "/org/termspan1/reports", interface: "org.termspan1.Reports", member: member,
            arguments: { $0.properties(filter) },
            reply: { result in
                answer = result.flatMap { message in
                    do throws(BusError) { return .success(dup(try message.readUnixFD())) } catch { return .failure(error) }
                }
            })
        while answer == nil { try loop.runOnce(timeout: .seconds(1)) }
        let descriptor = try answer!.get()
        defer { close(descriptor) }
        var part = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &part, part.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return now() - begin }
            part.withUnsafeBytes { each(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        }
    }

    /// The answer's lines, and the seconds until the last one.
    func lines(_ member: String, _ filter: [String: BusValue]) throws -> (seconds: Double, lines: [[String: Any]]) {
        var bytes: [UInt8] = []
        let seconds = try ask(member, filter) { bytes += $0 }
        let lines = try bytes.split(separator: UInt8(ascii: "\n")).map {
            try JSONSerialization.jsonObject(with: Data($0)) as? [String: Any] ?? [:]
        }
        if let error = lines.last?["error"] { throw BusError.failed("\(member): \(error)") }
        return (seconds, lines)
    }

    func stop() {
        program.stop()
        bus.stop()
    }
}

func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
