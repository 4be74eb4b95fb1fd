import TermspanCollector

CollectorProgram.run()
