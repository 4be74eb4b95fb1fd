import ArgumentParser
import Glibc

/// `termspan backup`
struct Backup: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "backup", abstract: "Copy the store into one file while the collector goes on. For root.",
            discussion: """
                The copy is the store as it was at one moment, checked, and readable for root alone. Names and addresses are in it as they are in \
                the store, under keys that are not in it: these are backed up apart, or not at all. See BACKUP in termspan(1).
                """)
    }

    @Argument(help: "The file; its folder must be one that root alone may write to.", completion: .file())
    var file: String

    @Flag(help: "Replace the file if it is there.")
    var force = false

    @OptionGroup var output: FormatOptions

    private static let program = "/usr/libexec/termspan/termspand"

    func validate() throws {
        if output.format == .csv { throw ValidationError("This has no rows: use --format json.") }
        if file.isEmpty || file.hasSuffix("/") { throw ValidationError("'\(file)' is no name of a file.") }
    }

    /// Becomes the program that can read the store, so that signals and the exit code are its.
    func execute() throws {
        guard geteuid() == 0 else {
            throw CommandError(.notPermitted, "The store can be copied by root alone.", remedy: "Use sudo.")
        }
        // A name that begins like an option is one all the same.
        let path = file.hasPrefix("-") ? "./" + file : file
        let words =
            [Self.program, "--backup", path] + (force ? ["--force"] : []) + (output.format == .json ? ["--json"] : [])
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        execv(Self.program, &arguments)
        let reason = String(cString: strerror(errno))
        for argument in arguments { free(argument) }
        throw CommandError(
            .failure, "\(Self.program) can't be run: \(reason).", remedy: "Is the package installed? `termspan doctor` tells more.")
    }
}
