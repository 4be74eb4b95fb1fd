import Foundation
import TermspanCore
import Yams

extension Configuration {
    package static let file = "/etc/termspan/termspan.yaml"
    package static let fragments = "/etc/termspan/termspan.yaml.d"

    /// Reads the file and then the fragments that end in `.yaml`, in the order of their names; later values win.
    ///
    /// - Parameters:
    ///   - file: may be missing.
    ///   - fragments: a folder, which may be missing.
    /// - Throws: the first thing that is wrong; nothing is applied in part.
    package static func load(
        file: String = Configuration.file, fragments: String = Configuration.fragments
    ) throws(ConfigurationError) -> Configuration {
        var configuration = Configuration()
        let names = (try? FileManager.default.contentsOfDirectory(atPath: fragments)) ?? []
        let paths = [file] + names.filter { $0.hasSuffix(".yaml") && !$0.hasPrefix(".") }.sorted().map { "\(fragments)/\($0)" }
        for path in paths where FileManager.default.fileExists(atPath: path) {
            guard let data = FileManager.default.contents(atPath: path) else {
                throw ConfigurationError(file: path, problem: "can't be read")
            }
            guard let text = String(data: data, encoding: .utf8) else { throw ConfigurationError(file: path, problem: "is not UTF-8") }
            try configuration.apply(text, file: path)
        }
        if let problem = configuration.missingGrounds { throw ConfigurationError(file: file, problem: problem) }
        return configuration
    }

    /// Applies one document's values.
    package mutating func apply(_ text: String, file: String) throws(ConfigurationError) {
        let root: Node?
        do {
            root = try Yams.compose(yaml: text)
        } catch let error as YamlError {
            throw ConfigurationError(file: file, line: error.line, problem: "is not YAML: \(error.problem)")
        } catch {
            throw ConfigurationError(file: file, problem: "is not YAML: \(error)")
        }
        guard let root, !root.isEmptyDocument else { return }
        guard case .mapping(let mapping) = root else {
            throw ConfigurationError(file: file, line: root.mark?.line, problem: "must be a mapping of keys to values")
        }
        var seen: Set<String> = []
        for (keyNode, valueNode) in mapping {
            let line = keyNode.mark?.line
            guard let key = keyNode.string else { throw ConfigurationError(file: file, line: line, problem: "a key must be a word") }
            guard seen.insert(key).inserted else { throw ConfigurationError(file: file, line: line, key: key, problem: "is set twice") }
            if let setting = ListSetting.all[key] {
                try apply(setting, key: key, valueNode, file: file, line: line)
                continue
            }
            guard let setting = Setting.all[key] else {
                let known = (Array(Setting.all.keys) + ListSetting.all.keys).sorted().joined(separator: ", ")
                throw ConfigurationError(file: file, line: line, key: key, problem: "is not a known key; known are \(known)")
            }
            guard case .scalar(let scalar) = valueNode else {
                throw ConfigurationError(file: file, line: line, key: key, problem: "must be \(setting.form)")
            }
            guard setting.apply(scalar.string, &self) else {
                throw ConfigurationError(
                    file: file, line: valueNode.mark?.line ?? line, key: key, problem: "must be \(setting.form), not '\(scalar.string)'")
            }
        }
    }
}

extension Configuration {
    private mutating func apply(
        _ setting: ListSetting, key: String, _ node: Node, file: String, line: Int?
    ) throws(ConfigurationError) {
        guard case .sequence(let sequence) = node, sequence.count <= ListSetting.limit else {
            throw ConfigurationError(
                file: file, line: line, key: key, problem: "must be a list of at most \(ListSetting.limit), each \(setting.form)")
        }
        setting.clear(&self)
        for element in sequence where !setting.add(element, &self) {
            throw ConfigurationError(file: file, line: element.mark?.line ?? line, key: key, problem: "each must be \(setting.form)")
        }
    }
}

