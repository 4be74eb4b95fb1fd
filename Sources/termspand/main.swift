import Glibc
import TermspanCollector

switch Array(CommandLine.arguments.dropFirst()) {
case []: CollectorProgram.run()
case ["--check-configuration"]: exit(CollectorProgram.checkConfiguration())
default: exit(CollectorProgram.usage())
}
