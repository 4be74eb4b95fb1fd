/// Logins that have ended, of which answers that are on their way may still tell as if they had not.
///
/// A login's file tells of its end ahead of the bus, where answers wait behind others. So it is remembered until a list has come that was
/// asked for after the end and does not have it: nothing older can come then, since the bus keeps the order. A list that was asked for
/// before says nothing: it may be older than the login.
struct EndedLogins {
    private var logins: Set<SessionKey> = []
    /// Those that had ended when the list was asked for.
    private var before: Set<SessionKey> = []

    func contains(_ login: SessionKey) -> Bool { logins.contains(login) }

    mutating func insert(_ ended: some Sequence<SessionKey>) { logins.formUnion(ended) }

    mutating func listIsAskedFor() { before = logins }

    mutating func listHasCome(with present: Set<SessionKey>) {
        logins.subtract(before.subtracting(present))
        before = []
    }
}
