import BusTesting
import CSystemd
import Glibc
import TermspanCore
import Testing

@testable import TermspanBus

/// The gate on a real bus.
@Suite(.serialized) @MainActor struct CallGateTests {
    typealias Pair = BusConnectionTests.Pair

    /// A service behind a gate that limits root as well, since that may be who runs the test.
    @MainActor final class Stage {
        let pair: Pair
        let gate: CallGate
        var numbers: [UInt32] = []
        var credentials: [BusCredentials?] = []
        var unanswered: [BusInvocation] = []
        var duringCall: () -> Void = {}

        init(
            _ change: (inout CallLimits.Settings) -> Void = { _ in }, generation: Int = 100, held: HeldCalls<BusMessage> = HeldCalls()
        ) throws {
            pair = try Pair()
            var settings = CallLimits.Settings(callsPerSecond: 10, exempt: [])
            settings.underWay = 1000
            change(&settings)
            gate = try pair.server.limitCalls(settings, loop: pair.loop, callers: CallerCache(generation: generation), held: held)
            pair.slots.append(
                try pair.server.export(
                    path: "/test",
                    BusInterface(
                        Pair.name,
                        methods: [
                            BusMethod("Note", in: ["number": "u"]) { [unowned self] call throws(BusError) in
                                numbers.append(try call.message.read())
                                duringCall()
                                credentials.append(try call.credentials())
                                call.reply()
                            },
                            BusMethod("Text", in: ["text": "s"]) { call throws(BusError) in
                                _ = try call.message.read(String.self)
                                call.reply()
                            },
                            BusMethod("Wait") { [unowned self] call in unanswered.append(call) },
                        ],
                        properties: [
                            BusProperty(sensitive: "Caller", "u") { _, caller, writer throws(BusError) in
                                writer.append(try caller?.credentials().userID ?? .max)
                            }
                        ])))
        }

        func client() throws -> BusConnection {
            let client = try BusConnection.open(address: pair.bus.address)
            try client.attach(to: pair.loop)
            return client
        }

        func turn(until condition: () -> Bool) throws { try TermspanBusTests.turn(pair.loop, until: condition) }

        /// Makes calls without waiting in between; how many were answered and how many refused.
        func flood(_ count: Int, _ client: BusConnection? = nil, path: String = "/test", member: String = "Note") throws -> (Int, Int) {
            var (answered, refused) = (0, 0)
            for number in 0..<count {
                (client ?? pair.client).call(
                    Pair.name, path: path, interface: Pair.name, member: member,
                    arguments: { $0.append(UInt32(number)) },
                    reply: { result in
                        if case .failure(let error) = result, error.name == "org.freedesktop.DBus.Error.LimitsExceeded" {
                            refused += 1
                        } else {
                            answered += 1
                        }
                    })
            }
            try turn { answered + refused == count }
            return (answered, refused)
        }
    }

    @Test func callsBeyondTheRateAreRefusedAndTheNextOnesAreNot() throws {
        let stage = try Stage()
        defer { stage.pair.bus.stop() }
        // One connection may have 16 calls waiting before it is known.
        #expect(try stage.flood(1) == (1, 0))
        let (answered, refused) = try stage.flood(100)
        #expect((49...55).contains(answered))
        #expect(answered + refused == 100)
        #expect(stage.gate.refusedCalls == UInt64(refused))
        #expect(stage.numbers.count == answered + 1)
        #expect(stage.gate.counts.refusals == 0)
        // What there is no object for is refused as well.
        let start = stage.pair.loop.now
        #expect(try stage.flood(100, path: "/nothing").1 >= 90)
        try stage.turn { stage.pair.loop.now > start.advanced(by: .seconds(1)) }
        #expect(try stage.flood(1) == (1, 0))
    }

    @Test func anotherConnectionOfTheSameUserIsRefusedToo() throws {
        let stage = try Stage()
        defer { stage.pair.bus.stop() }
        _ = try stage.flood(1)
        _ = try stage.flood(100)
        #expect(try stage.flood(10, stage.client()).1 >= 8)
    }

