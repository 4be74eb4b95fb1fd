/// Who the connections on the bus are, by their unique names. Pure.
///
/// The bus never gives a unique name twice, so what is known of one stays true, and what is forgotten can be asked again. That is why
/// it is not told when a connection goes: watching each caller would cost a match rule, of which a connection has 512. Instead there are
/// two generations: when the younger is full it becomes the older, and what nobody has asked for since then is forgotten.
struct CallerCache {
    private var younger: [String: BusCredentials] = [:]
    private var older: [String: BusCredentials] = [:]
    let generation: Int

    /// - Parameter generation: how many callers one generation holds: between once and twice as many are known.
    init(generation: Int = 2048) {
        self.generation = generation
    }

    var count: Int { younger.count + older.count }

    mutating func find(_ name: String) -> BusCredentials? {
        if let found = younger[name] { return found }
        guard let found = older.removeValue(forKey: name) else { return nil }
        insert(name, found)
        return found
    }

    mutating func insert(_ name: String, _ credentials: BusCredentials) {
        if younger.count >= generation {
            older = younger
            younger = [:]
        }
        younger[name] = credentials
    }
}