extension Configuration {
    /// Reads what `policyText` writes; nil for anything else.
    package init?(policyText: String) {
        self.init()
        var parts: [String] = []
        for part in policyText.components(separatedBy: "; ") {
            let isNew = Self.policyKeys.contains { part.hasPrefix($0 + " ") }
            // A group may be called like that.
            if isNew || parts.isEmpty { parts.append(part) } else { parts[parts.count - 1] += "; " + part }
        }
        for part in parts {
            guard let space = part.firstIndex(of: " ") else { return nil }
            let (key, value) = (String(part[..<space]), String(part[part.index(after: space)...]))
            switch key {
            case "keep-by-group":
                guard let sessions = value.range(of: ", sessions ", options: .backwards),
                    let activity = value.range(of: ": activity ", options: .backwards), activity.upperBound <= sessions.lowerBound,
                    let keptActivity = Duration.kept(String(value[activity.upperBound..<sessions.lowerBound])),
                    let keptSessions = Duration.kept(String(value[sessions.upperBound...]))
                else { return nil }
                keptByGroup.append(
                    KeptByGroup(
                        group: String(value[..<activity.lowerBound]), activity: .some(keptActivity), sessions: .some(keptSessions)))
            case "tracking-hours":
                let words = value.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
                guard words.count >= 2, let days = TrackingHours.Window.days(words[0]), let hours = TrackingHours.Window.hours(words[1]),
                    words.count == 2 || words[2].hasPrefix("of ")
                else { return nil }
                let group = words.count == 3 ? String(words[2].dropFirst(3)) : nil
                trackingHours.append(TrackingHours.Window(group: group, days: days, start: hours.start, end: hours.end))
            case "holidays":
                let days = value.split(separator: " ").map { CalendarDay(String($0)) }
                guard !days.contains(nil) else { return nil }
                holidays = Set(days.compactMap(\.self))
            default:
                guard Self.policyKeys.contains(key), let setting = Setting.all[key], setting.apply(value, &self) else { return nil }
            }
        }
    }

    private static let policyKeys = [
        "keep-activity", "keep-sessions", "pause-per-day", "unencrypted-disk", "seats", "keep-by-group", "tracking-hours", "holidays",
    ]
}

/// A key whose value is a list: what each of its elements must be, and where it goes.
private struct ListSetting: Sendable {
    var form: String
    var clear: @Sendable (inout Configuration) -> Void
    /// False for an element that has another form.
    var add: @Sendable (Node, inout Configuration) -> Bool

    static let limit = 400

    static let all: [String: ListSetting] = [
        "tracking-hours": ListSetting(
            form: "like {days: mon-fri, hours: 07:00-19:00, group: staff}, where days and group may be missing",
            clear: { $0.trackingHours = [] },
            add: { node, configuration in
                guard let window = window(node) else { return false }
                configuration.trackingHours.append(window)
                return true
            }),
        "holidays": ListSetting(
            form: "a day like 2026-12-25", clear: { $0.holidays = [] },
            add: { node, configuration in
                guard let day = node.scalar.flatMap({ CalendarDay($0.string) }) else { return false }
                configuration.holidays.insert(day)
                return true
            }),
        "keep-by-group": ListSetting(
            form: "like {group: trainees, keep-activity: 30d, keep-sessions: 90d}, where one of the times may be missing",
            clear: { $0.keptByGroup = [] },
            add: { node, configuration in
                guard let kept = keptByGroup(node), !configuration.keptByGroup.contains(where: { $0.group == kept.group }) else {
                    return false
                }
                configuration.keptByGroup.append(kept)
                return true
            }),
    ]

    /// The texts of a mapping that has these keys alone, each once.
    private static func texts(_ node: Node, _ keys: String...) -> [String: String]? {
        guard case .mapping(let mapping) = node else { return nil }
        var values: [String: String] = [:]
        for (key, value) in mapping {
            guard let key = key.string, keys.contains(key), let text = value.scalar?.string, values.updateValue(text, forKey: key) == nil
            else { return nil }
        }
        return values
    }

