import Foundation
import TermspanCore
import Testing

@testable import TermspanReports

@Suite struct DesktopEntryTests {
    /// Parts of Debian's.
    static let xterm = """
        # this file is part of xterm
        [Desktop Entry]
        Name=XTerm
        GenericName=Terminal
        Comment=standard terminal emulator for the X window system
        Exec=xterm
        Terminal=false
        Type=Application
        Icon=mini.xterm
        Categories=System;TerminalEmulator;
        StartupWMClass=XTerm
        """
    static let writer = """
        [Desktop Entry]
        Version=1.0
        Terminal=false
        NoDisplay=false
        Icon=libreoffice-writer
        Type=Application
        Categories=Office;WordProcessor;
        Exec=libreoffice --writer %U
        MimeType=application/vnd.oasis.opendocument.text;
        Name=LibreOffice Writer
        StartupNotify=true
        StartupWMClass=libreoffice-writer
        TryExec=libreoffice
        Actions=NewDocument;
        [Desktop Action NewDocument]
        Name=New Document
        Exec=libreoffice --writer
        """
    static let firefox = """
        [Desktop Entry]
        Name=Firefox ESR
        Name[de]=Firefox ESR (deutsch)
        Name[de_AT] = Firefox ESR (\u{F6}sterreichisch)
        Comment[de]=Im Internet surfen
        X-GNOME-FullName=Firefox ESR Web Browser
        Exec=/usr/lib/firefox-esr/firefox-esr %u
        Terminal=false
        X-MultipleArgs=false
        Type=Application
        StartupWMClass=Firefox-esr
        """

    @Test func realOnesAreRead() throws {
        let writer = try #require(DesktopEntry(Self.writer, id: "libreoffice-writer"))
        #expect(writer.name == "LibreOffice Writer" && writer.program == "libreoffice" && writer.tryExec == "libreoffice")
        #expect(writer.windowClass == "libreoffice-writer" && writer.isShown)
        let firefox = try #require(DesktopEntry(Self.firefox, id: "firefox-esr", languages: ["de_AT", "de"]))
        #expect(firefox.name == "Firefox ESR (\u{F6}sterreichisch)" && firefox.program == "/usr/lib/firefox-esr/firefox-esr")
        #expect(DesktopEntry(Self.firefox, id: "", languages: ["de_CH", "de"])?.name == "Firefox ESR (deutsch)")
        #expect(DesktopEntry(Self.firefox, id: "", languages: ["fr"])?.name == "Firefox ESR")
    }

