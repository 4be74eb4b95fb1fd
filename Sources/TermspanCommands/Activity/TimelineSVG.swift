import TermspanCore

/// A day as a picture: SVG 1.1 that is legible on light and on dark, each stretch with a title for who points at it or listens.
package enum TimelineSVG {
    private static let margin = 16
    /// Twice as many cells as there are units of width.
    private static let barWidth = 928
    private static let cells = 2 * barWidth
    private static let barHeight = 22

    /// By the order of `SummaryTable.categories`.
    private static let states = ["#2e8b57", "#8fc866", "#b4b9be", "#e8b62c", "#a8672f", "#8a63c9", "#5b7083", "#d14343"]
    private static let applications = [
        "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#d8b324", "#b07aa1", "#e88a95", "#9a9a9a",
    ]

    /// - Parameter title: which day this is.
    package static func text(_ day: DayTimeline, title: String) -> String {
        let names = day.applications
        let rows = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1.name, $0) })
        let (band, legendTop) = (112, 44 + max(1, day.sessions.count) * 112)
        let legends = [
            day.states.map {
                (name: $0.name.capitalized, time: $0.time, colour: states[SummaryTable.categories.firstIndex(of: $0.name) ?? 0])
            },
            names.enumerated().map { (name: label($1.name), time: $1.time, colour: applications[$0]) },
        ]
        let legendRows = legends.map { ($0.count + 3) / 4 }
        let height = legendTop + legendRows.reduce(0) { $0 + 20 * $1 + 8 } + margin
        let width = barWidth + 2 * margin
        var svg = """
            <?xml version="1.0" encoding="UTF-8"?>
            <svg xmlns="http://www.w3.org/2000/svg" width="\(width)" height="\(height)" viewBox="0 0 \(width) \(height)" role="img" \
            aria-labelledby="title desc">
            <title id="title">\(escaped(title))</title>
            <desc id="desc">\(escaped(description(day)))</desc>
            <style>
            text { font: 12px system-ui, sans-serif; fill: #24292f; }
            .title { font-size: 16px; font-weight: 600; }
            .name { font-weight: 600; }
            .hour { font-size: 10px; fill: #57606a; text-anchor: middle; }
            .paper { fill: #ffffff; }
            .track { fill: #eef0f2; }
            .line { stroke: #d0d7de; stroke-width: 1; }
            @media (prefers-color-scheme: dark) {
            text { fill: #e6edf3; }
            .hour { fill: #9da7b3; }
            .paper { fill: #0d1117; }
            .track { fill: #21262d; }
            .line { stroke: #3d444d; }
            }
            </style>
            <rect class="paper" width="\(width)" height="\(height)"/>
            <text class="title" x="\(margin)" y="28">\(escaped(title))</text>

            """
        if day.sessions.isEmpty { svg += "<text x=\"\(margin)\" y=\"64\">Nothing is recorded.</text>\n" }
        for (row, session) in day.sessions.enumerated() {
            let top = 44 + row * band
            svg += "<g>\n<title>\(escaped(session.name))</title>\n"
            svg += "<text class=\"name\" x=\"\(margin)\" y=\"\(top + 14)\">\(escaped(session.name))</text>\n"
            for (share, hour) in day.hours where hour % 2 == 0 {
                let x = number(Double(margin) + share * Double(barWidth))
                svg += "<line class=\"line\" x1=\"\(x)\" y1=\"\(top + 36)\" x2=\"\(x)\" y2=\"\(top + 88)\"/>"
                svg += "<text class=\"hour\" x=\"\(x)\" y=\"\(top + 32)\">\(hour)</text>\n"
            }
            let bars = [
                (day.cells(session, cells, by: DayTimeline.state), states, { (key: Int) in SummaryTable.categories[key].capitalized }),
                (
                    day.cells(session, cells) { $0.application.isEmpty ? nil : rows[$0.application] ?? rows[""] }, applications,
                    { (key: Int) in label(names[key].name) }
                ),
            ]
            for (index, (cells, colours, name)) in bars.enumerated() {
                let y = top + 38 + index * (barHeight + 4)
                svg += "<rect class=\"track\" x=\"\(margin)\" y=\"\(y)\" width=\"\(barWidth)\" height=\"\(barHeight)\" rx=\"2\"/>\n"
                for (range, key) in DayTimeline.runs(cells) {
                    svg += rectangle(range, y, colours[key], "\(moments(range, day)) \(name(key))")
                }
            }
            svg += "</g>\n"
        }
        var y = legendTop
        for (entries, rows) in zip(legends, legendRows) {
            for (index, entry) in entries.enumerated() {
                let (x, line) = (margin + index % 4 * (barWidth / 4), y + index / 4 * 20)
                let time = TimeText.duration(seconds: Double(entry.time) / 1e9)
                svg += "<rect x=\"\(x)\" y=\"\(line)\" width=\"12\" height=\"12\" rx=\"2\" fill=\"\(entry.colour)\"/>"
                svg += "<text x=\"\(x + 18)\" y=\"\(line + 10)\">\(escaped(Printable.cut(entry.name, to: 22))) \(time)</text>\n"
            }
            y += 20 * rows + 8
        }
        return svg + "</svg>\n"
    }

    private static func label(_ application: String) -> String { application.isEmpty ? "All others" : application }

    /// What a picture says, for who can't see it.
    private static func description(_ day: DayTimeline) -> String {
        if day.sessions.isEmpty { return "Nothing is recorded." }
        let parts = day.states.map { "\($0.name) \(TimeText.duration(seconds: Double($0.time) / 1e9))" }
        let used = day.applications.map { "\(label($0.name)) \(TimeText.duration(seconds: Double($0.time) / 1e9))" }
        return "\(day.sessions.count) sessions, for each a bar of states and one of applications. " + parts.joined(separator: ", ")
            + (used.isEmpty ? "." : ". Applications: " + used.joined(separator: ", ") + ".")
    }

    private static func moments(_ range: Range<Int>, _ day: DayTimeline) -> String {
        func moment(_ cell: Int) -> String {
            // To the next minute: a cell is less than one.
            let offset = Int64((Double(day.length) * Double(cell) / Double(cells)).rounded()) + 30_000_000_000
            return TimeText.hourAndMinute(day.start.advanced(by: .nanoseconds(offset)), isEnd: cell == cells)
        }
        return "\(moment(range.lowerBound))\u{2013}\(moment(range.upperBound))"
    }

    private static func rectangle(_ range: Range<Int>, _ y: Int, _ colour: String, _ title: String) -> String {
        let x = number(Double(margin) + Double(range.lowerBound) / 2)
        return "<rect x=\"\(x)\" y=\"\(y)\" width=\"\(number(Double(range.count) / 2))\" height=\"\(barHeight)\" fill=\"\(colour)\">"
            + "<title>\(escaped(title))</title></rect>\n"
    }

    /// To a tenth, without what says nothing.
    private static func number(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? String(tenths / 10) : "\(tenths / 10).\(tenths % 10)"
    }

    /// Text as XML has it, without what XML can't have, or what could turn text around.
    package static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in Printable.text(text).unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&apos;"
            default:
                // Noncharacters are no characters of XML.
                if scalar.value & 0xFFFE != 0xFFFE { result.unicodeScalars.append(scalar) }
            }
        }
        return result
    }
}

extension String {
    /// With its first letter as a capital one.
    fileprivate var capitalized: String { prefix(1).uppercased() + dropFirst() }
}
