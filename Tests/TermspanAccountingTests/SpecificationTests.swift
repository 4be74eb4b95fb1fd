import Foundation
import TermspanCore
import TermspanEvents
import Testing

@testable import TermspanAccounting

/// Reads the vectors out of Docs/accounting.md, so that the document and the code can't part.
@Suite struct SpecificationTests {
    struct Failure: Error {
        var reason: String
    }

    static func vectors(_ kind: String) throws -> [[String: Any]] {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Docs/accounting.md")
        let text = try String(contentsOf: file, encoding: .utf8)
        guard let start = text.range(of: "```json vectors=\(kind)\n"), let end = text[start.upperBound...].range(of: "\n```"),
            let vectors = try JSONSerialization.jsonObject(with: Data(text[start.upperBound..<end.lowerBound].utf8)) as? [[String: Any]],
            !vectors.isEmpty
        else { throw Failure(reason: "no vectors of \(kind)") }
        return vectors
    }

    static func nanoseconds(_ value: Any?) throws -> UInt64 {
        guard let number = value as? NSNumber else { throw Failure(reason: "no time: \(String(describing: value))") }
        return UInt64((number.doubleValue * 1e9).rounded())
    }

    static func moment(_ value: Any?) throws -> BootInstant { BootInstant(nanoseconds: try nanoseconds(value)) }

    static func spans(_ value: Any?) throws -> [TimeSpan] { try (value as? [Any] ?? []).map(span) }

    static func span(_ value: Any?) throws -> TimeSpan {
        guard let pair = value as? [Any], pair.count == 2 else { throw Failure(reason: "no span") }
        return TimeSpan(start: try moment(pair[0]), end: try moment(pair[1]))
    }

    static func totals(_ value: Any?) throws -> CategoryTimes {
        guard let value = value as? [String: Any] else { throw Failure(reason: "no totals") }
        var times = CategoryTimes()
        for (name, time) in value {
            guard let category = Category.allCases.first(where: { $0.name == name }) else { throw Failure(reason: name) }
            times[category] = try nanoseconds(time)
        }
        return times
    }

    static func thresholds(_ vector: [String: Any]) throws -> Thresholds {
        var result = Thresholds()
        if let model = vector["model"] {
            guard let model = (model as? String).flatMap({ Thresholds.Model(rawValue: $0) }) else { throw Failure(reason: "\(model)") }
            result.model = model
            result.idle = Thresholds.activityWatchIdle
        }
        if let idle = vector["idle"] { result.idle = .nanoseconds(Int64(try nanoseconds(idle))) }
        if let passive = vector["passive"] {
            result.passiveLimit = passive is NSNull ? nil : .nanoseconds(Int64(try nanoseconds(passive)))
        }
        return result
    }

    static func timeline(_ vector: [String: Any]) throws -> SessionTimeline {
        let changes = try (vector["changes"] as? [[Any]] ?? []).map { change in
            guard let kind = StateChange.Kind.allCases.first(where: { $0.name == change[0] as? String }) else {
                throw Failure(reason: "\(change)")
            }
            return StateChange(kind, at: try moment(change[1]))
        }
        return SessionTimeline(
            span: try span(vector["span"]), focus: try spans(vector["focus"]), bursts: try spans(vector["bursts"]),
            unknown: try spans(vector["unknown"]), changes: changes, inputKnown: try vector["known"].map { try moment($0) })
    }

    static func origin(_ name: Any?) -> InputOrigin {
        switch name as? String {
        case "device": .device
        case "synthetic": .synthetic
        default: .unknown
        }
    }

    static func focus(_ window: Any?) -> Focus {
        Focus(window: (window as? NSNumber)?.uint32Value ?? 0, process: .none, windowClass: WindowClass())
    }

    static func edge(_ value: Any?) throws -> InputEdge {
        let value = value as? [String: Any] ?? [:]
        return InputEdge(effective: try moment(value["at"]), origin: origin(value["origin"]))
    }

    static func reason(_ name: Any?) throws -> UnknownReason {
        guard let reason = UnknownReason.allCases.first(where: { $0.name == name as? String }) else { throw Failure(reason: "reason") }
        return reason
    }

