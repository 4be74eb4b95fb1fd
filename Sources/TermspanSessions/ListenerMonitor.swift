import CSystemd
import Glibc
package import TermspanBus
package import TermspanCore

/// What waits for remote clients of one stack: a row `Listen`, numbered from 65536 as in Windows Terminal Services.
package struct Listener: Hashable, Sendable {
    package var id: SessionID
    package var stack: Stack

    /// `rdp-tcp`: the name of the stack's sessions without their number.
    package var name: String { String(stack.sessionName("", seat: "").prefix { $0 != "#" }) }

    /// Each stack that has a service of the machine's own, with the units that are it. Every VNC server listens for one session alone, which is
    /// a row of its own.
    static let units: [(stack: Stack, units: [String])] = [
        (.xrdp, ["xrdp.service"]), (.ssh, ["ssh.service", "ssh.socket", "sshd.service", "sshd.socket"]),
    ]

    /// The listeners there are while these units are active. A stack's number is always the same. Pure.
    package static func listeners(active: Set<String>) -> [Listener] {
        units.enumerated().compactMap { index, entry in
            guard entry.units.contains(where: active.contains) else { return nil }
            return Listener(id: SessionID(rawValue: SessionID.firstListener.rawValue + UInt32(index)), stack: entry.stack)
        }
    }
}

/// Tells which stacks wait for clients: those whose units are active, by systemd's signals.
@MainActor
package final class ListenerMonitor {
    private var active: Set<String> = []
    private var slots: [BusSlot] = []

    private static let destination = "org.freedesktop.systemd1"
    private nonisolated static let path = "/org/freedesktop/systemd1"
    private static let unit = "org.freedesktop.systemd1.Unit"
    private static let properties = "org.freedesktop.DBus.Properties"

    /// Watches the units; what is active now is known as soon as systemd has answered.
    package init(connection: BusConnection) throws(BusError) {
        for unit in Listener.units.flatMap(\.units) {
            let path = Self.path(of: unit)
            let changes = BusMatch(sender: Self.destination, path: path, interface: Self.properties, member: "PropertiesChanged")
            slots.append(
                try connection.match(changes) { [unowned self] message in
                    guard (try? message.read(String.self)) == Self.unit, let values = try? message.readProperties() else { return }
                    if let state = values["ActiveState"]?.string { note(unit, state) }
                })
            // After the match: what changes meanwhile is told behind the answer.
            get("Id", of: path, connection) { [weak self] id in
                // An alias, whose changes are told of the unit that it stands for.
                guard let self, id == unit else { return }
                get("ActiveState", of: path, connection) { [weak self] state in self?.note(unit, state) }
            }
        }
        // Without a subscriber systemd tells nobody of units' changes.
        connection.call(Self.destination, path: Self.path, interface: "org.freedesktop.systemd1.Manager", member: "Subscribe") { _ in }
    }

    private func get(_ property: String, of path: String, _ connection: BusConnection, _ body: @escaping @MainActor (String) -> Void) {
        connection.call(
            Self.destination, path: path, interface: Self.properties, member: "Get",
            arguments: {
                $0.append(Self.unit)
                $0.append(property)
            },
            reply: { result in
                if let value = try? result.get().readValue().string { body(value) }
            })
    }

    package var listeners: [Listener] { Listener.listeners(active: active) }

    private func note(_ unit: String, _ state: String) {
        if state == "active" || state == "reloading" { active.insert(unit) } else { active.remove(unit) }
    }

    /// The object of a unit: sd_bus_path_encode(3).
    nonisolated static func path(of unit: String) -> String {
        var encoded: UnsafeMutablePointer<CChar>?
        guard sd_bus_path_encode(path + "/unit", unit, &encoded) >= 0, let encoded else { return path }
        defer { free(encoded) }
        return String(cString: encoded)
    }
}
