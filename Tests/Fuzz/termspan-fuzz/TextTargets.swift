import TermspanConfiguration
import TermspanCore

@testable import TermspanCommands
@testable import TermspanJournal
@testable import TermspanReports
@testable import TermspanSessions

extension FuzzTarget {
    private static func texts(_ texts: String...) -> [[UInt8]] { texts.map { Array($0.utf8) } }

    static var sessions: FuzzTarget {
        FuzzTarget(
            name: "fuzz-sessions", about: "log lines, paths of sockets, files of /proc and the kernel's list of sockets", longest: 1024,
            seeds: texts(
                "MESSAGE=[INFO ] Connected client computer name: front-desk", "/run/xrdp/sockdir/1001/xrdp_display_10",
                "/tmp/.xrdp/xrdp_display_11", ":10.0", "X10", "X010", "12::/\n0::/user.slice/user-1000.slice/session-c3.scope\n",
                "42 (Xorg :10 ) x) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 1") + [
                    // One message of a dump: a connected stream socket with its peer and its name; one of TCP.
                    [
                        40, 0, 0, 0, 20, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 2, 0, 7, 0,
                        0, 0,
                    ],
                    [88, 0, 0, 0, 20, 0, 2, 0] + [UInt8](repeating: 0, count: 8) + [2] + [UInt8](repeating: 1, count: 71),
                ]
        ) { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            if let name = XrdpClientName.name(in: text) {
                require(isFitToPrint(name) && !name.isEmpty && name.unicodeScalars.count <= 64, "a client's name is short and fit to print")
            }
            for name in XrdpClientName.names(in: Array(bytes), about: [1, 42, 1234]).names.values {
                require(isFitToPrint(name) && name.unicodeScalars.count <= 64, "a name that is passed on is short and fit to print")
            }
            for path in [text, "/run/xrdp/sockdir/\(text)", "/run/xrdp/sockdir/xrdp_display_\(text)"] {
                guard let display = XrdpMonitor.display(ofSocket: path, in: XrdpMonitor.socketDirectories) else { continue }
                require(
                    path.split(separator: "/").last.map { $0.utf8.elementsEqual("xrdp_display_\(display)".utf8) } ?? false,
                    "a display has one name")
            }
            for name in [text, "X\(text)"] {
                guard let display = XServerMonitor.display(ofSocket: name) else { continue }
                require(name.utf8.elementsEqual("X\(display)".utf8), "a socket has one display")
            }
            let login = LogindSession(id: "c1", uid: 1000, userName: "user", display: text)
            if let number = login.displayNumber {
                require(text.utf8.elementsEqual(":\(number)".utf8) || text.hasPrefix(":\(number)."), "a display has one name")
            }
            let halves = bytes.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false).map { Array($0) }
            if let facts = ProcessFacts(status: halves[0], groups: halves.last ?? [], uid: 1000, gid: 1000) {
                _ = XServer(display: 1, pid: 1, startTime: facts.startTime, uid: facts.uid, controlGroup: facts.controlGroup).isIn(
                    unit: "session-c3.scope")
            }
            SocketDiagnostics.forEachMessage(in: bytes) { message in
                if let connection = SocketDiagnostics.unixConnection(message) {
                    require(!connection.path.isEmpty, "a connection has a path")
                }
                if let socket = SocketDiagnostics.tcpSocket(message) {
                    require(isFitToPrint(socket.localAddress + socket.remoteAddress), "an address is text")
                }
            }
        }
    }

    static var journal: FuzzTarget {
        FuzzTarget(
            name: "fuzz-journal", about: "records that quote what users say, written, read again and shown", longest: 1024,
            seeds: texts("\u{5}hello\u{4}name\u{3}why", "MESSAGE=session opened\0TERMSPAN_EVENT=session-opened", "=", "A=\u{1b}[2J\u{9b}")
        ) { bytes in
            var input = FuzzInput(bytes)
            var record = JournalRecord(.policyChanged, input.text())
            record.add(.clientName, input.text())
            record.add(.reason, input.text())
            var fields: [String: [String]] = [:]
            for part in record.encoded {
                guard let (name, value) = part.withUnsafeBytes({ JournalEntry.field($0) }) else {
                    return require(false, "a field that was written can be read")
                }
                require(record.fields.contains { $0.field.name == name }, "no value begins another field")
                if name == JournalField.message.name {
                    require(!value.utf8.contains { $0 < 0x20 || $0 == 0x7F }, "a message has no control characters")
                }
                fields[name, default: []].append(value)
            }
            if let (name, value) = JournalEntry.field(bytes) { fields[name, default: []].append(value) }
            let entry = JournalEntry(time: WallInstant(nanoseconds: input.integer()), fields: fields)
            require(isFitToPrint(LogText.line(entry)), "a line of the log is fit to print")
            let json = LogText.json(entry).text
            require(isFitToPrint(json), "JSON is fit to print")
            require(Oracle.isJSON(json), "JSON is JSON: \(json)")
        }
    }

    static var configuration: FuzzTarget {
        FuzzTarget(
            name: "fuzz-configuration", about: "the configuration's YAML: applied within its limits, or refused", longest: 1024,
            seeds: texts(
                "burst-gap: 30s\nidle-threshold: 2m\n", "passive-limit: unlimited\ndisplays-per-user: 16 # users",
                "responsible: 'Kim \u{e9}'\n",
                "commit-interval: 1.5h\n---\n- a\n", "probe-ready-timeout: &a 500ms\nx: *a\n",
                "seats: 40\nrows-per-day: 100\nkeep-activity: 30d\nkeep-sessions: unlimited\npause-per-day: 1h\n",
                "keep-by-group:\n- {group: trainees, keep-activity: 30d}\n- {group: a b, keep-sessions: unlimited}\n",
                "tracking-hours:\n- {days: mon-fri, hours: 07:00-19:00}\n- {hours: 22:00-06:00, group: night}\nholidays: [2026-12-25]\n")
        ) { bytes in
            var configuration = Configuration()
            do throws(ConfigurationError) {
                try configuration.apply(String(decoding: bytes, as: UTF8.self), file: "fuzz.yaml")
            } catch {
                require(error.file == "fuzz.yaml" && !error.problem.isEmpty, "an error says where it is")
            }
            require((.milliseconds(500)...(.seconds(300))).contains(configuration.burstGap), "the burst gap keeps its limits")
            require((.milliseconds(500)...(.seconds(86_400))).contains(configuration.idleThreshold), "the threshold keeps its limits")
            require((.zero...(.seconds(86_400))).contains(configuration.passiveLimit ?? .zero), "the passive limit keeps its limits")
            require((.milliseconds(10)...(.seconds(10))).contains(configuration.commitInterval), "the commit interval keeps its limits")
            require((.seconds(1)...(.seconds(120))).contains(configuration.probeReadyTimeout), "the probe's time keeps its limits")
            require((1...1000).contains(configuration.limits.displaysPerUser), "the displays keep their limits")
            require((100...5_000_000).contains(configuration.limits.rowsPerDay), "the rows keep their limits")
            require((1...1_000_000).contains(configuration.limits.seats ?? 1), "the seats keep their limits")
            require((.zero...(.seconds(86_400))).contains(configuration.pausePerDay), "a pause keeps its limits")
            let kept = configuration.keptByGroup
            require(Set(kept.map(\.group)).count == kept.count, "a group has its times once")
            let times =
                kept.flatMap { [$0.activity, $0.sessions] }.compactMap { $0 } + [configuration.keepActivity, configuration.keepSessions]
            require(
                times.allSatisfy { (.seconds(3600)...(.seconds(10_000 * 86_400))).contains($0 ?? .seconds(3600)) },
                "retention keeps its limits")
            let hours = configuration.trackingHours
            require(hours.count <= 400 && kept.count <= 400 && configuration.holidays.count <= 400, "lists have their bound")
            require(
                hours.allSatisfy {
                    !$0.days.isEmpty && $0.days.isSubset(of: 0..<7) && 0 <= $0.start && $0.start < $0.end && $0.end <= 2880
                        && $0.end - $0.start <= 1440
                }, "tracking hours lie in a day and the next")
            require((kept.map(\.group) + hours.compactMap(\.group)).allSatisfy { !$0.isEmpty && isFitToPrint($0) }, "a group can be shown")
            require(
                configuration.responsible.count <= 200 && isFitToPrint(configuration.responsible), "whoever is responsible can be shown")
        }
    }

    static var rendering: FuzzTarget {
        FuzzTarget(
            name: "fuzz-rendering", about: "texts of others in tables, CSV and JSON", longest: 512,
            seeds: texts("\u{3}abc\u{4}=1+1\u{5}a\"b,c", "\u{8}\u{1b}[31m\u{9b}x\u{6}\u{202e}\u{301}\"\u{301},", "\u{4}\r\nx,\u{2}\"\"")
        ) { bytes in
            var input = FuzzInput(bytes)
            let cells = (0..<3).map { _ in input.text(atMost: 64) }
            var table = Table([.init("A"), .init("B", .right), .init("C")])
            table.add(cells)
            for line in table.lines() { require(isFitToPrint(line), "a table is fit to print") }
            require(isFitToPrint(Printable.text(cells[0])), "printable text is")
            let limit = Int(input.byte() & 31)
            require(Printable.width(Printable.cut(Printable.text(cells[1]), to: limit)) <= limit, "what was cut fits")
            let keys = ["a", "b", "c"]
            let row = JSONValue.object(zip(keys, cells).map { JSONValue.Member($0, .string($1)) })
            let rows = Oracle.csv(Records.text([row], keys: keys, .csv))
            require(rows?.count == 2 && rows?[0] == keys.map { Array($0.utf8) }, "CSV has its header and its row")
            for (index, cell) in cells.enumerated() {
                let isGuarded = "=+-@\t\r".utf8.contains(cell.utf8.first ?? 0)
                require(rows?[1][index] == (isGuarded ? [UInt8(ascii: "'")] : []) + Array(cell.utf8), "a cell of CSV is the text")
            }
            let json = Records.text([row], keys: keys, .json)
            require(isFitToPrint(json.filter { $0 != "\n" }), "JSON is fit to print")
            require(Oracle.strings(json) == cells, "JSON gives the texts back")
            var line = JSONLine()
            line.add("a", cells[0])
            line.add("b", cells[1])
            line.add("c", cells[2])
            let written = line.finished()
            require(JSONValue(written.dropLast()) == row, "a report's line gives the texts back")
        }
    }

    static var programs: FuzzTarget {
        let interpreters = [
            "python3.11", "perl", "ruby3.1", "node", "bash", "dash", "lua5.4", "wish8.6", "gjs-console", "mono-sgen", "java", "dotnet",
            "wine",
        ]
        return FuzzTarget(
            name: "fuzz-programs", about: "command lines of interpreters, and .desktop files", longest: 1024,
            seeds: [[0] + Array("python3\0-uW\0ignore\0tool.py\0secret\0".utf8), [10] + Array("java\0-cp\0a.jar\0-jar\0b.jar\0".utf8)]
                + texts(
                    "\u{0}[Desktop Entry]\nType=Application\nName=Tool\nName[de]=Werkzeug\nExec=env A=b \"/opt/a b\" %U\nStartupWMClass=Tool\n"
                )
        ) { bytes in
            var input = FuzzInput(bytes)
            let number: UInt8 = input.integer()
            let executable = "/usr/bin/" + interpreters[Int(number) % interpreters.count]
            let rest = Array(bytes.dropFirst())
            let program = Interpreter.program(of: executable, arguments: { rest }, folder: { "/home/user" })
            require(isFitToPrint(program) && !program.isEmpty && program.utf8.count <= 1024, "a program is short and fit to print")
            require(program == executable || rest.contains(0), "a word that does not end does not count")
            _ = Interpreter.withoutPackaging(String(decoding: rest, as: UTF8.self), controlGroup: String(decoding: rest, as: UTF8.self))
            guard let entry = DesktopEntry(String(decoding: rest, as: UTF8.self), id: "tool", languages: ["de_AT", "de"]) else { return }
            require(!entry.name.isEmpty && entry.name.utf8.count <= 256, "a name is short")
            _ = Descriptions([entry]).of(executable: entry.program ?? program, windowClass: entry.windowClass)
        }
    }

    static var json: FuzzTarget {
        FuzzTarget(
            name: "fuzz-json", about: "JSON that the command reads: it writes what any other program reads as well", longest: 512,
            seeds: texts(
                #"{"user":"a","n":-1.5e3,"t":[true,false,null],"x":"é😀\n"}"#, "[0,-0,18446744073709551615,1e400]", #"{"a":{"a":1}}"#)
        ) { bytes in
            guard let value = JSONValue(bytes) else { return }
            let text = value.text
            require(isFitToPrint(text), "JSON is fit to print")
            require(Oracle.isJSON(text), "JSON is JSON: \(text)")
            require(JSONValue(text.utf8)?.text == text, "a value comes back as it was written")
            _ = SpanTable().line(value)
        }
    }

    static var time: FuzzTarget {
        FuzzTarget(
            name: "fuzz-time", about: "moments on the command line, and moments as text", longest: 64,
            seeds: texts(
                "2026-01-02", "2026-01-02T03:04:05.123456Z", "2026-01-02 03:04+01:00", "03:04", "7d ago", "-30min", "yesterday", "12345678")
        ) { bytes in
            var input = FuzzInput(bytes)
            _ = TimeText.parse(String(decoding: bytes, as: UTF8.self), now: WallInstant(nanoseconds: 1_790_000_000_000_000_000))
            let instant = WallInstant(nanoseconds: input.integer())
            let text = TimeText.utc(instant)
            require(text == instant.iso8601, "the services write moments as the command does: \(text)")
            _ = TimeText.local(instant) + TimeText.minute(instant)
            // Rounded down to microseconds. The first second of all has begun before there were moments.
            if instant.nanoseconds >= .min + 1_000_000_000 {
                let rest = instant.nanoseconds % 1000
                let rounded = instant.nanoseconds - (rest < 0 ? rest + 1000 : rest)
                require(TimeText.parse(text, now: instant)?.nanoseconds == rounded, "a moment comes back as it was written: \(text)")
            }
            let count: UInt64 = input.integer()
            require(
                [
                    TimeText.idle(microseconds: count), TimeText.age(seconds: count), TimeText.bytes(count),
                    TimeText.short(microseconds: count),
                ]
                .allSatisfy { !$0.isEmpty && isFitToPrint($0) }, "each number has a text")
            _ = TimeText.duration(seconds: Double(bitPattern: count))
        }
    }
}
