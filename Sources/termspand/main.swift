import Glibc
import TermspanCollector

let arguments = Array(CommandLine.arguments.dropFirst())
switch arguments {
case []: CollectorProgram.run()
case _ where arguments.first == "--client-names": exit(CollectorProgram.printClientNames(of: Array(arguments.dropFirst())))
case ["--check-master-key"]: exit(CollectorProgram.checkMasterKey())
case _ where arguments.first == "--backup": exit(CollectorProgram.backUp(Array(arguments.dropFirst())))
case ["--check-configuration"]: exit(CollectorProgram.checkConfiguration())
default: exit(CollectorProgram.usage())
}
