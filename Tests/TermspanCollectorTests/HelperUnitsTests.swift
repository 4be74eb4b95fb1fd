import Testing

@testable import TermspanCollector

@Suite @MainActor struct HelperUnitsTests {
    @Test(
        arguments: [
            ("5903\n", nil), ("", "x did not come to an end"), ("\n", "x did not come to an end"),
            ("No VNC extension on display :3\n", "x said 'No VNC extension on display :3'"), ("5903\nfailed\n", "x said 'failed'"),
            ("\u{1B}[2Junable\r\nto open\n", "x said '[2Junable'"), ("1 2\n", "x said '1 2'"),
        ] as [(String, String?)])
    func aCommandSucceededOnlyIfItSaysSo(said: String, complaint: String?) {
        #expect(HelperUnits.complaint(Array(said.utf8), of: "x") == complaint)
    }

    @Test func whatItSaysIsPassedOnInPart() throws {
        let complaint = try #require(HelperUnits.complaint(Array(repeating: UInt8(ascii: "a"), count: 5_000), of: "x"))
        #expect(complaint.utf8.count < 200)
    }
}
