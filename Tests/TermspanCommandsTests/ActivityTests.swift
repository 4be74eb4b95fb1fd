import TermspanCore
import Testing

@testable import TermspanCommands

@Suite struct LanguageTests {
    @Test func theLanguageIsTheLocales() {
        func languages(_ values: [String: String]) -> [String] { Languages.names { values[$0] } }
        #expect(languages(["LANG": "de_AT.UTF-8@euro"]) == ["de_AT@euro", "de_AT", "de@euro", "de"])
        #expect(languages(["LANG": "de_AT.UTF-8", "LC_MESSAGES": "fr"]) == ["fr"])
        #expect(languages(["LANG": "de_AT.UTF-8", "LC_ALL": "C.UTF-8"]).isEmpty)
        #expect(languages([:]).isEmpty && languages(["LANG": "@"]).isEmpty && languages(["LANG": "."]).isEmpty)
    }
}
