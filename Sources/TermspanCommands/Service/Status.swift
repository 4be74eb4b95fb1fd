import ArgumentParser

/// `termspan status`
struct Status: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "status", abstract: "Show the collector's own health: coverage, losses, latencies, use of memory and processor.")
    }

    @OptionGroup var output: FormatOptions

    func validate() throws {
        if output.format == .csv { throw ValidationError("The status has no rows: use --format json.") }
    }

    func execute() throws {
        let status = try Client.connect().status()
        switch output.format {
        case .table: Output.lines(status.lines(now: .present))
        case .json, .csv: Output.write(status.json.text + "\n")
        }
    }
}
