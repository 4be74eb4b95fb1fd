import TermspanCore
import Testing

@Suite struct GivenTextTests {
    @Test(arguments: ["Ann Lee", "Łukasz Żak, payroll", "李娜", "علی‌رضا", "👩‍⚖️ case 7", "r"])
    func whatPeopleWriteIsTaken(text: String) {
        #expect(GivenText.isPlain(text) && !GivenText.saysNothing(text))
    }

    /// Turned round, broken into lines, or for the terminal.
    @Test(arguments: ["a\u{202E}b", "a\u{2066}b", "a\nb", "a\u{1B}[31m", "a\u{2028}b", "a\u{200B}b", "\u{FEFF}a"])
    func whatIsNotShownAsItStandsIsNot(text: String) {
        #expect(!GivenText.isPlain(text))
    }

    /// Blank to whoever reads it: spaces, Braille's blank, a filler of Hangul, signs.
    @Test(arguments: ["", "  ", "\u{2800}", "\u{3164}", "\u{115F}", "\u{200D}", "-", "..."])
    func whatSaysNothingIsNoReason(text: String) {
        #expect(GivenText.saysNothing(text))
    }
}
