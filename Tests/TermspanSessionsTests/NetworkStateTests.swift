import Glibc
import Testing

@testable import TermspanSessions

@Suite struct NetworkStateTests {
    private func bytes(_ text: String) -> [UInt8] {
        var address = in6_addr()
        let family = text.contains(":") ? AF_INET6 : AF_INET
        #expect(inet_pton(family, text, &address) == 1, "\(text)")
        return withUnsafeBytes(of: &address) { Array($0.prefix(family == AF_INET ? 4 : 16)) }
    }

    private func state(_ addresses: [(UInt32, String, Int)], gateway: String?, hardware: [UInt8]? = [2, 0, 0, 0, 0, 0x1A]) -> NetworkState {
        var state = NetworkState()
        state.addresses = addresses.map { .init(interface: $0.0, bytes: bytes($0.1), prefix: $0.2) }
        state.route = gateway.map { .init(interface: 2, gateway: bytes($0), metric: 100) }
        state.hardware = gateway == nil ? nil : hardware
        return state
    }

    @Test func aNetworkIsItsGatewayAndPrefix() {
        let own = [(1, "127.0.0.1", 8), (2, "192.168.7.20", 24), (3, "10.0.0.5", 8)] as [(UInt32, String, Int)]
        #expect(state(own, gateway: "192.168.7.1").network == "02:00:00:00:00:1a 192.168.7.0/24")
        // Another address in the same network is the same network; another length of the prefix is not.
        #expect(state([(2, "192.168.7.99", 24)], gateway: "192.168.7.1").network == "02:00:00:00:00:1a 192.168.7.0/24")
        #expect(state([(2, "192.168.7.99", 20)], gateway: "192.168.7.1").network == "02:00:00:00:00:1a 192.168.0.0/20")
        #expect(
            state([(2, "fe80::5", 64), (2, "2a02:8071:1::5", 64)], gateway: "fe80::1").network == "02:00:00:00:00:1a 2a02:8071:1::/64")
        #expect(state(own, gateway: nil).network == nil)
        #expect(state(own, gateway: "192.168.7.1", hardware: nil).network == nil)
    }

    @Test func addressesAreToldApart() {
        var state = state(
            [
                (1, "127.0.0.1", 8), (1, "::1", 128), (2, "192.168.7.20", 24), (2, "fe80::5", 64), (3, "10.0.0.5", 8), (3, "fd12::5", 64),
                (4, "93.184.216.34", 24), (4, "2a02:8071:1::5", 64), (4, "169.254.3.4", 16), (2, "100.64.0.9", 10),
            ], gateway: nil)
        #expect(state.privateAddresses == "10.0.0.5 100.64.0.9 192.168.7.20 fd12::5")
        #expect(state.publicAddress == "93.184.216.34")
        // Of those on the way out, where there are some.
        state.addresses.append(.init(interface: 2, bytes: bytes("2a02:8071:2::5"), prefix: 64))
        state.route = .init(interface: 2, gateway: bytes("192.168.7.1"), metric: 0)
        #expect(state.publicAddress == "2a02:8071:2::5")
        state.addresses.indices.forEach { state.addresses[$0].isPassing = true }
        #expect(state.privateAddresses == "" && state.publicAddress == "")
    }

    @Test(arguments: [
        "0.0.0.0", "127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.0.1", "100.127.0.1", "169.254.0.1", "192.0.2.1", "198.51.100.7",
        "203.0.113.9",
        "198.19.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1", "2001:0:1::1",
        "3fff:0f::1",
    ]) func whatIsSpecialIsNotPublic(_ text: String) { #expect(!NetworkState.isGlobal(bytes(text))) }

    @Test(arguments: ["1.1.1.1", "172.32.0.1", "100.128.0.1", "198.20.0.1", "223.255.255.1", "2606:4700::1111", "2001:4860::8888"])
    func theRestIs(_ text: String) { #expect(NetworkState.isGlobal(bytes(text))) }

    @Test func theBestWayIsTheCheapestOfIPv4() {
        func route(_ gateway: String, _ metric: UInt32) -> NetworkState.Route {
            .init(interface: 2, gateway: bytes(gateway), metric: metric)
        }
        #expect(NetworkState.best([route("fe80::1", 1), route("10.0.0.1", 200), route("10.0.0.2", 100)]) == route("10.0.0.2", 100))
        #expect(NetworkState.best([]) == nil)
    }

    /// Whatever the kernel, or a later one, sends, nothing is read beyond it.
    @Test func messagesThatAreCutOffAreNone() {
        var message = [UInt8](repeating: 0, count: 12) + [8, 0, 4, 0, 2, 0, 0, 0] + [8, 0, 5, 0, 10, 0, 0, 1]
        message[0] = UInt8(AF_INET)
        (message[4], message[7]) = (254, 1)
        #expect(
            message.withUnsafeBytes { NetworkState.defaultRoute($0) } == .init(interface: 2, gateway: [10, 0, 0, 1], metric: 0))
        for count in 0..<message.count {
            Array(message[..<count]).withUnsafeBytes { bytes in
                #expect(NetworkState.defaultRoute(bytes) == nil)
                _ = NetworkState.address(bytes)
                _ = NetworkState.hardware(bytes, of: .init(interface: 2, gateway: [10, 0, 0, 1], metric: 0))
            }
        }
    }

    @Test func theMachinesOwnStateIsRead() throws {
        let state = try NetworkState.now()
        #expect(state.addresses.contains { $0.bytes == [127, 0, 0, 1] && $0.prefix == 8 })
    }
}
