import Foundation
import TermspanCore
import Testing

@testable import TermspanCollector

@Suite struct NoticeTests {
    /// What a script would show to a user, as Units/notice has it: the user's own file, else the default.
    private func shown(to uid: UInt32, in folder: String) -> String {
        let own = "\(folder)/\(uid)"
        let path = FileManager.default.fileExists(atPath: own) ? "\(own)/text" : "\(folder)/default"
        return String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    @Test(arguments: ["", String(repeating: "Someone of Example Ltd. ", count: 8)]) func itFitsATerminal(responsible: String) {
        let text = NoticeFiles.text(level: .basic, reason: "a reason", responsible: responsible)
        #expect(text.contains("\nWhy: a reason\n") && !NoticeFiles.text(level: .basic, reason: "", responsible: "").contains("Why:"))
        #expect(text.hasPrefix("Your activity in desktop sessions on this server is recorded (level: basic).\n\nRecorded are: which "))
        #expect(text.contains("\nNever recorded are: what you type, ") && text.contains(" termspan me\n") && text.hasSuffix("\n"))
        #expect(text.split(separator: "\n").allSatisfy { $0.count <= 80 })
    }

    @Test func whoeverIsTrackedFindsANoticeAndNobodyElse() throws {
        let folder = NSTemporaryDirectory() + "termspan-notice-\(UUID())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let notices = NoticeFiles(folder: folder)
        // As an earlier version left it.
        #expect(FileManager.default.createFile(atPath: "\(folder)/1", contents: Data("old".utf8)))
        #expect(FileManager.default.createFile(atPath: "\(folder)/9", contents: Data("old".utf8)))

        notices.keep([1: "one"], others: nil)
        #expect(shown(to: 1, in: folder) == "one" && shown(to: 2, in: folder).isEmpty)
        // New users are tracked: also whoever has never been here, but not who was untracked.
        notices.keep([1: "one", 2: ""], others: "all")
        #expect(shown(to: 1, in: folder) == "one" && shown(to: 2, in: folder).isEmpty && shown(to: 3, in: folder) == "all")
        notices.keep([2: "two"], others: nil)
        #expect(shown(to: 1, in: folder).isEmpty && shown(to: 2, in: folder) == "two" && shown(to: 3, in: folder).isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["2"])
        for (name, mode) in [("", 0o711), ("/2/text", 0o644)] {
            #expect(try FileManager.default.attributesOfItem(atPath: folder + name)[.posixPermissions] as? Int == mode)
        }
    }
}
