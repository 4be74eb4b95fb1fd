import TermspanEvents

@testable import TermspanX11

extension FuzzTarget {
    /// What this machine's byte order makes of numbers, for seeds.
    private static func bytes(_ numbers: any FixedWidthInteger...) -> [UInt8] {
        func one<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }
        return numbers.flatMap { one($0) }
    }

    /// A reply's first 32 bytes.
    private static func reply(format: UInt8 = 0, _ fields: [UInt8]) -> [UInt8] {
        let head = [1, format] + bytes(UInt16(1), UInt32(0)) + fields
        return head + [UInt8](repeating: 0, count: 32 - head.count)
    }

    static var x11: FuzzTarget {
        let name = Array("IDLETIME".utf8)
        let seeds: [[UInt8]] = [
            // GetProperty of WM_CLASS, of a window; ListSystemCounters; XIQueryDevice; QueryTree; QueryClientIds; QueryCounter.
            reply(format: 8, bytes(UInt32(31), UInt32(0), UInt32(8))) + Array("xterm\0XTerm\0".utf8),
            reply(format: 32, bytes(UInt32(33), UInt32(0), UInt32(1))) + bytes(UInt32(0x120_0003)),
            reply(bytes(UInt32(1))) + bytes(UInt32(5), UInt32(0), UInt32(1), UInt16(name.count)) + name + [0, 0],
            reply(bytes(UInt16(1))) + bytes(UInt16(4), UInt16(3), UInt16(2), UInt16(1), UInt16(17), UInt16(1))
                + Array("Xvfb XTEST pointer".utf8)
                + [0, 0] + bytes(UInt16(1), UInt16(2), UInt32(0)),
            reply(bytes(UInt32(1), UInt32(0), UInt16(2))) + bytes(UInt32(7), UInt32(8)),
            reply(bytes(UInt32(1))) + bytes(UInt32(9), UInt32(2), UInt32(4), UInt32(4711)),
            reply(bytes(UInt32(0), UInt32(1500))), [28] + [UInt8](repeating: 1, count: 31),
        ]
        return FuzzTarget(
            name: "fuzz-x11", about: "replies and events of an X server, each read as every kind there is", longest: 1024, seeds: seeds
        ) { bytes in
            let reply = XBytes(bytes)
            _ = XEvent(reply)
            var counters = 0
            XReplies.systemCounters(reply) { _, name in
                counters += 1
                require(name.count <= bytes.count, "a name lies within its reply")
                _ = XReplies.deviceNumber(counterName: name)
            }
            require(counters <= 1024, "no more counters are looked at than there can be")
            var devices = 0
            XReplies.slaveDevices(reply) { _, _ in devices += 1 }
            require(devices <= 256, "no more devices are looked at than there can be")
            for format in [8, 16, 32] as [UInt8] {
                if let value = XReplies.property(reply, format: format) {
                    require(value.count <= bytes.count - 32, "a value lies within its reply")
                }
            }
            if let word = XReplies.firstWord(reply) { require(XReplies.words(reply, contain: word), "the first word is among the words") }
            require(XReplies.children(reply, limit: 64).count <= 64, "no more children than were asked for")
            if let value = XReplies.counterValue(reply) { require(value >= 0, "an idle counter is not negative") }
            if let pid = XReplies.localClientPID(reply) { require(pid > 0 && pid <= 1 << 22, "a pid is one that a process can have") }
            if let name = XReplies.windowClass(reply) {
                require(name.count <= WindowClass.capacity, "a class has at most 128 bytes")
                require(isFitToPrint(name.text), "a class's text is fit to print")
            }
        }
    }

    static var xauthority: FuzzTarget {
        func entry(family: UInt8, number: String, cookie: [UInt8], name: String = "MIT-MAGIC-COOKIE-1") -> [UInt8] {
            [UInt8](arrayLiteral: family, 0)
                + [Array("host".utf8), Array(number.utf8), Array(name.utf8), cookie].flatMap { [0, UInt8($0.count)] + $0 }
        }
        let cookie = [UInt8](1...16)
        return FuzzTarget(
            name: "fuzz-xauthority", about: "a user's .Xauthority", longest: 2048,
            seeds: [
                entry(family: 1, number: "10", cookie: cookie), entry(family: 1, number: "", cookie: cookie),
                entry(family: 0, number: "9", cookie: []) + entry(family: 1, number: "10", cookie: cookie, name: "XDM-AUTHORIZATION-1"),
            ]
        ) { bytes in
            for display in [0, 10, 65535] as [UInt16] {
                guard let cookie = XAuthority.cookie(in: bytes, display: display) else { continue }
                require(cookie.count == XAuthority.cookieLength, "a cookie has 16 bytes")
            }
        }
    }

    static var cookiePaths: FuzzTarget {
        FuzzTarget(
            name: "fuzz-cookie-paths", about: "the arguments and the environment of a user's X server", longest: 512,
            seeds: [
                "Xorg\0:10\0-auth\0.Xauthority\0-noreset\0\nDISPLAY=:10\0XAUTHORITY=/tmp/x\0", "X\0-auth\0/run/a\0-auth\0", "-auth",
                "\nXAUTHORITY=",
                "Xvnc\0-auth\0\0\nXAUTHORITY=a/../../b\0XAUTHORITY=c",
            ].map { Array($0.utf8) }
        ) { bytes in
            let halves = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false).map { Array($0) }
            let paths = CookieCommand.paths(
                process: "/proc/4711", arguments: halves[0], environment: halves.last ?? [], uid: 1000, own: { "/own/\($0)" })
            require(
                Set(paths).isSuperset(of: ["/own/XAUTHORITY", "/own/HOME/.Xauthority", "/run/user/1000/gdm/Xauthority"]),
                "one's own are among them")
            require(paths.count <= 5 && Set(paths).count == paths.count, "each place is looked at once")
            require(paths.allSatisfy { $0.utf8.first == UInt8(ascii: "/") && !$0.utf8.contains(0) }, "a path is whole")
        }
    }
}
