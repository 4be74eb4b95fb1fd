import SeededRandom
import Testing

@testable import TermspanCore

@Suite struct InterpreterTests {
    private static func program(_ executable: String, _ words: [String], folder: String? = "/home/anna/tools") -> String {
        Interpreter.program(of: executable, arguments: { words.flatMap { Array($0.utf8) + [0] } }, folder: { folder })
    }

    @Test(arguments: [
        ("/usr/bin/python3.11", "python3 /usr/bin/terminator --secret", "/usr/bin/terminator"),
        ("/usr/bin/python3.11", "python3 -uB -W ignore -Xdev tool.py --password x", "/home/anna/tools/tool.py"),
        ("/usr/bin/python3.11", "python3 -m idlelib -t secret", "idlelib"),
        ("/usr/bin/python3.11", "python3 -umidlelib secret", "idlelib"),
        ("/usr/bin/python3.11", "python3 ../bin/./tool secret", "/home/anna/bin/tool"),
        ("/usr/bin/python3.11", "python3 --check-hash-based-pycs never -- -odd.py", "/home/anna/tools/-odd.py"),
        ("/usr/bin/python3.11-dbg", "python3-dbg a.py", "/home/anna/tools/a.py"),
        ("/usr/bin/perl", "/usr/bin/perl -w /usr/bin/exifcheck secret", "/usr/bin/exifcheck"),
        ("/usr/bin/perl5.36.0", "perl -I lib -MTk -l0 tool.pl secret", "/home/anna/tools/tool.pl"),
        ("/usr/bin/perl", "perl -pie tool.pl", "/home/anna/tools/tool.pl"),
        ("/usr/bin/perl", "perl -S tool secret", "tool"),
        ("/usr/bin/ruby3.1", "ruby -rgtk3 -I lib --enable=yjit app.rb secret", "/home/anna/tools/app.rb"),
        ("/usr/bin/node", "node --require ./hook --max-old-space-size=4096 server.js secret", "/home/anna/tools/server.js"),
        ("/usr/bin/bash", "-bash -eo pipefail +x /opt/run.sh secret", "/opt/run.sh"),
        ("/usr/bin/bash", "bash --rcfile secret -O extglob -- run.sh", "/home/anna/tools/run.sh"),
        ("/usr/bin/dash", "/bin/sh - /usr/bin/menu secret", "/usr/bin/menu"),
        ("/usr/bin/wish8.6", "wish /usr/bin/tkdiff secret secret", "/usr/bin/tkdiff"),
        ("/usr/bin/gjs-console", "/usr/bin/gjs -m /usr/share/app/app", "/usr/share/app/app"),
        ("/usr/bin/mono-sgen", "mono --debug /usr/lib/tool/Tool.exe secret", "/usr/lib/tool/Tool.exe"),
        ("/usr/lib/dotnet/dotnet", "dotnet exec /opt/app/App.dll secret", "/opt/app/App.dll"),
        ("/usr/lib/jvm/java-17-openjdk-amd64/bin/java", "java -Xmx1g -Dkey=secret -jar /opt/app/app.jar secret", "/opt/app/app.jar"),
        ("/usr/bin/java", "java -jar -Xmx1g -Dkey=secret -cp /secret /opt/app/app.jar secret", "/opt/app/app.jar"),
        ("/usr/bin/java", "java -cp a.jar:b.jar --add-opens java.base/java.lang=ALL-UNNAMED com.example.Main secret", "com.example.Main"),
        ("/usr/bin/java", "java --module-path mods -m org.example.app/org.example.Main secret", "org.example.app/org.example.Main"),
        ("/usr/bin/java", "java Tool.java secret", "/home/anna/tools/Tool.java"),
        ("/usr/lib/wine/wine64-preloader", "C:\\users\\anna\\Games\\Chess.EXE secret", "Chess.EXE"),
        ("/usr/lib/wine/wine64-preloader", "/usr/lib/wine/wine64-preloader /usr/lib/wine/wine64 notepad.exe secret", "notepad.exe"),
    ])
    func whatItRunsIsNamed(executable: String, line: String, program: String) {
        #expect(Self.program(executable, line.split(separator: " ").map(String.init)) == program)
    }