    @Test(arguments: [
        ("xterm", "xterm"), (#"env VAR=1 "OTHER=a b" /snap/bin/firefox %u"#, "/snap/bin/firefox"),
        (#""/opt/My App/app" --flag"#, "/opt/My App/app"),
        (#""/opt/a\\"b" %F"#, "/opt/a\"b"), ("python3 /usr/share/tool/tool.py %f", "/usr/share/tool/tool.py"),
        ("/usr/bin/python3.11", "/usr/bin/python3.11"),
        ("java -jar /usr/share/java/app.jar", "/usr/share/java/app.jar"), ("sh -c \"secret\"", nil), ("env -i xterm", nil), ("%f", nil),
        ("", nil),
    ])
    func execNamesAProgram(exec: String, program: String?) {
        let entry = DesktopEntry("[Desktop Entry]\nType=Application\nName=x\nExec=\(exec)", id: "x")
        #expect(entry?.name == "x" && entry?.program == program)
    }

    @Test(arguments: [
        "", "[Desktop Entry]", "Type=Application\nName=x", "[Desktop Entry]\nType=Link\nName=x", "[Desktop Entry]\nType=Application",
        "[Desktop Entry]\nType=Application\nHidden=true\nName=x", "[Other]\n[Desktop Action]\nType=Application\nName=x",
        "[Desktop Entry\nType=Application\nName=x",
        "[Desktop Entry]\nType=Application\nName=", "[Desktop Entry]\n=\n==\nName\n[",
        "[Desktop Entry]\nType=Application\nName=" + String(repeating: "a", count: 300),
        "[Desktop Entry]\nType=Application\n#" + String(repeating: "a", count: DesktopEntry.limit) + "\nName=x",
    ])
    func whatIsNoneIsRefused(text: String) {
        #expect(DesktopEntry(text, id: "x") == nil)
    }

    @Test func valuesAreUnescaped() {
        let entry = DesktopEntry("[Desktop Entry]\r\nType=Application\r\nName=a\\sb\\\\c\\x\\\r\nName=again\r\n", id: "x")
        #expect(entry?.name == "a b\\c\\x\\")
    }
}

@Suite struct DescriptionsTests {
    private static func entry(_ id: String, _ name: String, exec: String, windowClass: String = "", more: String = "") -> DesktopEntry? {
        DesktopEntry("[Desktop Entry]\nType=Application\nName=\(name)\nExec=\(exec)\nStartupWMClass=\(windowClass)\n\(more)", id: id)
    }

    private let descriptions = Descriptions(
        [
            DesktopEntry(DesktopEntryTests.xterm, id: "debian-xterm"), DesktopEntry(DesktopEntryTests.writer, id: "libreoffice-writer"),
            DesktopEntry(DesktopEntryTests.firefox, id: "firefox-esr"),
            entry("libreoffice-calc", "LibreOffice Calc", exec: "libreoffice --calc"),
            entry("org.gnome.TextEditor", "Text Editor", exec: "flatpak run org.gnome.TextEditor"),
            entry("tool", "Tool", exec: "python3 /usr/share/tool/tool.py"), entry("krita", "Krita", exec: "krita %F"),
            entry("org.xfce.mousepad-settings", "Text Editor Settings", exec: "mousepad --preferences"),
            entry("org.xfce.mousepad", "Mousepad", exec: "mousepad %U"), entry("debian-xterm", "Another", exec: "other"),
        ].compactMap(\.self))

    @Test(
        arguments: [
            ("/usr/bin/xterm", "Editor", "XTerm"), ("/usr/lib/libreoffice/program/soffice.bin", "libreoffice-writer", "LibreOffice Writer"),
            ("/usr/bin/libreoffice", "libreoffice-calc", "LibreOffice Calc"), ("/usr/lib/firefox-esr/firefox-esr", nil, "Firefox ESR"),
            ("org.gnome.TextEditor", nil, "Text Editor"), ("/usr/share/tool/tool.py", "Tk", "Tool"), ("krita", nil, "Krita"),
            ("/usr/bin/other", nil, "other"), ("/home/~/bin/xterm", nil, "xterm"), ("/home/~/bin/tool.py", "Unknown", "tool.py"),
            (nil, "XTERM", "XTerm"), (nil, "Unknown", "Unknown"), (nil, nil, nil), ("", "", nil),
            ("/usr/bin/mousepad", "Mousepad", "Mousepad"), ("/usr/bin/mousepad", nil, "Mousepad"),
        ] as [(String?, String?, String?)])
    func programsAreNamed(executable: String?, windowClass: String?, name: String?) {
        #expect(descriptions.of(executable: executable, windowClass: windowClass) == name)
    }

    @Test func foldersAreReadAndTheFirstCounts() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "termspan-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for (path, text) in [
            ("a/xterm.desktop", DesktopEntryTests.xterm), ("b/xterm.desktop", "[Desktop Entry]\nType=Application\nName=Late\nExec=xterm"),
            ("b/kde/app.desktop", "[Desktop Entry]\nType=Application\nName=Deep\nExec=deep"), ("b/other.txt", DesktopEntryTests.firefox),
        ] {
            let file = folder + "/" + path
            try FileManager.default.createDirectory(atPath: (file as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            try text.write(toFile: file, atomically: true, encoding: .utf8)
        }
        let read = Descriptions.installed(in: ["a", "b", "none"].map { folder + "/" + $0 }, packages: nil, languages: [])
        #expect(read.of(executable: "/usr/bin/xterm", windowClass: nil) == "XTerm")
        #expect(read.of(executable: nil, windowClass: "kde-app") == "Deep")
        #expect(read.of(executable: "/usr/lib/firefox-esr/firefox-esr", windowClass: nil) == "firefox-esr")
    }

    @Test func elseItIsWhatItsPackageSays() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "termspan-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder + "/info", withIntermediateDirectories: true)
        func write(_ path: String, _ lines: [String]) throws {
            try (lines.joined(separator: "\n") + "\n").write(toFile: folder + "/" + path, atomically: true, encoding: .utf8)
        }
        try write("info/x11-apps.list", ["/.", "/usr", "/usr/bin", "/usr/bin/xclock", "/usr/bin/xeyes"])
        try write("info/lyx.list", ["/usr/bin/lyx", "/usr/share/lyx/lyx.py"])
        try write("info/tool:amd64.list", ["/bin/tool"])
        try write("info/gone.list", ["/usr/bin/gone"])
        let status = [
            "Package: x11-apps", "Status: install ok installed", "Description: X applications", " of all kinds", "",
            "Package: lyx", "Description: document processor", "", "Package: tool", "Description: tool for everything", "",
        ]
        try write("status", status)
        let packages = PackageSummaries(folder: folder)
        let descriptions = Descriptions([DesktopEntry(DesktopEntryTests.xterm, id: "debian-xterm")].compactMap(\.self), packages: packages)
        for (path, name) in [
            ("/usr/bin/xclock", "X applications (xclock)"), ("/usr/bin/lyx", "document processor"),
            ("/usr/share/lyx/lyx.py", "document processor"), ("/usr/bin/tool", "tool for everything"), ("/usr/bin/gone", "gone"),
            ("/usr/bin/xterm", "XTerm"), ("/usr/bin/xcloc", "xcloc"), ("xclock", "xclock"), ("/home/~/bin/lyx", "lyx"),
        ] { #expect(descriptions.of(executable: path, windowClass: nil) == name) }
        // What is installed later is found, too.
        try write("info/gone.list", ["/usr/bin/gone"])
        try write("status", status + ["Package: gone", "Description: back again"])
        #expect(descriptions.of(executable: "/usr/bin/gone", windowClass: nil) == "back again")
        #expect(PackageSummaries(folder: folder + "/none").of("/usr/bin/lyx") == nil)
    }

    @Test func aPatternTakesBoundedTime() {
        let text = String(repeating: "a", count: 20_000)
        #expect(!Pattern.matches(String(repeating: "*a", count: 200) + "*b", text))
        #expect(Pattern.matches("a*a**", text) && Pattern.matches("", "") && !Pattern.matches("", "a"))
    }
}
