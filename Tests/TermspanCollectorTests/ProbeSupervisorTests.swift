import BusTesting
import TermspanBus
import TermspanConfiguration
import TermspanCore
import TermspanSessions
import TermspanSystem
import Testing

@testable import TermspanCollector

/// What a user may have of probes, on a bus without a service manager: no cookie is ever read there.
@Suite(.serialized) @MainActor struct ProbeSupervisorTests {
    @MainActor private final class Stage {
        let bus: PrivateBus
        let loop: EventLoop
        let supervisor: ProbeSupervisor
        let reports = Reports()

        @MainActor final class Reports {
            private(set) var shortages: [String] = []

            func add(_ report: ProbeSupervisor.Report) {
                if case .descriptorsShort(let reason) = report { shortages.append(reason) }
            }
        }

        init(displaysPerUser: Int, descriptors: DescriptorBudget = .ofProcess()) throws {
            bus = try PrivateBus()
            loop = try EventLoop()
            let connection = try BusConnection.open(address: bus.address)
            try connection.attach(to: loop)
            var configuration = Configuration()
            configuration.limits.displaysPerUser = displaysPerUser
            supervisor = ProbeSupervisor(
                loop: loop, connection: connection, helperUnits: HelperUnits(loop: loop, connection: connection),
                aggregator: try Aggregator(limits: configuration.limits) { _ in }, configuration: configuration, descriptors: descriptors,
                recordsChanged: {}, report: { [reports] in reports.add($0) })
        }

        /// Has a session with an X server measured, and returns it.
        func begin(_ display: UInt16, of uid: UInt32) -> Session {
            var desktop = Desktop(keys: [], uid: uid, userName: "user\(uid)", stack: .xrdp, state: .active)
            desktop.xServer = Self.server(display, of: uid)
            let session = Session(id: SessionID(rawValue: UInt32(display)), uuid: UUIDv7(at: .now()), desktop: desktop, opened: .now())
            supervisor.update(session, isTracked: true)
            return session
        }

        /// A probe has ended, and what its lane holds is not stored.
        func leave(_ generation: UInt64, of uid: UInt32) {
            supervisor.keep(
                RuntimeState.ProbeRecord(
                    session: UUIDv7(at: .now()), unit: "termspan-probe-\(generation).service", generation: generation,
                    xServer: Self.server(1, of: uid), features: 0))
        }

        func coverage(_ session: Session) -> Coverage { supervisor.coverage(of: session, isTracked: true) }

        private static func server(_ display: UInt16, of uid: UInt32) -> XServer {
            XServer(display: display, pid: 1, startTime: 1, uid: uid, controlGroup: "/")
        }
    }

    @Test func lanesThatWaitToBeStoredAreAUsersShare() throws {
        let stage = try Stage(displaysPerUser: 3)
        defer { stage.bus.stop() }
        stage.leave(1, of: 1001)
        stage.leave(2, of: 1001)
        #expect(stage.coverage(stage.begin(10, of: 1001)) == .starting)
        stage.leave(3, of: 1001)
        let session = stage.begin(11, of: 1001)
        #expect(stage.coverage(session) == .limited("what earlier probes told is not stored yet"))
        // Others have theirs.
        #expect(stage.coverage(stage.begin(12, of: 1002)) == .starting)
        // Once something is stored it goes on, as far as it comes here.
        stage.supervisor.released(generation: 1)
        let limit = stage.loop.now.advanced(by: .seconds(10))
        while stage.coverage(session).name != "failed", stage.loop.now < limit { _ = try stage.loop.runOnce(timeout: .milliseconds(20)) }
        #expect(stage.coverage(session) == .failed("the X server's cookie could not be read"))
    }

    /// Beyond what there are descriptors for the new session alone is refused, with a reason, once for all; the next one that ends makes room.
    @Test func whereDescriptorsAreExhaustedTheNewSessionIsRefused() throws {
        let descriptors = DescriptorBudget(limit: 10_000, stored: 8)
        let stage = try Stage(displaysPerUser: 3, descriptors: descriptors)
        defer { stage.bus.stop() }
        let first = stage.begin(10, of: 1001)
        let second = stage.begin(11, of: 1002)
        let reason = try #require(descriptors.refusal(lanes: 2, sessions: 0))
        #expect(stage.reports.shortages.isEmpty)
        let third = stage.begin(12, of: 1003)
        let fourth = stage.begin(13, of: 1004)
        #expect(stage.coverage(third) == .noDescriptors(reason) && stage.coverage(fourth) == .noDescriptors(reason))
        #expect(stage.coverage(first) == .starting && stage.coverage(second) == .starting)
        #expect(stage.reports.shortages == [reason])
        stage.supervisor.remove(first)
        #expect(stage.coverage(third) == .starting && stage.coverage(fourth) == .noDescriptors(reason))
        #expect(stage.reports.shortages == [reason])
    }
}
