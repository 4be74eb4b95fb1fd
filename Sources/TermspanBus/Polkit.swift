/// Asks polkit whether a caller may do something (org.freedesktop.PolicyKit1.Authority.CheckAuthorization).
@MainActor
package enum Polkit {
    /// Calls `completion` with success if the sender of `invocation` may do `action`, else with the error to answer with.
    ///
    /// Root may do everything without asking. Where polkit can't be asked, nobody else may do anything. It can take as long as the
    /// user needs to type a password, if the call allows to ask for one and `mayAsk` is true; else a few milliseconds.
    package static func check(
        _ action: String, _ invocation: BusInvocation, on connection: BusConnection, mayAsk: Bool = true,
        completion: @escaping @MainActor (Result<Void, BusError>) -> Void
    ) {
        guard let sender = invocation.message.sender else { return completion(.failure(denied(action))) }
        let userID: UInt32
        do throws(BusError) {
            let credentials = try invocation.credentials()
            if credentials.isRoot { return completion(.success(())) }
            userID = credentials.userID
        } catch {
            return completion(.failure(.accessDenied("The bus could not tell who calls: \(error)")))
        }
        connection.ask(
            PolkitQuestion(
                sender: sender, action: action, isInteractive: mayAsk && invocation.message.allowsInteractiveAuthorization),
            of: userID, completion)
    }

    fileprivate static func decision(_ message: BusMessage, _ action: String) -> Result<Void, BusError> {
        do throws(BusError) {
            let (authorized, challenge) = try message.readStructure("bba{ss}") { message throws(BusError) in
                let answer = (try message.read(Bool.self), try message.read(Bool.self))
                try message.skip("a{ss}")
                return answer
            }
            if authorized { return .success(()) }
            if challenge {
                return .failure(
                    BusError(
                        name: "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
                        message: "The right \(action) needs authentication."))
            }
            return .failure(denied(action))
        } catch {
            return .failure(.accessDenied("polkit's answer about \(action) is not understood: \(error)"))
        }
    }

    private static func denied(_ action: String) -> BusError { .accessDenied("The right \(action) is missing.") }
}

typealias PolkitQuestion = PolkitQuestions<PolkitCompletion>.Question
typealias PolkitCompletion = @MainActor (Result<Void, BusError>) -> Void

extension BusConnection {
    /// Asks a question as soon as it is its turn. What polkit says holds for those who wait for it now and is not kept: rights change.
    fileprivate func ask(_ question: PolkitQuestion, of userID: UInt32, _ completion: @escaping PolkitCompletion) {
        questions.add(completion, to: question, of: userID)
        askNext()
    }

    private func askNext() {
        while let question = questions.next() {
            call(
                "org.freedesktop.PolicyKit1", path: "/org/freedesktop/PolicyKit1/Authority",
                interface: "org.freedesktop.PolicyKit1.Authority", member: "CheckAuthorization",
                timeout: question.isInteractive ? .seconds(300) : .seconds(4),
                arguments: { writer in
                    writer.structure("sa{sv}") { writer in
                        writer.append("system-bus-name")
                        writer.properties { $0.property("name", question.sender) }
                    }
                    writer.append(question.action)
                    writer.array(of: "{ss}") { _ in }
                    writer.append(UInt32(question.isInteractive ? 1 : 0))
                    writer.append("")
                },
                reply: { [weak self] result in
                    guard let self else { return }
                    let decision = result.mapError { error in
                        BusError.accessDenied("polkit could not be asked about \(question.action): \(error)")
                    }.flatMap { Polkit.decision($0, question.action) }
                    let waiting = questions.finish(question)
                    askNext()
                    for completion in waiting { completion(decision) }
                })
        }
    }
}
