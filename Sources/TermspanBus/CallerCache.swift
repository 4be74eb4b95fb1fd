/// What is known of the connections on the bus, by their unique names. Pure.
///
/// The bus never gives a unique name twice, so what is known of one never becomes another's, and what is forgotten can be asked again.
/// That is why it is not told when a connection goes: watching each caller would cost a match rule, of which a connection has 512.
/// Instead there are two generations: when the younger is full it becomes the older, and what nobody has asked for since then is forgotten.
package struct CallerCache<Value> {
    private var younger: [String: Value] = [:]
    private var older: [String: Value] = [:]
    let generation: Int

    /// - Parameter generation: how many callers one generation holds: between once and twice as many are known.
    package init(generation: Int = 2048) {
        self.generation = generation
    }

    var count: Int { younger.count + older.count }

    package mutating func find(_ name: String) -> Value? {
        if let found = younger[name] { return found }
        guard let found = older.removeValue(forKey: name) else { return nil }
        insert(name, found)
        return found
    }

    package mutating func insert(_ name: String, _ value: Value) {
        if younger.count >= generation {
            older = younger
            younger = [:]
        }
        younger[name] = value
    }
}
