import Glibc
import TermspanReports

exit(ReportsProgram.run(Array(CommandLine.arguments.dropFirst())))
