import Glibc
package import TermspanSystem

/// Which network the machine is in and which addresses it has, as the kernel's tables say (rtnetlink(7)).
package struct NetworkState: Equatable, Sendable {
    package struct Address: Equatable, Sendable {
        package var interface: UInt32
        /// 4 or 16 of them.
        package var bytes: [UInt8]
        package var prefix: Int
        /// Whether it is one that only lasts for some time, or does not hold yet or any more.
        package var isPassing = false

        package init(interface: UInt32, bytes: [UInt8], prefix: Int, isPassing: Bool = false) {
            self.interface = interface
            self.bytes = bytes
            self.prefix = prefix
            self.isPassing = isPassing
        }
    }

    package struct Route: Equatable, Sendable {
        package var interface: UInt32
        package var gateway: [UInt8]
        package var metric: UInt32

        package init(interface: UInt32, gateway: [UInt8], metric: UInt32) {
            self.interface = interface
            self.gateway = gateway
            self.metric = metric
        }
    }

    package var addresses: [Address] = []
    /// The one by which the rest of the world is reached: IPv4's before IPv6's, and of several the one of the least metric.
    package var route: Route?
    /// The hardware address of its gateway; nil while the kernel has not asked for it.
    package var hardware: [UInt8]?

    package init() {}

    /// As it is now.
    package static func now() throws(SystemError) -> NetworkState {
        var state = NetworkState()
        var routes: [Route] = []
        try SocketDiagnostics.dump([UInt8](repeating: 0, count: 8), type: getAddress, of: SocketDiagnostics.route) {
            if let address = address($0) { state.addresses.append(address) }
        }
        for family in [AF_INET, AF_INET6] {
            var request = [UInt8](repeating: 0, count: 12)
            request[0] = UInt8(family)
            try SocketDiagnostics.dump(request, type: getRoute, of: SocketDiagnostics.route) {
                if let route = defaultRoute($0) { routes.append(route) }
            }
        }
        state.route = best(routes)
        if let route = state.route {
            var request = [UInt8](repeating: 0, count: 12)
            request[0] = UInt8(route.gateway.count == 4 ? AF_INET : AF_INET6)
            try SocketDiagnostics.dump(request, type: getNeighbour, of: SocketDiagnostics.route) {
                if let hardware = hardware($0, of: route) { state.hardware = hardware }
            }
        }
        return state
    }

    static func best(_ routes: [Route]) -> Route? {
        routes.min { ($0.gateway.count, $0.metric, $0.interface) < ($1.gateway.count, $1.metric, $1.interface) }
    }

    // MARK: What it says

    /// What the network is known by: gateway and prefix; nil where there is no way out, or the gateway has not been seen yet.
    package var network: String? {
        guard let route, let hardware else { return nil }
        let own = addresses.filter { $0.interface == route.interface && $0.bytes.count == route.gateway.count }
        // A gateway of IPv6 has an address of its link alone, which tells no prefix.
        let near =
            own.filter { Self.prefix(of: $0.bytes, $0.prefix) == Self.prefix(of: route.gateway, $0.prefix) && !Self.isLinkLocal($0.bytes) }
            + own.filter { !Self.isLinkLocal($0.bytes) }
        let prefix = near.first.map { Self.text(Self.prefix(of: $0.bytes, $0.prefix)) + "/\($0.prefix)" } ?? ""
        return hardware.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":") + " " + prefix
    }

    /// The addresses that only private networks have, RFC 1918, 4193 and 6598: the first 16.
    package var privateAddresses: String { Self.list(addresses.filter { !$0.isPassing && Self.isPrivate($0.bytes) }) }

    /// An address that all the world can reach, on the way out if there is one there; "" for none.
    package var publicAddress: String {
        let global = addresses.filter { !$0.isPassing && Self.isGlobal($0.bytes) }
        let ways = global.filter { $0.interface == route?.interface }
        return Self.list(ways.isEmpty ? global : ways, limit: 1)
    }

    private static func list(_ addresses: [Address], limit: Int = 16) -> String {
        // IPv4's first.
        let sorted = Set(addresses.map(\.bytes)).sorted {
            $0.count == $1.count ? $0.lexicographicallyPrecedes($1) : $0.count < $1.count
        }
        return sorted.prefix(limit).map(text).joined(separator: " ")
    }

    static func isPrivate(_ address: [UInt8]) -> Bool {
        guard address.count == 4 else { return address[0] & 0xFE == 0xFC }
        return address[0] == 10 || (address[0] == 172 && address[1] & 0xF0 == 16) || (address[0] == 192 && address[1] == 168)
            || (address[0] == 100 && address[1] & 0xC0 == 64)
    }

    private static func isLinkLocal(_ address: [UInt8]) -> Bool {
        address.count == 4 ? address[0] == 169 && address[1] == 254 : address[0] == 0xFE && address[1] & 0xC0 == 0x80
    }

    /// As IANA's registries of special purpose addresses have it, in short.
    package static func isGlobal(_ address: [UInt8]) -> Bool {
        guard address.count == 4 else {
            // 2000::/3 without documentation, 2001:db8::/32 and 3fff::/20, and without what stands for IPv4's or a benchmark's, 2001::/23.
            return address[0] & 0xE0 == 0x20
                && !(address[0] == 0x20 && address[1] == 0x01 && (address[2] & 0xFE == 0 || (address[2], address[3]) == (0x0D, 0xB8)))
                && !(address[0] == 0x3F && address[1] == 0xFF && address[2] & 0xF0 == 0)
        }
        let isSpecial =
            switch (address[0], address[1], address[2]) {
            case (0, _, _), (127, _, _), (224..., _, _), (192, 0, 0), (192, 0, 2), (198, 18...19, _), (198, 51, 100), (203, 0, 113): true
            default: isPrivate(address) || isLinkLocal(address)
            }
        return !isSpecial
    }

    private static func prefix(of address: [UInt8], _ length: Int) -> [UInt8] {
        address.indices.map { index in
            let bits = min(8, max(0, length - 8 * index))
            return address[index] & UInt8(truncatingIfNeeded: 0xFF00 >> bits)
        }
    }

    private static func text(_ address: [UInt8]) -> String {
        address.withUnsafeBytes { SocketDiagnostics.address($0, family: UInt8(address.count == 4 ? AF_INET : AF_INET6)) ?? "" }
    }

    // MARK: The kernel's messages

    /// RTM_GETADDR, RTM_GETROUTE and RTM_GETNEIGH (linux/rtnetlink.h).
    private static let getAddress: UInt16 = 22
    private static let getRoute: UInt16 = 26
    private static let getNeighbour: UInt16 = 30

    private static func isAddress(_ value: UnsafeRawBufferPointer, of family: UInt8) -> Bool {
        (family == UInt8(AF_INET) && value.count == 4) || (family == UInt8(AF_INET6) && value.count == 16)
    }

    /// struct ifaddrmsg (linux/if_addr.h) and what follows it.
    static func address(_ message: UnsafeRawBufferPointer) -> Address? {
        guard message.count >= 8 else { return nil }
        var flags = UInt32(message[2])
        var (whole, local): ([UInt8]?, [UInt8]?)
        SocketDiagnostics.attributes(UnsafeRawBufferPointer(rebasing: message[8...])) { type, value in
            switch type {
            case 1 where isAddress(value, of: message[0]): whole = Array(value)
            // Where the link has another end, IFA_ADDRESS is that one's.
            case 2 where isAddress(value, of: message[0]): local = Array(value)
            case 8 where value.count >= 4: flags = SocketDiagnostics.load(value, at: 0)
            default: break
            }
        }
        guard let bytes = local ?? whole else { return nil }
        // IFA_F_TEMPORARY, DADFAILED, DEPRECATED, TENTATIVE. IPv4 calls secondary what IPv6 calls temporary.
        let passing: UInt32 = message[0] == UInt8(AF_INET6) ? 0x01 | 0x08 | 0x20 | 0x40 : 0
        return Address(
            interface: SocketDiagnostics.load(message, at: 4), bytes: bytes, prefix: Int(message[1]), isPassing: flags & passing != 0)
    }

    /// struct rtmsg (linux/rtnetlink.h) and what follows it; nil for all but a default route of the main table, by a gateway.
    static func defaultRoute(_ message: UnsafeRawBufferPointer) -> Route? {
        // RTN_UNICAST to everywhere from anywhere.
        guard message.count >= 12, message[1] == 0, message[2] == 0, message[7] == 1 else { return nil }
        var table = UInt32(message[4])
        var route = Route(interface: 0, gateway: [], metric: 0)
        SocketDiagnostics.attributes(UnsafeRawBufferPointer(rebasing: message[12...])) { type, value in
            switch type {
            case 4 where value.count >= 4: route.interface = SocketDiagnostics.load(value, at: 0)
            case 5 where isAddress(value, of: message[0]): route.gateway = Array(value)
            case 6 where value.count >= 4: route.metric = SocketDiagnostics.load(value, at: 0)
            case 15 where value.count >= 4: table = SocketDiagnostics.load(value, at: 0)
            default: break
            }
        }
        // RT_TABLE_MAIN.
        return route.gateway.isEmpty || table != 254 ? nil : route
    }

    /// struct ndmsg (linux/neighbour.h) and what follows it; nil for all but what is known of the route's gateway.
    static func hardware(_ message: UnsafeRawBufferPointer, of route: Route) -> [UInt8]? {
        guard message.count >= 12, (SocketDiagnostics.load(message, at: 4) as UInt32) == route.interface else { return nil }
        let state: UInt16 = SocketDiagnostics.load(message, at: 8)
        // NUD_INCOMPLETE and NUD_FAILED tell nothing.
        guard state & 0x21 == 0 else { return nil }
        var (isGateway, hardware): (Bool, [UInt8]?) = (false, nil)
        SocketDiagnostics.attributes(UnsafeRawBufferPointer(rebasing: message[12...])) { type, value in
            switch type {
            case 1: isGateway = Array(value) == route.gateway
            case 2 where (1...32).contains(value.count): hardware = Array(value)
            default: break
            }
        }
        return isGateway ? hardware : nil
    }
}
