import TermspanCore

/// How a day is drawn in a terminal: per session a bar of states and one of applications.
package struct TimelineDrawing {
    package var width: Int
    package var isUTF8: Bool
    package var hasColours: Bool

    package init(width: Int, isUTF8: Bool, hasColours: Bool) {
        self.width = width
        self.isUTF8 = isUTF8
        self.hasColours = hasColours
    }

    private static let indent = "  "
    /// By the order of `SummaryTable.categories`: what a state is without colours, and its colour of 256.
    private static let states: [(Character, Int)] = [
        ("#", 34), ("+", 149), ("-", 248), ("L", 220), ("d", 130), ("p", 98), ("s", 60), ("?", 160),
    ]
    private static let applications: [Int] = [67, 208, 71, 167, 73, 221, 139, 217, 246]

    package func lines(_ day: DayTimeline, title: String) -> [String] {
        guard !day.sessions.isEmpty else { return [] }
        let room = max(24, width - Self.indent.utf8.count)
        let applications = day.applications
        let rows = Dictionary(uniqueKeysWithValues: applications.enumerated().map { ($1.name, $0) })
        var lines = [title, ""]
        for session in day.sessions {
            let span =
                "\(TimeText.hourAndMinute(session.parts[0].start))-\(TimeText.hourAndMinute(session.parts[session.parts.count - 1].end, isEnd: true))"
            lines += [Printable.text("\(session.name), \(span)"), Self.indent + axis(day, room)]
            lines.append(
                Self.indent + bar(day.cells(session, room, by: DayTimeline.state)) { (Self.states[$0].0, Self.states[$0].1) })
            lines.append(
                Self.indent
                    + bar(day.cells(session, room) { $0.application.isEmpty ? nil : rows[$0.application] ?? rows[""] }) {
                        (Self.letter($0, of: applications), Self.applications[$0])
                    })
            lines.append("")
        }
        let states = day.states.map { state in
            let look = Self.states[SummaryTable.categories.firstIndex(of: state.name) ?? 0]
            return (mark: mark(look.0, look.1), name: state.name, time: state.time)
        }
        lines += legend(states)
        let used = applications.enumerated().map { row, application in
            (
                mark: mark(Self.letter(row, of: applications), Self.applications[row]),
                name: application.name.isEmpty ? "all others" : application.name, time: application.time
            )
        }
        if !used.isEmpty { lines += [""] + legend(used) }
        return lines
    }

    /// The letters of the alphabet; a dot for all that have none.
    private static func letter(_ row: Int, of applications: [(name: String, time: Int64)]) -> Character {
        applications[row].name.isEmpty ? "." : Character(Unicode.Scalar(UInt8(ascii: "A") + UInt8(row)))
    }

    /// Every third hour where it stands.
    private func axis(_ day: DayTimeline, _ room: Int) -> String {
        var cells = [Character](repeating: " ", count: room)
        var free = 0
        for (share, hour) in day.hours where hour % 3 == 0 {
            let text = Array(TimeText.padded(hour, 2))
            let at = min(room - text.count, Int((share * Double(room)).rounded()))
            guard at >= free else { continue }
            for (index, character) in text.enumerated() { cells[at + index] = character }
            free = at + text.count + 1
        }
        return String(cells)
    }

    private func bar(_ cells: [Int?], _ look: (Int) -> (Character, Int)) -> String {
        var text = ""
        var end = 0
        for (range, key) in DayTimeline.runs(cells) {
            text += String(repeating: " ", count: range.lowerBound - end)
            let (character, colour) = look(key)
            text += paint(character, range.count, colour)
            end = range.upperBound
        }
        return text
    }

    private func mark(_ character: Character, _ colour: Int) -> String { paint(character, 1, colour) }

    private func paint(_ character: Character, _ count: Int, _ colour: Int) -> String {
        guard hasColours else { return String(repeating: character, count: count) }
        // A full block, so that what is copied is a bar still.
        return "\u{1B}[38;5;\(colour)m" + String(repeating: isUTF8 ? "\u{2588}" : character, count: count) + "\u{1B}[0m"
    }

    /// As many columns as fit.
    private func legend(_ entries: [(mark: String, name: String, time: Int64)]) -> [String] {
        let nameWidth = 16
        // Mark, name and time, and two cells between columns.
        let column = 2 + nameWidth + 1 + 8 + 2
        let columns = max(1, (width - Self.indent.utf8.count + 2) / column)
        return stride(from: 0, to: entries.count, by: columns).map { first in
            let row = entries[first..<min(first + columns, entries.count)].map { entry in
                let name = Printable.cut(Printable.text(entry.name), to: nameWidth)
                let time = TimeText.duration(seconds: Double(entry.time) / 1e9)
                return entry.mark + " " + name + String(repeating: " ", count: max(0, nameWidth - name.count) + 1)
                    + String(repeating: " ", count: max(0, 8 - time.utf8.count)) + time
            }
            return Self.indent + row.joined(separator: "  ")
        }
    }
}