    @Test func callersAreKnownWithoutWaitingForTheBus() throws {
        let stage = try Stage()
        defer { stage.pair.bus.stop() }
        stage.duringCall = { kill(stage.pair.bus.processID, SIGSTOP) }
        var isAnswered = false
        stage.pair.client.call(
            Pair.name, path: "/test", interface: Pair.name, member: "Note", arguments: { $0.append(UInt32(1)) },
            reply: { _ in isAnswered = true })
        // It would stand still for 25 s, were the bus asked during the call.
        let start = stage.pair.loop.now
        try stage.turn { !stage.credentials.isEmpty }
        kill(stage.pair.bus.processID, SIGCONT)
        #expect(stage.pair.loop.now < start.advanced(by: .seconds(5)))
        #expect(stage.credentials == [BusCredentials(userID: getuid(), processID: getpid())])
        try stage.turn { isAnswered }
        let value = try stage.pair.call("Get", interface: "org.freedesktop.DBus.Properties") { writer in
            writer.append(Pair.name)
            writer.append("Caller")
        }.get().readValue()
        #expect(value == .variant(.uint32(getuid())))
    }

    @Test func callsOfANewCallerKeepTheirOrder() throws {
        let stage = try Stage()
        defer { stage.pair.bus.stop() }
        for _ in 0..<3 {
            let client = try stage.client()
            #expect(try stage.flood(12, client) == (12, 0))
        }
        #expect(stage.numbers == (0..<36).map { UInt32($0 % 12) })
        #expect(stage.gate.counts.callers == 3)
        #expect(stage.gate.counts.held == 0)
    }

    @Test func aForgottenCallerIsAskedForAgain() throws {
        let stage = try Stage({ $0.rate = Rate(1000, per: .seconds(1), burst: 1000) }, generation: 1)
        defer { stage.pair.bus.stop() }
        let clients = try (0..<5).map { _ in try stage.client() }
        for client in clients + clients {
            #expect(try stage.flood(3, client) == (3, 0))
            #expect(stage.gate.counts.callers <= 2)
        }
        #expect(stage.credentials.allSatisfy { $0?.userID == getuid() })
    }

    @Test func aCallerThatHasGoneLeavesNothing() throws {
        let stage = try Stage()
        defer { stage.pair.bus.stop() }
        for _ in 0..<20 {
            let client = try BusConnection.open(address: stage.pair.bus.address)
            _ = try client.uniqueName()
            for _ in 0..<5 { client.call(Pair.name, path: "/test", interface: Pair.name, member: "Wait") { _ in } }
            client.flush()
        }
        #expect(try stage.flood(1) == (1, 0))
        try stage.turn { stage.gate.counts.held == 0 }
    }

    @Test func moreThanACallerMayHaveWaitingIsRefused() throws {
        let stage = try Stage({ $0.rate = Rate(1000, per: .seconds(1), burst: 1000) })
        defer { stage.pair.bus.stop() }
        // All of them are there before the bus has answered who calls.
        _ = try stage.pair.client.uniqueName()
        kill(stage.pair.bus.processID, SIGSTOP)
        let result = Result { () throws in
            var (answered, refused) = (0, 0)
            for number in 0..<40 {
                stage.pair.client.call(
                    Pair.name, path: "/test", interface: Pair.name, member: "Note", arguments: { $0.append(UInt32(number)) }
                ) { if case .success = $0 { answered += 1 } else { refused += 1 } }
            }
            stage.pair.client.flush()
            kill(stage.pair.bus.processID, SIGCONT)
            try stage.turn { answered + refused == 40 }
            return answered
        }
        #expect(try result.get() >= 16)
        #expect(stage.gate.counts.held == 0)
    }

    @Test func twoFloodersAtOnceKeepNobodyOutWhoIsNotKnownYet() throws {
        let held = HeldCalls<BusMessage>(limit: 96, limitFreely: 64, limitPerCaller: 16)
        let stage = try Stage({ $0.rate = Rate(1000, per: .seconds(1), burst: 1000) }, held: held)
        defer { stage.pair.bus.stop() }
        var clients: [BusConnection] = []
        var (answered, refused) = ([0, 0], 0)
        /// Makes calls on connections of their own. The bus has put them in our queue before we ask it for any caller.
        func call(_ count: Int, on connections: Int, as number: Int) throws {
            for _ in 0..<connections {
                let client = try stage.client()
                for _ in 0..<count {
                    client.call(Pair.name, path: "/test", interface: Pair.name, member: "Note", arguments: { $0.append(UInt32(number)) }) {
                        if case .success = $0 { answered[number] += 1 } else { refused += 1 }
                    }
                }
                let bus = (name: "org.freedesktop.DBus", path: "/org/freedesktop/DBus")
                _ = try client.callAndWait(bus.name, path: bus.path, interface: bus.name, member: "GetId")
                clients.append(client)
            }
        }
        // Two who have six connections each, and others with one.
        try call(40, on: 12, as: 0)
        try call(1, on: 24, as: 1)
        try stage.turn { answered[0] + answered[1] + refused == 12 * 40 + 24 }
        #expect(answered[1] == 24)
        // Four connections had all that one may have waiting, and then each its one.
        #expect(answered[0] == 64 + 8)
        #expect(stage.gate.counts.held == 0)
    }

