/// What an interpreter runs, by its command line: the script, module, class or Windows program, and never another argument.
///
/// A command line is its process's own memory, so all of it is hostile; and where options could hide what is a value and what the script, as of
/// an option that is not known, the interpreter itself is the answer.
package enum Interpreter {
    /// How much of a command line counts: a class path of Java's can be long.
    package static let limit = 1 << 15
    /// How long a name may be, in bytes.
    static let nameLimit = 1024

    /// What the process of an executable runs.
    ///
    /// - Parameters:
    ///   - executable: the path as the kernel has it.
    ///   - arguments: what /proc/PID/cmdline begins with, up to `limit`; asked for where `executable` is an interpreter.
    ///   - folder: that from which a relative path starts, asked for where there is one.
    /// - Returns: a path, or where there is none a name: `http.server`, `com.example.Main`, `notepad.exe`; `executable` where there is neither.
    package static func program(of executable: String, arguments: () -> [UInt8]?, folder: () -> String?) -> String {
        guard let grammar = grammar(of: executable), let bytes = arguments() else { return executable }
        let words = words(bytes)
        let what: Target? =
            switch grammar {
            case .options(let options): options.target(words.dropFirst())
            case .java: java(words.dropFirst())
            case .dotnet: dotnet(words.dropFirst())
            case .wine: windows(words)
            }
        switch what {
        case .script(let path)?: return absolute(path, folder) ?? executable
        case .name(let name)?: return name
        case nil: return executable
        }
    }

    /// Whether an executable is one of those whose arguments count.
    package static func isOne(_ executable: String) -> Bool { grammar(of: executable) != nil }

    /// What is behind an executable of a process that runs in the foreground of a container format, by how these name their files: the application
    /// and not the version or the mount of the day.
    ///
    /// - Parameter controlGroup: of the process, `…/app.slice/app-flatpak-org.example.App-1234.scope`.
    package static func withoutPackaging(_ program: String, controlGroup: String) -> String {
        let parts = program.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map { Substring($0) }
        guard parts.count > 2, parts[0].isEmpty else { return program }
        switch (parts[1], parts[2]) {
        case ("snap", _) where parts.count > 4:
            // /snap/NAME/REVISION/…; `current` is a link of snapd's.
            return (parts[..<3] + ["current"] + parts[4...]).joined(separator: "/")
        case ("tmp", let mount) where mount.hasPrefix(".mount_") && parts.count > 3:
            // An AppImage's: what it is called, cut to six, and six at random. The path of the image is in the environment only.
            guard let last = parts.last, !last.isEmpty, last != "AppRun", last != "AppRun.wrapped" else {
                let name = mount.dropFirst(".mount_".count).dropLast(6)
                return name.isEmpty ? program : String(name)
            }
            return String(last)
        case ("newroot", "app") where parts.count > 3, ("app", _):
            // As the kernel names what is below the root of bubblewrap's making.
            return flatpak(controlGroup) ?? program
        default:
            return program
        }
    }

    /// The application whose scope it is: Flatpak names it app-flatpak-ID-NUMBER.scope.
    private static func flatpak(_ controlGroup: String) -> String? {
        for part in controlGroup.split(separator: "/") where part.hasPrefix("app-flatpak-") && part.hasSuffix(".scope") {
            let name = part.dropFirst("app-flatpak-".count).dropLast(".scope".count)
            guard let dash = name.lastIndex(of: "-") else { continue }
            // Escaped as systemd escapes names of units.
            let id = name[..<dash].split(separator: "\\x2d", omittingEmptySubsequences: false).joined(separator: "-")
            if isName(id) { return id }
        }
        return nil
    }

    // MARK: Words

    enum Target: Equatable {
        case script(String)
        case name(String)
    }

    private enum Grammar {
        case options(Options)
        case java, dotnet, wine
    }

    /// The words that end within the bytes; nil where one is no text.
    private static func words(_ bytes: [UInt8]) -> [String?] {
        // What follows the last zero was cut off, or is a title that the process gave itself.
        bytes.prefix(limit).split(separator: 0, omittingEmptySubsequences: false).dropLast().map { String(validating: $0, as: UTF8.self) }
    }

    /// A path that can be recorded: short, and nothing that a path hardly has and code, an address or a setting does.
    private static func isPath(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= nameLimit && !text.utf8.contains { ";$\"'`<>|{}=".utf8.contains($0) }
            && text.unicodeScalars.allSatisfy {
                switch $0.properties.generalCategory {
                case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
                default: true
                }
            }
    }

    /// A name of a module, class or application.
    private static func isName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 256 && text.unicodeScalars.first != "-"
            && text.unicodeScalars.allSatisfy {
                $0.properties.isAlphabetic || $0.properties.numericType != nil || "._$-/".unicodeScalars.contains($0)
            }
    }

    private static func script(_ text: String) -> Target? { isPath(text) ? .script(text) : nil }

    private static func name(_ text: String) -> Target? { isName(text) ? .name(text) : nil }

    /// The path from the root, without `.` and `..`; what is relative to a folder that is not known has only its last part.
    private static func absolute(_ path: String, _ folder: () -> String?) -> String? {
        var path = path
        if path.utf8.first != UInt8(ascii: "/") {
            guard let folder = folder(), folder.utf8.first == UInt8(ascii: "/"), isPath(folder), !folder.hasSuffix(" (deleted)") else {
                return path.utf8.split(separator: UInt8(ascii: "/")).last.map { String(Substring($0)) }.flatMap {
                    $0 == "." || $0 == ".." ? nil : $0
                }
            }
            path = folder + "/" + path
        }
        var parts: [Substring] = []
        for part in path.utf8.split(separator: UInt8(ascii: "/")).map({ Substring($0) }) where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        guard !parts.isEmpty else { return nil }
        let result = "/" + parts.joined(separator: "/")
        return result.utf8.count <= nameLimit ? result : nil
    }

    // MARK: Options

    /// How an interpreter reads its options. What is in none of the lists is not known, and then nothing is.
    struct Options {
        /// Letters that stand alone, and may stand together: `-uB`.
        var flags = ""
        /// Letters with a value, the rest of the word or else the next one: `-Wignore`, `-W ignore`.
        var valued = ""
        /// Letters whose value is always the next word, though more letters follow: `-eo pipefail`.
        var separate = ""
        /// Letters that have the rest of the word for themselves, be it empty.
        var attached = ""
        /// Letters that digits may follow.
        var numbered = ""
        /// Letters that have the rest of the word only if it begins with a colon.
        var colon = ""
        /// Letters after which no word is a script: code, or standard input.
        var ending = ""
        /// The letter before a module's name.
        var module: Character?
        /// The letter by which a script's name is looked for in PATH.
        var search: Character?
        /// Options of whole words; one with `=` has its value in it.
        var longFlags: Set<String> = []
        var longValued: Set<String> = []
        var longEnding: Set<String> = []
        /// Whether `-` ends the options, where it is else standard input; whether there are options with `+`.
        var isShell = false

        func target(_ words: ArraySlice<String?>) -> Target? {
            var rest = words
            var isSearched = false
            while let first = rest.popFirst() {
                guard let word = first else { return nil }
                if word == "--" || (word == "-" && isShell) {
                    return rest.first.flatMap { $0 }.flatMap { file($0, isSearched) }
                }
                if word == "-" { return nil }
                if longFlags.contains(word) { continue }
                if longValued.contains(word) {
                    guard rest.popFirst() != nil else { return nil }
                    continue
                }
                if longEnding.contains(where: { word == $0 || word.hasPrefix($0 + "=") }) { return nil }
                if word.utf8.starts(with: "--".utf8) {
                    guard word.utf8.contains(UInt8(ascii: "=")) else { return nil }
                    continue
                }
                // By bytes: an accent that follows makes another Character of the dash.
                guard word.utf8.first == UInt8(ascii: "-") || (isShell && word.utf8.first == UInt8(ascii: "+")) else {
                    return file(word, isSearched)
                }
                switch letters(Substring(word.unicodeScalars.dropFirst()), &rest, &isSearched) {
                case .next: continue
                case .module(let name): return Interpreter.name(name)
                case .nothing: return nil
                }
            }
            return nil
        }

        private enum Step {
            case next
            case module(String)
            case nothing
        }

        private func letters(_ word: Substring, _ rest: inout ArraySlice<String?>, _ isSearched: inout Bool) -> Step {
            var letters = word
            while let letter = letters.popFirst() {
                if letter == search {
                    isSearched = true
                } else if letter == module {
                    guard let name = letters.isEmpty ? rest.popFirst().flatMap({ $0 }) : String(letters) else { return .nothing }
                    return .module(name)
                } else if valued.contains(letter) {
                    if letters.isEmpty, rest.popFirst() == nil { return .nothing }
                    return .next
                } else if separate.contains(letter) {
                    guard rest.popFirst() != nil else { return .nothing }
                } else if attached.contains(letter) {
                    return .next
                } else if numbered.contains(letter) {
                    letters = letters.drop { $0.isASCII && $0.isHexDigit && $0.isNumber }
                } else if colon.contains(letter) {
                    if letters.hasPrefix(":") { return .next }
                } else if !flags.contains(letter) {
                    return .nothing
                }
            }
            return .next
        }

        private func file(_ word: String, _ isSearched: Bool) -> Target? {
            guard let script = Interpreter.script(word) else { return nil }
            if isSearched, !word.utf8.contains(UInt8(ascii: "/")) { return .name(word) }
            return script
        }
    }

    private static let posixShell = Options(flags: "abefhiklmnpuvxCEIV", separate: "o", ending: "cs", isShell: true)
    private static let node = Options(
        flags: "ci", valued: "rC", ending: "ep",
        longFlags: [
            "--check", "--interactive", "--enable-source-maps", "--expose-gc", "--inspect", "--inspect-brk", "--no-deprecation",
            "--no-warnings",
            "--preserve-symlinks", "--throw-deprecation", "--trace-deprecation", "--trace-uncaught", "--trace-warnings", "--use-strict",
            "--watch",
        ], longValued: ["--conditions", "--experimental-loader", "--import", "--loader", "--require"],
        longEnding: ["--eval", "--print", "--run", "--test"])

    /// By the name of the executable's file, less the version at its end.
    private static func grammar(of executable: String) -> Grammar? {
        guard let file = executable.split(separator: "/").last else { return nil }
        if wines.contains(String(file)) { return .wine }
        let name = file.prefix { !$0.isNumber }
        // `3.11`, `3.11-dbg`; what is called otherwise is another program.
        let version = file.dropFirst(name.utf8.count)
        guard version.isEmpty || ["", "t", "-dbg"].contains(version.drop { $0.isNumber || $0 == "." }) else { return nil }
        switch name {
        case "python", "pypy":
            return .options(
                Options(
                    flags: "3bBdEiIOPqRsStuvx", valued: "QWX", ending: "c", module: "m", longValued: ["--check-hash-based-pycs"]))
        case "perl":
            return .options(
                Options(flags: "acfnpstTuUwWX", valued: "I", attached: "DFimMVx", numbered: "0l", colon: "d", ending: "eE", search: "S"))
        case "ruby":
            return .options(
                Options(
                    flags: "acdlnpsUvwyY", valued: "CEIrX", attached: "FiKx", numbered: "0T", colon: "W", ending: "e", search: "S",
                    longFlags: ["--debug", "--jit", "--verbose", "--yjit"],
                    longValued: ["--disable", "--enable", "--encoding", "--external-encoding", "--internal-encoding"]))
        case "node", "nodejs": return .options(node)
        case "bash":
            return .options(
                Options(
                    flags: "abefhiklmnprtuvxBCDEHP", separate: "oO", ending: "cs",
                    longFlags: ["--debugger", "--login", "--noediting", "--noprofile", "--norc", "--posix", "--restricted", "--verbose"],
                    longValued: ["--init-file", "--rcfile"], isShell: true))
        case "sh", "dash", "ksh", "mksh", "zsh": return .options(posixShell)
        case "lua": return .options(Options(flags: "iEW", valued: "l", ending: "e"))
        case "tclsh", "wish": return .options(Options(longValued: ["-encoding"]))
        case "gjs", "gjs-console":
            return .options(
                Options(
                    flags: "m", valued: "CI", ending: "c", longFlags: ["--module"], longValued: ["--include-path"],
                    longEnding: ["--command"]))
        case "mono", "mono-sgen": return .options(Options(longFlags: ["--debug", "--desktop", "--server"]))
        case "java", "javaw": return .java
        case "dotnet": return .dotnet
        default: return nil
        }
    }

    // MARK: Others

    /// java(1): `java [options] CLASS`, `java [options] -jar FILE`, `java [options] -m MODULE[/CLASS]`, `java [options] FILE.java`.
    private static func java(_ words: ArraySlice<String?>) -> Target? {
        let valued: Set<String> = [
            "-cp", "-classpath", "--class-path", "-p", "--module-path", "--upgrade-module-path", "--add-modules", "--limit-modules",
            "--add-exports",
            "--add-opens", "--add-reads", "--patch-module", "--enable-native-access", "--source",
        ]
        var rest = words
        // Options may follow it.
        var isJar = false
        while let first = rest.popFirst() {
            guard let word = first else { return nil }
            switch word {
            case "-jar": isJar = true
            case "-m", "--module": return rest.first.flatMap { $0 }.flatMap(name)
            case "--enable-preview": continue
            case _ where valued.contains(word):
                guard rest.popFirst() != nil else { return nil }
            case _ where word.hasPrefix("--module="): return name(String(word.dropFirst("--module=".count)))
            case _ where word.utf8.starts(with: "--".utf8):
                guard word.utf8.contains(UInt8(ascii: "=")) else { return nil }
            case "-d", "--describe-module": return nil
            // Those of one dash have their value in the word.
            case _ where word.utf8.first == UInt8(ascii: "-"): continue
            case _ where isJar || word.hasSuffix(".java"): return script(word)
            // Not @FILE, of which the class may be.
            default: return name(word)
            }
        }
        return nil
    }

    private static func dotnet(_ words: ArraySlice<String?>) -> Target? {
        var rest = words
        if rest.first == "exec" { rest.removeFirst() }
        guard let word = rest.first.flatMap({ $0 }), [".dll", ".exe"].contains(where: word.lowercased().hasSuffix),
            word.utf8.first != UInt8(ascii: "-")
        else { return nil }
        return script(word)
    }

    private static let wines: Set<String> = ["wine", "wine64", "wine-preloader", "wine64-preloader"]

    /// Wine puts the Windows program in the place of its own name, or starts with that before it. The folder, which has the user's name in it, is left out.
    private static func windows(_ words: [String?]) -> Target? {
        for word in words.prefix(3) {
            guard let word else { return nil }
            let last = word.split { $0 == "\\" || $0 == "/" }.last.map(String.init) ?? ""
            if last.lowercased().hasSuffix(".exe"), isPath(last) { return .name(last) }
            guard wines.contains(last) else { return nil }
        }
        return nil
    }
}
