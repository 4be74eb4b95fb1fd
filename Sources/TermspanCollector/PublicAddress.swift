import TermspanCore
import TermspanSessions

/// By which address the internet sees the machine, as a server there answered, and when to ask it: at first, when the machine's way out or its
/// addresses have become others, and at an occasion an hour after. Pure.
///
/// Who translates addresses changes them without a word to those behind, and nobody asks without an occasion: the address of a machine where
/// nobody logs on may be an older one.
struct PublicAddress {
    /// What was answered; "" while it is not known.
    private(set) var value = ""
    private var url = ""
    private var way: Way?
    private var asked: BootInstant?
    private var number = 0
    private var questions = TokenBucket()

    static let pause: Duration = .seconds(3600)
    /// A network that comes and goes does not have a server asked each time.
    static let rate = Rate(12, per: .seconds(3600), burst: 4)

    /// What of the network an answer holds for.
    struct Way: Equatable {
        var route: NetworkState.Route?
        var addresses: String

        init(_ state: NetworkState?) {
            route = state?.route
            addresses = state?.privateAddresses ?? ""
        }
    }

    /// The question's number if now is the time to ask; nil else. What was known on another way, or from another server, is not known any more.
    mutating func question(_ url: String, from state: NetworkState?, at now: BootInstant) -> Int? {
        let way = Way(state)
        if url != self.url || way != self.way {
            (self.url, self.way, value, asked) = (url, way, "", nil)
            number += 1
        }
        guard !url.isEmpty, asked.map({ $0.duration(to: now) >= Self.pause }) ?? true, questions.take(Self.rate, at: now) else {
            return nil
        }
        asked = now
        number += 1
        return number
    }

    /// Takes what was answered, nil for nothing; false if that changes nothing. A question that another one followed has no answer any more.
    mutating func take(_ answer: String?, to question: Int) -> Bool {
        guard question == number, let answer, answer != value else { return false }
        value = answer
        return true
    }
}
