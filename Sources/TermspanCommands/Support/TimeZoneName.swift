import ArgumentParser
import Glibc

/// Names of time zones, as the system's database has them.
enum TimeZoneName {
    static func exists(_ name: String) -> Bool {
        let isName =
            !name.isEmpty && name.utf8.count <= 64 && name.first != "/" && !name.split(separator: "/").contains { $0 == ".." || $0 == "." }
            && name.utf8.allSatisfy { byte in
                (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "/_+-".utf8.contains(byte)
            }
        // A file of the database begins so (tzfile(5)).
        return isName && (name == "UTC" || Files.text("/usr/share/zoneinfo/" + name, limit: 4) == "TZif")
    }

    static func check(_ name: String?) throws(ValidationError) {
        guard let name, !exists(name) else { return }
        throw ValidationError("There is no time zone '\(name)'; they are as Europe/Berlin: timedatectl list-timezones.")
    }

    /// Lets local time be that of the zone.
    static func use(_ name: String) {
        setenv("TZ", name, 1)
        tzset()
    }
}
