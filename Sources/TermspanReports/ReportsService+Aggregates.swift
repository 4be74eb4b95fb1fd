import TermspanAccounting
import TermspanBus
import TermspanCore
import TermspanStore
import TermspanSystem

// What is told of a month is worked out once: the collector keeps it before anybody is told, so that asking again tells nothing new.

extension ReportsService {
    /// Goes on with the groups and what was told before, without which there are no figures.
    func askAggregation(_ call: BusInvocation, _ uid: UInt32, _ question: Question) {
        askManager("GetAggregation", call, uid) { [weak self] values in
            var question = question
            question.aggregation?.take(values)
            self?.askCollector(call, uid, question)
        }
    }

    /// Works out, on a thread, what was not told before. The call is answered after that, since what is told has to be kept first.
    func workOut(_ call: BusInvocation, _ uid: UInt32, _ question: Question) {
        // One at a time: what it finds out is kept, and the next has less to do.
        guard waiting.isEmpty else {
            call.fail(
                BusError(
                    name: "org.freedesktop.DBus.Error.LimitsExceeded",
                    message: "What is told of months is being worked out for somebody else; ask again in a moment."))
            return release(uid)
        }
        let (board, inbox, options) = (board, inbox, options)
        // A thread must not hold a message of libsystemd's.
        lastWaiting += 1
        let number = lastWaiting
        waiting[number] = call
        do {
            _ = try Thread(name: "aggregates", stackSize: 1 << 20) {
                let tables = Result { try Answer(question, reader: try Self.openStore(options)).newTables { board.isStopping } }
                inbox.post { [weak self] in
                    guard let self, let call = waiting.removeValue(forKey: number) else { return }
                    fix(call, uid, question, tables)
                }
            }
        } catch {
            waiting[number] = nil
            fail(call, uid, "The answer could not be started: \(error)")
        }
    }

    private func fix(
        _ call: BusInvocation, _ uid: UInt32, _ question: Question, _ tables: Result<[CalendarMonth: AggregateTable], any Error>
    ) {
        switch tables {
        case .failure(let error): fail(call, uid, "What is told could not be worked out: \(error)")
        case .success(let tables):
            var question = question
            // Where nothing is told nothing has to stay as it was, and later there may be more.
            question.aggregation?.fixed.merge(tables.filter { !$0.value.isTold }) { fixed, _ in fixed }
            let told = tables.filter(\.value.isTold)
            if told.isEmpty { return start(call, uid, question) }
            let months = Dictionary(uniqueKeysWithValues: told.map { ($0.description, BusValue.strings($1.lines)) })
            askManager("FixAggregates", call, uid) { writer in
                writer.properties(months)
            } then: { [weak self] values in
                question.aggregation?.fixed.merge(Aggregation.tables(values)) { $1 }
                self?.start(call, uid, question)
            }
        }
    }

    /// Asks the collector, and goes on with its answer; without one the call fails.
    private func askManager(
        _ member: String, _ call: BusInvocation, _ uid: UInt32,
        arguments: @MainActor (inout BusMessageWriter) throws(BusError) -> Void = { _ in },
        then: @escaping @MainActor ([String: BusValue]) -> Void
    ) {
        bus.call(
            "org.termspan1", path: "/org/termspan1", interface: "org.termspan1.Manager", member: member, timeout: .seconds(20),
            autoStart: false, arguments: arguments
        ) { [weak self] result in
            do throws(BusError) {
                let message = try result.get()
                message.valueLimit = 1_000_000
                then(try message.readProperties())
            } catch {
                self?.failAggregates(call, uid, error)
            }
        }
    }

    /// A part would be told as the whole, for good.
    func failAggregates(_ call: BusInvocation, _ uid: UInt32, _ error: BusError) {
        fail(call, uid, "The collector keeps what is told of months, and can't be asked now: \(error)")
    }

    private func fail(_ call: BusInvocation, _ uid: UInt32, _ message: String) {
        call.fail(BusError(name: "org.freedesktop.DBus.Error.Failed", message: message))
        release(uid)
    }
}

extension Aggregation {
    /// What GetAggregation tells.
    fileprivate mutating func take(_ values: [String: BusValue]) {
        groups = values["groups"]?.strings ?? []
        members = (values["members"]?.properties ?? [:]).mapValues { Set(($0.strings ?? []).compactMap { UserIdentity($0) }) }
        minimum = values["minimum"]?.unsigned ?? AggregateTable.usualMinimum
        fixed = Self.tables(values["fixed"]?.properties ?? [:])
    }

    fileprivate static func tables(_ values: [String: BusValue]) -> [CalendarMonth: AggregateTable] {
        var tables: [CalendarMonth: AggregateTable] = [:]
        for (name, value) in values {
            if let month = CalendarMonth(name), let table = AggregateTable(lines: value.strings ?? []) { tables[month] = table }
        }
        return tables
    }
}