    @Test func folds() throws {
        for vector in try Self.vectors("fold") {
            var fold = SessionFold(burstGap: .nanoseconds(Int64(try Self.nanoseconds(vector["gap"] ?? NSNumber(value: 30)))))
            var output: [FoldOutput] = []
            for input in vector["in"] as? [[Any]] ?? [] {
                let at = try Self.moment(input[1])
                let argument = input.count > 2 ? input[2] : nil
                switch input[0] as? String {
                case "begin": fold.begin(at: at)
                case "snapshot":
                    let value = argument as? [String: Any] ?? [:]
                    let last = try value["last"].map { InputEdge(effective: try Self.moment($0), origin: Self.origin(value["origin"])) }
                    let snapshot = Snapshot(
                        id: 1, focus: Self.focus(value["focus"]), inputOpen: value["open"] as? Bool ?? false, lastInput: last)
                    fold.apply(.snapshot(snapshot), at: at) { output.append($0) }
                case "focus": fold.apply(.focusChanged(Self.focus(argument)), at: at) { output.append($0) }
                case "began": fold.apply(.inputBegan(try Self.edge(argument)), at: at) { output.append($0) }
                case "ended": fold.apply(.inputEnded(try Self.edge(argument)), at: at) { output.append($0) }
                case "gap": fold.apply(.sourceGap(from: try Self.moment(argument)), at: at) { output.append($0) }
                case "lost": fold.lost((argument as? NSNumber)?.uint64Value ?? 0, before: at) { output.append($0) }
                case "sourceEnded": fold.sourceEnded(at: at, reason: try Self.reason(argument)) { output.append($0) }
                case "end": fold.end(at: at) { output.append($0) }
                default: throw Failure(reason: "\(input)")
                }
            }
            // The numbers of focus intervals are this implementation's own.
            let seen = output.map { output -> FoldOutput in
                guard case .focus(var interval) = output else { return output }
                interval.serial = 0
                return .focus(interval)
            }
            let expected = try (vector["out"] as? [[Any]] ?? []).map { row -> FoldOutput in
                let (start, end) = (try Self.moment(row[1]), try Self.moment(row[2]))
                switch row[0] as? String {
                case "focus": return .focus(FocusInterval(start: start, end: end, focus: Self.focus(row[3]), serial: 0))
                case "burst": return .burst(InputBurst(start: start, end: end, origin: Self.origin(row[3])))
                default:
                    return .unknown(
                        UnknownInterval(
                            start: start, end: end, reason: try Self.reason(row[3]), lost: (row[4] as? NSNumber)?.uint64Value ?? 0))
                }
            }
            #expect(seen == expected, "\(vector["name"] ?? "")")
        }
    }

    @Test func sessions() throws {
        for vector in try Self.vectors("session") {
            let timeline = try Self.timeline(vector)
            let result = timeline.evaluate(try Self.thresholds(vector))
            #expect(result.totals == (try Self.totals(vector["totals"])), "\(vector["name"] ?? "")")
            #expect(result.totals.total == timeline.span.length, "\(vector["name"] ?? "")")
            if let focusTotals = vector["focusTotals"] as? [Any] {
                #expect(result.focus == (try focusTotals.map(Self.totals)), "\(vector["name"] ?? "")")
            }
        }
    }

    @Test func users() throws {
        for vector in try Self.vectors("user") {
            let sessions = try (vector["sessions"] as? [[String: Any]] ?? []).map(Self.timeline)
            let result = UserTimeline(sessions: sessions).evaluate(try Self.thresholds(vector))
            #expect(result.totals == (try Self.totals(vector["totals"])), "\(vector["name"] ?? "")")
            let expected = try (vector["parts"] as? [[Any]] ?? []).map { row in
                guard let category = Category.allCases.first(where: { $0.name == row[3] as? String }) else {
                    throw Failure(reason: "\(row)")
                }
                return UserTimeline.Part(
                    span: TimeSpan(start: try Self.moment(row[0]), end: try Self.moment(row[1])), category: category,
                    session: (row[2] as? NSNumber)?.intValue ?? -1)
            }
            // What had the focus is this implementation's own.
            let parts = result.parts.map { UserTimeline.Part(span: $0.span, category: $0.category, session: $0.session) }
            #expect(parts == expected, "\(vector["name"] ?? "")")
        }
    }
}
