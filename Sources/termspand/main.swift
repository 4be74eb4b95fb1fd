import Glibc
import TermspanCollector

exit(CollectorProgram.run())