    private static func isGroup(_ name: String) -> Bool { (1...256).contains(name.utf8.count) && GivenText.isPlain(name) }

    private static func keptByGroup(_ node: Node) -> KeptByGroup? {
        guard let values = texts(node, "group", "keep-activity", "keep-sessions"), values.count > 1, let group = values["group"],
            isGroup(group)
        else { return nil }
        var kept = KeptByGroup(group: group)
        if let text = values["keep-activity"] {
            guard let time = Duration.kept(text) else { return nil }
            kept.activity = .some(time)
        }
        if let text = values["keep-sessions"] {
            guard let time = Duration.kept(text) else { return nil }
            kept.sessions = .some(time)
        }
        return kept
    }

    private static func window(_ node: Node) -> TrackingHours.Window? {
        guard let values = texts(node, "days", "hours", "group") else { return nil }
        guard let hours = values["hours"].flatMap({ TrackingHours.Window.hours($0) }),
            let days = TrackingHours.Window.days(values["days"] ?? "mon-sun")
        else { return nil }
        if let group = values["group"], !isGroup(group) { return nil }
        return TrackingHours.Window(group: values["group"], days: days, start: hours.start, end: hours.end)
    }
}

/// One key: what its value must be, and where it goes.
private struct Setting: Sendable {
    var form: String
    var apply: @Sendable (String, inout Configuration) -> Bool

    static let all: [String: Setting] = [
        "burst-gap": duration(\.burstGap, from: .milliseconds(500), to: .seconds(300)),
        "idle-threshold": duration(\.idleThreshold, from: .milliseconds(500), to: .seconds(86_400)),
        "passive-limit": Setting(form: "a time like 5m, at most 24h, or unlimited") { text, configuration in
            if text == "unlimited" {
                configuration.passiveLimit = nil
                return true
            }
            guard let value = Duration(setting: text), value <= .seconds(86_400) else { return false }
            configuration.passiveLimit = value
            return true
        },
        "keep-activity": retention(\.keepActivity), "keep-sessions": retention(\.keepSessions),
        "pause-per-day": duration(\.pausePerDay, from: .zero, to: .seconds(86_400)),
        "commit-interval": duration(\.commitInterval, from: .milliseconds(10), to: .seconds(10)),
        "probe-ready-timeout": duration(\.probeReadyTimeout, from: .seconds(1), to: .seconds(120)),
        "displays-per-user": number(\.limits.displaysPerUser, in: 1...1000),
        "sockets-per-user": number(\.limits.socketsPerUser, in: 1...1000),
        "logons-per-minute": number(\.limits.logonsPerMinute, in: 1...1000),
        "state-changes-per-minute": number(\.limits.stateChangesPerMinute, in: 1...6000),
        "focus-changes-per-second": number(\.limits.focusChangesPerSecond, in: 1...20),
        "rows-per-day": number(\.limits.rowsPerDay, in: 100...5_000_000),
        "probe-starts-per-minute": number(\.limits.probeStartsPerMinute, in: 1...1000),
        "bus-calls-per-second": number(\.limits.busCallsPerSecond, in: 10...100_000),
        "seats": Setting(form: "a number from 1 to 1000000, or unlimited") { text, configuration in
            guard text != "unlimited" else {
                configuration.limits.seats = nil
                return true
            }
            guard let value = Int(text), (1...1_000_000).contains(value) else { return false }
            configuration.limits.seats = value
            return true
        },
        "unencrypted-disk": Setting(form: "accept, warn or refuse") { text, configuration in
            guard let value = UnencryptedDisk(rawValue: text) else { return false }
            configuration.unencryptedDisk = value
            return true
        },
        "public-address": Setting(form: "an address of IPv4 or IPv6, or nothing") { text, configuration in
            guard text.isEmpty || Fact.isAddress(text) else { return false }
            configuration.publicAddress = text
            return true
        },
        "public-address-url": Setting(form: "a URL that begins with https:// or http://, of at most 500 printable characters, or nothing") {
            text, configuration in
            let isURL =
                text.utf8.count <= 500 && text.utf8.allSatisfy { (0x21..<0x7F).contains($0) }
                && text.wholeMatch(of: /https?:\/\/[^\/].*/) != nil
            guard text.isEmpty || isURL else { return false }
            configuration.publicAddressURL = text
            return true
        },
        "responsible": Setting(form: "at most 200 printable characters") { text, configuration in
            guard text.count <= 200, GivenText.isPlain(text) else { return false }
            configuration.responsible = text
            return true
        },
        "reason": Setting(form: "at most 500 printable characters") { text, configuration in
            guard text.count <= 500, GivenText.isPlain(text) else { return false }
            configuration.reason = text
            return true
        },
    ]

