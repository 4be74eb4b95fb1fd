import Glibc
import TermspanCommands

exit(Termspan.run(Array(CommandLine.arguments.dropFirst())))
