import Glibc

/// The terminal of `top`: its alternate screen without echo, restored at the end.
@MainActor
final class Terminal {
    private var saved = termios()
    private var isEntered = false

    struct Size {
        var columns: Int
        var rows: Int
    }

    /// As the terminal tells, 80 by 24 where it does not.
    var size: Size {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return Size(columns: 80, rows: 24)
        }
        return Size(columns: Int(size.ws_col), rows: Int(size.ws_row))
    }

    func enter() {
        guard !isEntered, tcgetattr(STDIN_FILENO, &saved) == 0 else { return }
        isEntered = true
        var raw = saved
        raw.c_lflag &= ~tcflag_t(ECHO | ICANON)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &raw)
        // The alternate screen, and no cursor.
        write("\u{1B}[?1049h\u{1B}[?25l")
    }

    func leave() {
        guard isEntered else { return }
        isEntered = false
        write("\u{1B}[?25h\u{1B}[?1049l")
        tcsetattr(STDIN_FILENO, TCSADRAIN, &saved)
    }

    /// Draws the lines from the top left, in one write, so that nothing flickers.
    func show(_ lines: [String]) {
        var text = "\u{1B}[H"
        for (index, line) in lines.enumerated() {
            text += line + "\u{1B}[K" + (index + 1 < lines.count ? "\r\n" : "")
        }
        write(text + "\u{1B}[J")
    }

    private func write(_ text: String) {
        Output.writeAll(STDOUT_FILENO, Array(text.utf8))
    }
}
