// Offers org.freedesktop.login1 on the bus that DBUS_SYSTEM_BUS_ADDRESS names: sessions of uid 1001, as many as its argument says, and one of
// uid 1002; with a pid as another argument they are logins over ssh that it registered. LockSessions locks them all, and then the process
// stops itself (SIGSTOP): whoever asks waits until it is continued.
import Glibc
import TermspanBus

let count = CommandLine.arguments.dropFirst().first.flatMap { UInt32($0) } ?? 1
let leader = CommandLine.arguments.dropFirst(2).first.flatMap { UInt32($0) }
let folder = "/org/freedesktop/login1/session"
var isLocked = false

@MainActor func number(_ path: String) -> UInt32 { path.split(separator: "_").last.flatMap { UInt32($0) } ?? 0 }

/// The last one is another user's.
@MainActor func uid(_ number: UInt32) -> UInt32 { number > count ? 1002 : 1001 }

let manager = BusInterface(
    "org.freedesktop.login1.Manager",
    methods: [
        BusMethod("ListSessions", out: ["sessions": "a(susso)"]) { call in
            call.reply { writer in
                writer.array(of: "(susso)") { writer in
                    for number in 1...count + 1 {
                        writer.structure("susso") { writer in
                            writer.append(String(number))
                            writer.append(uid(number))
                            writer.append("user\(uid(number))")
                            writer.append("")
                            writer.append(objectPath: "\(folder)/_\(number)")
                        }
                    }
                }
            }
        },
        BusMethod("LockSessions") { call throws(BusError) in
            isLocked = true
            call.reply()
            for number in 1...count + 1 {
                try bus.emit(path: "\(folder)/_\(number)", interface: "org.freedesktop.DBus.Properties", member: "PropertiesChanged") {
                    writer in
                    writer.append("org.freedesktop.login1.Session")
                    writer.properties([:])
                    writer.append([String]())
                }
            }
            bus.flush()
            kill(getpid(), SIGSTOP)
        },
    ])

let session = BusInterface(
    "org.freedesktop.login1.Session",
    properties: [
        BusProperty("Id", "s") { $1.append(String(number($0))) },
        BusProperty("User", "(uo)") { path, writer in
            writer.structure("uo") { writer in
                writer.append(uid(number(path)))
                writer.append(objectPath: "/org/freedesktop/login1/user/_\(uid(number(path)))")
            }
        },
        BusProperty("Name", "s") { $1.append("user\(uid(number($0)))") },
        BusProperty("Timestamp", "t") { $1.append(UInt64(number($0))) },
        BusProperty("Service", "s") { $1.append(leader == nil ? "" : "sshd") },
        BusProperty("Leader", "u") { $1.append(leader ?? 0) },
        BusProperty("State", "s") { $1.append("active") },
        BusProperty("LockedHint", "b") { $1.append(isLocked) },
    ])

let loop = try EventLoop()
let bus = try BusConnection.system()
try bus.attach(to: loop)
var slots = [try bus.export(path: "/org/freedesktop/login1", manager)]
for number in 1...count + 1 { slots.append(try bus.export(path: "\(folder)/_\(number)", session)) }
try bus.requestName("org.freedesktop.login1")
let termination = try loop.signals([SIGTERM, SIGINT]) { _ in loop.exit(0) }
_ = write(STDOUT_FILENO, "ready\n", 6)
_ = try loop.run()
withExtendedLifetime((slots, termination)) {}
