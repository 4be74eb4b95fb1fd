import ArgumentParser

/// `termspan doctor`
struct Doctor: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "doctor", abstract: "Check the installation and say what to mend.",
            discussion: "Each line begins with ok, warn or FAIL. The exit code is 1 if anything failed.")
    }

    @OptionGroup var output: FormatOptions

    @Flag(help: .hidden)
    var storeOnly = false

    func execute() throws {
        let results = storeOnly ? Checkup.storeOnly() : Checkup().results()
        Output.listing(output.format, keys: CheckResult.keys, rows: results.map(\.json), table: CheckResult.lines(results))
        if results.contains(where: { $0.verdict == .fail }) { throw ExitCode(CommandError.Code.failure.rawValue) }
    }
}
