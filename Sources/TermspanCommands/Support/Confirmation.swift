import Glibc

/// A question on the terminal, before something is done to many.
enum Confirmation {
    /// Lines that are shown before the question.
    private static let maximumShown = 20

    /// Shows the lines, or the first of many, and asks; whether the answer is yes.
    @MainActor
    static func ask(_ question: String, after lines: [String]) -> Bool {
        for line in abridged(lines) { Output.error(line) }
        Output.writeAll(STDERR_FILENO, Array("\(question) [y/N] ".utf8))
        return isYes(readLine())
    }

    static func abridged(_ lines: [String]) -> [String] {
        lines.count > maximumShown ? Array(lines.prefix(maximumShown)) + ["and \(lines.count - maximumShown) more"] : lines
    }

    /// - Parameter answer: nil where the input has ended.
    static func isYes(_ answer: String?) -> Bool {
        guard let answer else { return false }
        return ["y", "yes"].contains(answer.lowercased())
    }
}