    /// Where there is no script, or where it can't be told what is one.
    @Test(arguments: [
        ("/usr/bin/python3.11", ["python3"]), ("/usr/bin/python3.11", ["python3", "-c", "import secret", "x"]),
        ("/usr/bin/python3.11", ["python3", "-Buc", "secret"]), ("/usr/bin/python3.11", ["python3", "-", "secret"]),
        ("/usr/bin/python3.11", ["python3", "--unknown", "secret"]), ("/usr/bin/python3.11", ["python3", "-k", "secret"]),
        ("/usr/bin/python3.11", ["python3", "-m", "sec ret"]), ("/usr/bin/python3.11", ["python3", "a\nb.py"]),
        ("/usr/bin/python3.11", ["python3", "a=b"]), ("/usr/bin/python3.11", ["python3", "-\u{301}c", "secret"]),
        ("/usr/bin/python3.11", ["python3", "../../.."]), ("/usr/bin/python3.11", []), ("/usr/bin/python3.11", ["python3", "-W"]),
        ("/usr/bin/python3.11", ["python3", ""]), ("/usr/bin/python3.11", ["python3", "x\u{202E}yp.a"]),
        ("/usr/bin/perl", ["perl", "-lne", "secret", "file"]), ("/usr/bin/perl", ["perl", "-0777pe", "secret"]),
        ("/usr/bin/perl", ["perl", "-wE", "secret"]), ("/usr/bin/ruby3.1", ["ruby", "-W0e", "secret"]),
        ("/usr/bin/node", ["node", "--eval=secret"]), ("/usr/bin/node", ["node", "-pe", "secret"]),
        ("/usr/bin/node", ["node", "--title", "secret"]),
        ("/usr/bin/bash", ["bash", "-lc", "secret"]), ("/usr/bin/bash", ["bash", "-s", "secret"]),
        ("/usr/bin/bash", ["bash", "-oe", "pipefail"]),
        ("/usr/bin/dash", ["sh", "-c", "secret", "secret"]), ("/usr/bin/wish8.6", ["wish", "-geometry", "secret"]),
        ("/usr/bin/java", ["java", "-version"]), ("/usr/bin/java", ["java", "@secret"]),
        ("/usr/bin/java", ["java", "--unknown", "secret"]),
        ("/usr/bin/dotnet", ["dotnet", "run", "secret"]), ("/usr/lib/wine/wineserver", ["wineserver", "secret.exe"]),
        ("/usr/lib/wine/wine64-preloader", ["winecfg", "secret.exe"]), ("/usr/bin/xterm", ["xterm", "-e", "secret"]),
        ("/usr/bin/python3-config", ["python3-config", "secret"]),
    ])
    func elseItIsTheInterpreter(executable: String, words: [String]) {
        #expect(Self.program(executable, words) == executable)
    }

    @Test func aFolderThatIsNotKnownLeavesTheName() {
        #expect(Self.program("/usr/bin/python3", ["python3", "tools/a.py"], folder: nil) == "a.py")
        #expect(Self.program("/usr/bin/python3", ["python3", "a.py"], folder: "/gone (deleted)") == "a.py")
        #expect(Self.program("/usr/bin/python3", ["python3", ".."], folder: nil) == "/usr/bin/python3")
    }

