/// Calls of connections whose users are not known yet, until the bus has said. Pure but for what it holds.
///
/// Whose a connection is decides how much it may call, and here that is not known: so what counts is the connection, and how many calls
/// wait in all.
struct HeldCalls<Call> {
    private var calls: [String: [Call]] = [:]
    private(set) var count = 0
    let limit: Int
    let limitFreely: Int
    let limitPerCaller: Int

    /// - Parameters:
    ///   - limit: how many wait at most.
    ///   - limitFreely: while fewer wait, a connection may have `limitPerCaller` of them, and else one. That is two users' with all the
    ///     connections that the bus gives to one, 256; beyond, there is one left for each of 16 more users' connections.
    init(limit: Int = 12_288, limitFreely: Int = 8192, limitPerCaller: Int = 16) {
        self.limit = limit
        self.limitFreely = limitFreely
        self.limitPerCaller = limitPerCaller
    }

    /// Whether another call of this connection can wait.
    func hasRoom(for caller: String) -> Bool {
        count < limit && (calls[caller]?.count ?? 0) < (count < limitFreely ? limitPerCaller : 1)
    }

    /// Returns whether it is the connection's first, so that the bus has to be asked.
    mutating func append(_ call: Call, of caller: String) -> Bool {
        calls[caller, default: []].append(call)
        count += 1
        return calls[caller]?.count == 1
    }

    /// Takes all of a connection, in their order.
    mutating func take(of caller: String) -> [Call] {
        let taken = calls.removeValue(forKey: caller) ?? []
        count -= taken.count
        return taken
    }
}