    private static func number(_ path: any WritableKeyPath<Configuration, Int> & Sendable, in range: ClosedRange<Int>) -> Setting {
        Setting(form: "a number from \(range.lowerBound) to \(range.upperBound)") { text, configuration in
            guard let value = Int(text), range.contains(value) else { return false }
            configuration[keyPath: path] = value
            return true
        }
    }

    private static func retention(_ path: any WritableKeyPath<Configuration, Duration?> & Sendable) -> Setting {
        Setting(form: "a time from 1h to 10000d, like 180d, or unlimited") { text, configuration in
            guard let value = Duration.kept(text) else { return false }
            configuration[keyPath: path] = value
            return true
        }
    }

    private static func duration(
        _ path: any WritableKeyPath<Configuration, Duration> & Sendable, from least: Duration, to most: Duration
    ) -> Setting {
        Setting(form: "a time from \(least.setting) to \(most.setting), like 30s or 2m") { text, configuration in
            guard let value = Duration(setting: text), value >= least, value <= most else { return false }
            configuration[keyPath: path] = value
            return true
        }
    }
}

extension Duration {
    /// Reads `500ms`, `30s`, `2m`, `1.5h`, `180d`: a number and its unit. A number alone is refused, since nobody knows of what.
    fileprivate init?(setting text: String) {
        let units: [(String, Double)] = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)]
        guard let (unit, scale) = units.first(where: { text.hasSuffix($0.0) }), let number = Double(text.dropLast(unit.count)),
            number.isFinite, number >= 0, number < 1_000_000
        else { return nil }
        self = .milliseconds((number * scale * 1000).rounded())
    }

    /// Reads how long something is kept: `unlimited`, which is nil, or a time. Without a value for anything else.
    fileprivate static func kept(_ text: String) -> Duration?? {
        if text == "unlimited" { return .some(nil) }
        guard let value = Duration(setting: text), value >= .seconds(3600), value <= .seconds(10_000 * 86_400) else { return nil }
        return value
    }

    var setting: String {
        let milliseconds = components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
        return switch milliseconds {
        case let value where value % 3_600_000 == 0: "\(value / 3_600_000)h"
        case let value where value % 60_000 == 0: "\(value / 60_000)m"
        case let value where value % 1000 == 0: "\(value / 1000)s"
        default: "\(milliseconds)ms"
        }
    }
}

extension Node {
    fileprivate var isEmptyDocument: Bool {
        if case .scalar(let scalar) = self { return scalar.string.isEmpty || scalar.string == "null" }
        return false
    }
}

extension YamlError {
    fileprivate var line: Int? {
        switch self {
        case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _): mark.line
        default: nil
        }
    }

    fileprivate var problem: String {
        switch self {
        case .scanner(_, let problem, _, _), .parser(_, let problem, _, _), .composer(_, let problem, _, _): problem
        default: String(describing: self)
        }
    }
}
