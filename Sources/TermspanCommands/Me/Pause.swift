import ArgumentParser
import TermspanBus
import TermspanCore

/// `termspan pause`
struct Pause: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "pause", abstract: "Pause the recording of your own activity for some time.",
            discussion: """
                Nothing of what you do meanwhile is collected; the time counts as Paused. A pause in place of another begins anew. For how \
                long you may pause in a day the administrators set; termspan me shows how much is left.
                """)
    }

    @Argument(help: "How long, as 30m or 1h.")
    var time: TimeLength

    func validate() throws {
        if time.seconds < 1 || time.seconds > 86_400 { throw ValidationError("A pause lasts between a second and a day.") }
    }

    func execute() throws {
        let client = try Client.connect()
        let answer = try client.manager("Pause") { $0.append(UInt64(time.seconds) * 1_000_000) }
        let until = try client.decode(answer) { message throws(BusError) in try message.read(UInt64.self) }
        Output.write("Your activity is not recorded until \(WallInstant(microseconds: until).map { TimeText.local($0) } ?? "then").\n")
    }
}

/// `termspan resume`
struct Resume: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "resume", abstract: "End your pause: your activity is recorded again.")
    }

    func execute() throws {
        let client = try Client.connect()
        let isEnded = try client.decode(client.manager("Resume")) { message throws(BusError) in try message.read(Bool.self) }
        Output.write(isEnded ? "Your pause is over.\n" : "You have no pause under way.\n")
    }
}