    /// The last word may have been cut off, or is a title; and arguments are asked for only where they are needed.
    @Test func whatDoesNotEndDoesNotCount() {
        #expect(
            Interpreter.program(of: "/usr/bin/python3", arguments: { Array("python3\0/tmp/a.p".utf8) }, folder: { nil })
                == "/usr/bin/python3")
        let long = Array("python3\0".utf8) + [UInt8](repeating: 0x61, count: Interpreter.limit) + [0]
        #expect(Interpreter.program(of: "/usr/bin/python3", arguments: { long }, folder: { "/" }) == "/usr/bin/python3")
        #expect(Self.program("/usr/bin/python3", ["python3", String(repeating: "a", count: 2000)]) == "/usr/bin/python3")
        #expect(Interpreter.program(of: "/usr/bin/python3", arguments: { [0x70, 0, 0xFF, 0] }, folder: { "/" }) == "/usr/bin/python3")
        _ = Interpreter.program(
            of: "/usr/bin/xterm",
            arguments: {
                Issue.record("asked for")
                return nil
            }, folder: { nil })
    }

    @Test func packagingIsLeftOut() {
        let scope = "/user.slice/user-1000.slice/user@1000.service/app.slice/app-flatpak-org.gnome.TextEditor-3204.scope"
        #expect(Interpreter.withoutPackaging("/app/bin/gnome-text-editor", controlGroup: scope) == "org.gnome.TextEditor")
        #expect(Interpreter.withoutPackaging("/newroot/app/bin/gnome-text-editor", controlGroup: scope) == "org.gnome.TextEditor")
        #expect(Interpreter.withoutPackaging("/usr/bin/game", controlGroup: scope) == "/usr/bin/game")
        #expect(Interpreter.withoutPackaging("/app/bin/tool", controlGroup: "/user.slice/session-3.scope") == "/app/bin/tool")
        #expect(Interpreter.withoutPackaging("/app/bin/x", controlGroup: "/app-flatpak-a\\x2db-1.scope") == "a-b")
        #expect(
            Interpreter.withoutPackaging("/snap/firefox/4336/usr/lib/firefox/firefox", controlGroup: "")
                == "/snap/firefox/current/usr/lib/firefox/firefox")
        #expect(Interpreter.withoutPackaging("/tmp/.mount_KritaXa1b2C/usr/bin/krita", controlGroup: "") == "krita")
        #expect(Interpreter.withoutPackaging("/tmp/.mount_Krita5a1b2C3/AppRun", controlGroup: "") == "Krita5")
        for path in ["/usr/bin/xterm", "/snap/x", "/tmp/.mount_", "/tmp/tool", "", "/", "notepad.exe"] {
            #expect(Interpreter.withoutPackaging(path, controlGroup: "") == path)
        }
    }

    @Test func aLoginIsLeftOutWhateverFollowsTheStroke() {
        #expect(LoginName.left("anna", outOf: "/home/anna/\u{301}x/tool.py") == "/home/~/\u{301}x/tool.py")
    }

    /// Whatever the bytes, and however much of them is like options: no trap, and nothing that is not printed as it is.
    @Test(arguments: 0..<200 as Range<UInt64>)
    func anyBytesAreTaken(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let parts: [[UInt8]] = [
            "-", "--", "-c", "-m", "-e", "=", "/", "..", ".exe", "\u{301}", "python3", "-jar", "C:\\", "\u{202E}", "\n",
        ].map {
            Array($0.utf8)
        }
        for executable in ["python3", "perl", "ruby", "node", "bash", "sh", "lua", "wish", "gjs", "mono", "java", "dotnet", "wine"] {
            let path = "/usr/bin/" + executable
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 0..<40, using: &random) {
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes.append(0)
                case 1: bytes.append(.random(in: 0...255, using: &random))
                default: bytes += parts.randomElement(using: &random) ?? []
                }
            }
            let result = Interpreter.program(of: path, arguments: { bytes }, folder: { "/home/anna" })
            #expect(!result.isEmpty && result.utf8.count <= Interpreter.nameLimit)
            #expect(
                result.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control && $0.properties.generalCategory != .format })
        }
    }

    /// Any options that are known before the script, anything after it: never more than the script.
    @Test(arguments: 0..<200 as Range<UInt64>)
    func nothingButTheScriptIsKept(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let options: [(String, [[String]])] = [
            ("python3", [["-u"], ["-Bs"], ["-W", "secret"], ["-uX", "secret"], ["-Wsecret"], ["--check-hash-based-pycs", "secret"]]),
            ("perl", [["-w"], ["-Isecret"], ["-I", "secret"], ["-Msecret"], ["-d:secret"], ["-i.secret"], ["-F/secret/"]]),
            ("ruby", [["-w"], ["-rsecret"], ["-r", "secret"], ["-C", "secret"], ["--enable", "secret"], ["--encoding=secret"]]),
            ("node", [["-r", "secret"], ["--import", "secret"], ["--title=secret"], ["--inspect"]]),
            ("bash", [["-e"], ["+x"], ["-O", "secret"], ["-euo", "secret"], ["--rcfile", "secret"]]),
            ("java", [["-Dsecret"], ["-cp", "secret"], ["--add-opens=secret"], ["-javaagent:secret"], ["--add-modules", "secret"]]),
        ]
        for (interpreter, choices) in options {
            var words = [interpreter]
            for _ in 0..<Int.random(in: 0..<6, using: &random) { words += choices.randomElement(using: &random) ?? [] }
            words.append(interpreter == "java" ? "com.example.Main" : "/opt/script")
            for _ in 0..<Int.random(in: 0..<4, using: &random) {
                words.append(["secret", "--secret", "-c", "-jar"].randomElement(using: &random) ?? "")
            }
            #expect(
                Self.program("/usr/bin/" + interpreter, words) == (interpreter == "java" ? "com.example.Main" : "/opt/script"), "\(words)")
        }
    }
}