    @Test func callsUnderWayAreBounded() throws {
        let stage = try Stage({ $0.underWay = 3 })
        defer { stage.pair.bus.stop() }
        var (answered, refused) = (0, 0)
        for _ in 0..<5 {
            stage.pair.client.call(Pair.name, path: "/test", interface: Pair.name, member: "Wait") {
                if case .success = $0 { answered += 1 } else { refused += 1 }
            }
        }
        try stage.turn { refused == 2 }
        #expect(stage.unanswered.count == 3)
        stage.unanswered.removeFirst().reply()
        // One that is dropped is answered with an error.
        stage.unanswered.removeFirst()
        try stage.turn { answered == 1 && refused == 3 }
        #expect(try stage.flood(1) == (1, 0))
        stage.unanswered = []
    }

    @Test func nothingIsAnsweredToWhoeverExpectsNothing() throws {
        let stage = try Stage({ $0.rate = Rate(1, per: .seconds(100), burst: 1) })
        defer { stage.pair.bus.stop() }
        #expect(try stage.flood(1) == (1, 0))
        var call: OpaquePointer?
        sd_bus_message_new_method_call(stage.pair.client.bus, &call, Pair.name, "/test", Pair.name, "Note")
        defer { sd_bus_message_unref(call) }
        sd_bus_message_set_expect_reply(call, 0)
        #expect(sd_bus_send(stage.pair.client.bus, call, nil) >= 0)
        try stage.turn { stage.gate.refusedCalls == 1 }
        #expect(stage.gate.counts.refusals == 0)
        #expect(stage.numbers == [0])
    }

    @Test func theLimitIsTold() throws {
        let stage = try Stage()
        defer { stage.pair.bus.stop() }
        var told: [(UInt32, UInt64)] = []
        stage.gate.onLimit = { told.append(($0, $1)) }
        _ = try stage.flood(1)
        // The bus refuses some of them by itself.
        #expect(try stage.flood(200).1 > 100)
        try stage.turn { !told.isEmpty }
        #expect(told.map(\.0) == [getuid()])
        #expect(told.map(\.1) == [stage.gate.refusedCalls])
        #expect(try stage.flood(100).1 > 0)
        let start = stage.pair.loop.now
        try stage.turn { stage.pair.loop.now > start.advanced(by: .milliseconds(1500)) }
        #expect(told.count == 1)
    }

    @Test func aSignalForUsAloneIsForged() throws {
        let stage = try Stage()
        defer { stage.pair.bus.stop() }
        var seen: [UInt32] = []
        stage.pair.slots.append(
            try stage.pair.server.match(BusMatch(sender: nil, path: "/test", interface: Pair.name, member: "New")) { message in
                if let number = try? message.read(UInt32.self) { seen.append(number) }
            })
        #expect(try stage.flood(1) == (1, 0))
        let server = try stage.pair.server.uniqueName()
        _ = try output(
            stage.pair.loop, "busctl", "--address=\(stage.pair.bus.address)", "emit", "--destination=\(server)", "/test", Pair.name, "New",
            "u", "1")
        _ = try output(stage.pair.loop, "busctl", "--address=\(stage.pair.bus.address)", "emit", "/test", Pair.name, "New", "u", "2")
        try stage.turn { !seen.isEmpty }
        #expect(seen == [2])
    }

    @Test func aLongTextIsNotAccepted() throws {
        let stage = try Stage()
        defer { stage.pair.bus.stop() }
        func send(_ count: Int) throws -> BusError? {
            if case .failure(let error) = try stage.pair.call("Text", arguments: { $0.append(String(repeating: "x", count: count)) }) {
                return error
            }
            return nil
        }
        #expect(try send(4096) == nil)
        #expect(try send(4097)?.name == "org.freedesktop.DBus.Error.InvalidArgs")
    }
}
