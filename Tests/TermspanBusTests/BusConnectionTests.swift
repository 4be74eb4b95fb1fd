import BusTesting
import Glibc
import TermspanCore
import Testing

@testable import TermspanBus

@Suite(.serialized) @MainActor struct BusConnectionTests {
    /// A server and a client on one bus and one loop.
    @MainActor final class Pair {
        let bus: PrivateBus
        let loop: EventLoop
        let server: BusConnection
        let client: BusConnection
        var slots: [BusSlot] = []
        static let name = "org.termspan1.Test"

        init() throws {
            bus = try PrivateBus()
            loop = try EventLoop()
            server = try .open(address: bus.address)
            client = try .open(address: bus.address)
            try server.attach(to: loop)
            try client.attach(to: loop)
            try server.requestName(Self.name)
        }

        func call(
            _ member: String, path: String = "/test", interface: String = "org.termspan1.Test",
            arguments: @MainActor (inout BusMessageWriter) throws(BusError) -> Void = { _ in }
        ) throws -> Result<BusMessage, BusError> {
            var answer: Result<BusMessage, BusError>?
            client.call(Self.name, path: path, interface: interface, member: member, arguments: arguments) { answer = $0 }
            try turn(loop) { answer != nil }
            return try #require(answer)
        }
    }

    @MainActor final class Objects {
        var paths: Set<String> = ["/test/session/_1", "/test/session/_2"]
    }

    static let everything: [BusValue] = [
        .byte(255), .bool(true), .int16(-5), .uint16(65535), .int32(.min), .uint32(.max), .int64(.min), .uint64(.max), .double(0.5),
        .string("gr\u{FC}n \u{1F33F}"), .objectPath("/a/b_1"), .signature("a{sv}"), .array(of: "s", ["a", "b"]), .array(of: "u", []),
        .structure([.uint32(1), .string("x"), .array(of: "(ii)", [.structure([.int32(1), .int32(2)])])]),
        .properties(["k": .uint64(1), "l": .properties(["m": .bool(false)])]),
        .dictionary(key: "u", value: "s", [.init(key: .uint32(7), value: .string("seven"))]),
        .variant(.variant(.int32(3))),
    ]

    @Test func valuesOfEveryTypeComeBack() throws {
        let pair = try Pair()
        defer { pair.bus.stop() }
        pair.slots.append(
            try pair.server.export(
                path: "/test",
                BusInterface(
                    "org.termspan1.Test",
                    methods: [
                        BusMethod("Echo", in: ["value": "v"], out: ["value": "v"]) { call throws(BusError) in
                            let value = try call.message.readValue()
                            call.reply { $0.append(value) }
                        }
                    ])))
        for value in Self.everything {
            let answer = try pair.call("Echo") { $0.append(BusValue.variant(value)) }.get()
            #expect(try answer.readValue() == .variant(value))
            #expect(answer.atEnd)
        }
    }

    @Test func descriptorsTravel() throws {
        let pair = try Pair()
        defer { pair.bus.stop() }
        pair.slots.append(
            try pair.server.export(
                path: "/test",
                BusInterface(
                    "org.termspan1.Test",
                    methods: [
                        BusMethod("Pipe", out: ["read_end": "h"]) { call throws(BusError) in
                            var ends: [Int32] = [0, 0]
                            try check(pipe(&ends), "pipe")
                            _ = write(ends[1], "hello", 5)
                            close(ends[1])
                            call.reply { $0.append(unixFD: ends[0]) }
                            close(ends[0])
                        }
                    ])))
        let answer = try pair.call("Pipe").get()
        let end = try answer.readUnixFD()
        var text = [UInt8](repeating: 0, count: 16)
        #expect(read(end, &text, 16) == 5)
    }

