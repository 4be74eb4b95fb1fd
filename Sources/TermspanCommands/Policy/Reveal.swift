import ArgumentParser
import TermspanBus

/// `termspan reveal`
struct Reveal: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "reveal", abstract: "Say whom a pseudonym stands for, which is recorded and shown to that user.",
            discussion: """
                Reports by pseudonyms (--pseudonyms of spans, summary and session history) have names such as u202610-k7f3q2zxam in place of \
                users. It needs the right org.termspan1.reveal-pseudonyms.
                """)
    }

    @Argument(help: "A user's pseudonym.")
    var pseudonym: String

    @Option(help: "Why; kept with the changes of the policy and shown to the user.")
    var reason: String

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let user = try Client.connect().reveal(pseudonym, reason)
        let row = JSONValue.object([
            .init("pseudonym", .string(pseudonym)), .init("user", .string(user.login)), .init("uid", .unsigned(UInt64(user.uid))),
        ])
        switch output.format {
        case .table: Output.lines([Printable.text("\(pseudonym) is \(user.login) (UID \(user.uid)).")])
        case .json, .csv: Output.write(Records.text([row], keys: ["pseudonym", "user", "uid"], output.format))
        }
    }
}

extension Client {
    /// Whom a pseudonym stands for.
    fileprivate func reveal(_ pseudonym: String, _ reason: String) throws(CommandError) -> (login: String, uid: UInt32) {
        try PasswordAgent.whileAsking { () throws(CommandError) in
            let answer = try manager("RevealPseudonym", interactive: true) { writer in
                writer.append(pseudonym)
                writer.append(reason)
            }
            return try decode(answer) { message throws(BusError) in
                (login: try message.read(String.self), uid: try message.read(UInt32.self))
            }
        }
    }
}
