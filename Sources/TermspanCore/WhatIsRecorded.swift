/// What is recorded of whoever is tracked, in the words in which they are told: in the notice at logon and by `termspan me`.
///
/// No source reads more yet than level basic allows.
package enum WhatIsRecorded {
    package static let recorded =
        "which application has the focus, or which script it runs, and from when to when, when there is input from keyboard or mouse and when there is none, and "
        + "when you log on, lock, connect, disconnect and log off, with the address and name of the computer that you connect from, and "
        + "what you are called, in which domain, and where this computer is by name, time zone and network"
    package static let never = "what you type, window titles, web addresses, contents of the screen"
}

extension String {
    /// The words on lines of at most `width` characters; a longer word has a line of its own.
    package func wrapped(to width: Int) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in split(separator: " ") {
            if !line.isEmpty, line.count + 1 + word.count > width {
                lines.append(line)
                line = ""
            }
            if !line.isEmpty { line.append(" ") }
            line.append(contentsOf: word)
        }
        return lines + [line]
    }
}