    @Test func answersCanComeLaterOrAsErrorsOrNotAtAll() throws {
        let pair = try Pair()
        defer { pair.bus.stop() }
        var timer: EventSource?
        pair.slots.append(
            try pair.server.export(
                path: "/test",
                BusInterface(
                    "org.termspan1.Test",
                    methods: [
                        BusMethod("Later", in: ["a": "s"], out: ["a": "s"]) { call throws(BusError) in
                            let text = try call.message.read(String.self)
                            timer = try pair.loop.after(.milliseconds(10)) { call.reply { $0.append(text) } }
                        },
                        BusMethod("Refuse") { _ throws(BusError) in throw .accessDenied("not you") },
                        BusMethod("Forget") { _ in },
                        BusMethod("Bad", out: ["a": "o"]) { call in call.reply { $0.append(objectPath: "no path") } },
                    ])))
        #expect(try pair.call("Later") { $0.append("x") }.get().read(String.self) == "x")
        func error(_ result: Result<BusMessage, BusError>) -> BusError? { if case .failure(let error) = result { error } else { nil } }
        let refused = try #require(error(try pair.call("Refuse")))
        #expect(refused.name == "org.freedesktop.DBus.Error.AccessDenied")
        #expect(refused.message == "not you")
        #expect(refused.isAccessDenied)
        #expect(error(try pair.call("Forget"))?.name == "org.freedesktop.DBus.Error.Failed")
        #expect(error(try pair.call("Bad")) != nil)
        // Wrong arguments don't reach the handler.
        #expect(error(try pair.call("Later") { $0.append(UInt32(1)) })?.name == "org.freedesktop.DBus.Error.InvalidArgs")
        #expect(error(try pair.call("Nothing"))?.name == "org.freedesktop.DBus.Error.UnknownMethod")
        // What can't be sent fails like what wasn't understood.
        #expect(error(try pair.call("Later") { $0.append(objectPath: "no path") })?.code == EINVAL)
        #expect(error(try pair.call("Later", path: "nonsense"))?.code == EINVAL)
        withExtendedLifetime(timer) {}
    }

    @Test func aCallerCannotMakeUsHoldAnyNumberOfStrings() throws {
        let pair = try Pair()
        defer { pair.bus.stop() }
        pair.slots.append(
            try pair.server.export(
                path: "/test",
                BusInterface(
                    "org.termspan1.Test",
                    methods: [
                        BusMethod("Count", in: ["names": "as"], out: ["count": "u"]) { call throws(BusError) in
                            let names = try call.message.readStrings()
                            call.reply { $0.append(UInt32(names.count)) }
                        }
                    ])))
        let most = BusInvocation.valueLimit
        #expect(try pair.call("Count") { $0.append([String](repeating: "", count: most)) }.get().read(UInt32.self) == UInt32(most))
        let refused = #expect(throws: BusError.self) {
            try pair.call("Count") { $0.append([String](repeating: "", count: most + 1)) }.get()
        }
        #expect(refused?.name == "org.freedesktop.DBus.Error.InvalidArgs")
    }

    @Test func nobodyThereIsUnreachable() throws {
        let pair = try Pair()
        defer { pair.bus.stop() }
        let error = #expect(throws: BusError.self) {
            try pair.client.callAndWait("org.termspan1.Nobody", path: "/", interface: "a.b", member: "C")
        }
        #expect(error?.isUnreachable == true)
        let unconnected = #expect(throws: BusError.self) { try BusConnection.open(address: "unix:path=/nonexistent/bus").uniqueName() }
        #expect(unconnected?.isUnreachable == true)
    }

    @Test func aCancelledCallSaysNothing() throws {
        let pair = try Pair()
        defer { pair.bus.stop() }
        var count = 0
        let call = pair.client.call(
            "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus", member: "GetId"
        ) { _ in count += 1 }
        call.cancel()
        try pair.loop.runOnce(timeout: .milliseconds(50))
        try pair.loop.runOnce(timeout: .milliseconds(50))
        #expect(count == 0)
    }

    @Test func propertiesDependOnWhoAsks() throws {
        let pair = try Pair()
        defer { pair.bus.stop() }
        var callers: [String?] = []
        pair.slots.append(
            try pair.server.export(
                path: "/test",
                BusInterface(
                    "org.termspan1.Test",
                    properties: [
                        BusProperty("State", "s", emits: .change) { _, writer in writer.append("active") },
                        BusProperty(sensitive: "Idle", "t") { _, caller, writer in
                            callers.append(caller?.sender)
                            writer.append(UInt64(caller == nil ? 0 : 42))
                        },
                    ])))
        let client = try pair.client.uniqueName()
        let all = try pair.call("GetAll", interface: "org.freedesktop.DBus.Properties") { $0.append("org.termspan1.Test") }.get()
        let values = try all.readProperties()
        #expect(values["State"]?.string == "active")
        #expect(values["Idle"]?.unsigned == 42)
        #expect(callers == [client])

        var changed: [String: BusValue] = [:]
        var count = 0
        pair.slots.append(
            try pair.client.match(BusMatch(sender: Pair.name, interface: "org.freedesktop.DBus.Properties", member: "PropertiesChanged")) {
                message in
                count += 1
                _ = try? message.read(String.self)
                changed = (try? message.readProperties()) ?? [:]
            })
        // The match reaches the bus before the signal does.
        _ = try pair.call("Ping", interface: "org.freedesktop.DBus.Peer").get()
        try pair.server.emitPropertiesChanged(path: "/test", interface: "org.termspan1.Test", ["State"])
        try turn(pair.loop) { count == 1 }
        #expect(changed == ["State": .string("active")])
        #expect(throws: BusError.self) {
            try pair.server.emitPropertiesChanged(path: "/test", interface: "org.termspan1.Test", ["Idle"])
        }
    }

    @Test func signalsOfOthersDoNotPassForTheOwners() throws {
        let pair = try Pair()
        defer { pair.bus.stop() }
        var seen: [UInt32] = []
        pair.slots.append(
            try pair.client.match(BusMatch(sender: Pair.name, path: "/test", interface: "org.termspan1.Test", member: "New")) { message in
                if let number = try? message.read(UInt32.self) { seen.append(number) }
            })
        _ = try pair.call("Ping", interface: "org.freedesktop.DBus.Peer").get()
        // A unicast signal by a stranger, as busctl(1) sends it.
        let client = try pair.client.uniqueName()
        _ = try output(
            pair.loop, "busctl", "--address=\(pair.bus.address)", "emit", "--destination=\(client)", "/test", "org.termspan1.Test", "New",
            "u", "666")
        try pair.server.emit(path: "/test", interface: "org.termspan1.Test", member: "New") { $0.append(UInt32(1)) }
        try turn(pair.loop) { !seen.isEmpty }
        #expect(seen == [1])
    }

    @Test func namesAreWatched() throws {
        let pair = try Pair()
        defer { pair.bus.stop() }
        var owners: [String?] = []
        pair.slots.append(try pair.client.watchName(Pair.name) { owners.append($0) })
        try turn(pair.loop) { owners.count == 1 }
        #expect(owners == [try pair.server.uniqueName()])
        try pair.server.releaseName(Pair.name)
        try turn(pair.loop) { owners.count == 2 }
        #expect(owners.last == .some(nil))
    }

    @Test func objectsBelowAPrefixAreFoundAndListed() throws {
        let pair = try Pair()
        defer { pair.bus.stop() }
        let objects = Objects()
        pair.slots.append(
            try pair.server.export(
                below: "/test/session",
                BusInterface(
                    "org.termspan1.Session",
                    methods: [BusMethod("Who", out: ["path": "s"]) { call in call.reply { $0.append(call.path) } }],
                    properties: [BusProperty("Path", "s", emits: .constant) { path, writer in writer.append(path) }],
                    signals: [BusSignal("Gone", ["id": "u"])]),
                find: { objects.paths.contains($0) }, children: { objects.paths.sorted() }))
        pair.slots.append(try pair.server.exportObjectManager(at: "/test"))
        #expect(try pair.call("Who", path: "/test/session/_2", interface: "org.termspan1.Session").get().read() == "/test/session/_2")
        #expect(throws: BusError.self) { try pair.call("Who", path: "/test/session/_3", interface: "org.termspan1.Session").get() }

        let managed = try pair.call("GetManagedObjects", path: "/test", interface: "org.freedesktop.DBus.ObjectManager").get().readValue()
        guard case .dictionary(_, _, let entries) = managed else { return #expect(Bool(false)) }
        #expect(Set(entries.compactMap(\.key.string)).isSuperset(of: objects.paths))

        let tree = try output(pair.loop, "busctl", "--address=\(pair.bus.address)", "tree", "--list", Pair.name)
        #expect(tree.contains("/test/session/_2"))
        let shown = try output(
            pair.loop, "busctl", "--address=\(pair.bus.address)", "introspect", Pair.name, "/test/session/_1", "org.termspan1.Session")
        for word in [".Who", ".Path", ".Gone", "/test/session/_1"] { #expect(shown.contains(word)) }
        // Whoever listens learns of new objects and of those that go, with their interfaces.
        var signals: [String] = []
        let manager = "org.freedesktop.DBus.ObjectManager"
        let matches = try ["InterfacesAdded", "InterfacesRemoved"].map { (member: String) in
            try pair.client.match(BusMatch(sender: Pair.name, path: "/test", interface: manager, member: member)) { message in
                let path = (try? message.readObjectPath()) ?? ""
                let interfaces = String(describing: try? message.readValue())
                signals.append("\(member) \(path) \(interfaces.contains("org.termspan1.Session"))")
            }
        }
        // A call between: the matches are in force.
        _ = try pair.call("Who", path: "/test/session/_2", interface: "org.termspan1.Session").get()
        objects.paths.insert("/test/session/_7")
        try pair.server.emitObjectAdded(path: "/test/session/_7")
        try pair.server.emitObjectRemoved(path: "/test/session/_2")
        try turn(pair.loop) { signals.count == 2 }
        #expect(signals == ["InterfacesAdded /test/session/_7 true", "InterfacesRemoved /test/session/_2 true"])
        withExtendedLifetime(matches) {}
        objects.paths.remove("/test/session/_2")
        #expect(throws: BusError.self) { try pair.call("Who", path: "/test/session/_2", interface: "org.termspan1.Session").get() }
    }

    @Test func callersAreKnown() throws {
        let pair = try Pair()
        defer { pair.bus.stop() }
        var credentials: BusCredentials?
        pair.slots.append(
            try pair.server.export(
                path: "/test",
                BusInterface(
                    "org.termspan1.Test",
                    methods: [
                        BusMethod("Who") { call throws(BusError) in
                            credentials = try call.credentials()
                            call.reply()
                        }
                    ])))
        _ = try pair.call("Who").get()
        #expect(credentials?.userID == getuid())
        #expect(credentials?.processID == getpid())
    }

    @Test func deepAndLargeValuesAreRefused() throws {
        let pair = try Pair()
        defer { pair.bus.stop() }
        pair.slots.append(
            try pair.server.export(
                path: "/test",
                BusInterface(
                    "org.termspan1.Test",
                    methods: [
                        BusMethod("Take", in: ["value": "v"]) { call throws(BusError) in
                            _ = try call.message.readValue()
                            call.reply()
                        }
                    ])))
        var deep = BusValue.byte(1)
        for _ in 0..<30 { deep = .variant(deep) }
        #expect(throws: BusError.self) { try pair.call("Take") { $0.append(deep) }.get() }
        let large = BusValue.variant(.array(of: "y", (0..<20_000).map { _ in .byte(0) }))
        #expect(throws: BusError.self) { try pair.call("Take") { $0.append(large) }.get() }
        #expect(throws: Never.self) { try pair.call("Take") { $0.append(BusValue.variant(.byte(1))) }.get() }
    }

    @Test func polkitDecidesForOthersThanRoot() throws {
        let pair = try Pair()
        defer { pair.bus.stop() }
        try pair.server.requestName("org.freedesktop.PolicyKit1")
        var asked: [String] = []
        pair.slots.append(
            try pair.server.export(
                path: "/org/freedesktop/PolicyKit1/Authority",
                BusInterface(
                    "org.freedesktop.PolicyKit1.Authority",
                    methods: [
                        BusMethod(
                            "CheckAuthorization",
                            in: ["subject": "(sa{sv})", "action": "s", "details": "a{ss}", "flags": "u", "cancellation": "s"],
                            out: ["result": "(bba{ss})"]
                        ) { call throws(BusError) in
                            _ = try call.message.readValue()
                            asked.append(try call.message.read())
                            call.reply { writer in
                                writer.structure("bba{ss}") { writer in
                                    writer.append(false)
                                    writer.append(true)
                                    writer.array(of: "{ss}") { _ in }
                                }
                            }
                        }
                    ])))
        pair.slots.append(
            try pair.server.export(
                path: "/test",
                BusInterface(
                    "org.termspan1.Test",
                    methods: [
                        BusMethod("Change") { call in
                            Polkit.check("org.termspan1.manage-tracking", call, on: pair.server) { result in
                                switch result {
                                case .success: call.reply()
                                case .failure(let error): call.fail(error)
                                }
                            }
                        }
                    ])))
        let answer = try pair.call("Change")
        if getuid() == 0 {
            #expect(throws: Never.self) { try answer.get() }
            #expect(asked.isEmpty)
        } else {
            #expect(throws: BusError.self) { try answer.get() }
            #expect(asked == ["org.termspan1.manage-tracking"])
        }
    }
}
