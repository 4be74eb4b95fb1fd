import TermspanCore

extension FuzzTarget {
    static var imports: FuzzTarget {
        let told = ToldTimes(active: 1, passive: 2, inactive: 3)
        let moment = WallInstant(nanoseconds: 1_767_323_045_000_000_000)
        let records: [ImportRecord] = [
            .session(.init(uuid: UUIDv7(at: moment), number: 3, login: "anna", computer: "pc")),
            .application(executable: "/opt/tool", windowClass: nil),
            .activity(.init(start: moment, length: 9, application: 0, told: told)), .input(start: moment, length: 0),
            .presence(start: moment, length: 5),
        ]
        func bytes(of records: [ImportRecord]) -> [UInt8] {
            var bytes: [UInt8] = [3]
            for record in records + [.end(records: UInt64(records.count))] { record.append(to: &bytes) }
            return bytes
        }
        return FuzzTarget(
            name: "fuzz-import", about: "records of an import: bytes of any kind, in pieces", longest: 512,
            seeds: [bytes(of: records), bytes(of: [])]
        ) { bytes in
            guard let size = bytes.first.map({ Int($0 % 32) + 1 }) else { return }
            let content = Array(bytes.dropFirst())
            var reader = ImportReader()
            var again: [UInt8] = []
            var (rows, isWhole) = (UInt64(0), false)
            do throws(ImportFormatError) {
                for start in stride(from: 0, to: content.count, by: size) {
                    reader.append(content[start..<min(start + size, content.count)])
                    while let record = try reader.next() {
                        record.append(to: &again)
                        check(record)
                        if case .end = record { isWhole = true } else { rows += 1 }
                    }
                }
                try reader.finish()
                require(isWhole && again == content, "what is whole is written as it was read")
            } catch {
                require(error.record == rows, "an error says where it is")
            }
            require(content.starts(with: again), "nothing is read that is not there")
        }
    }

    private static func check(_ record: ImportRecord) {
        switch record {
        case .session(let session):
            let names = session.login + session.computer
            require(!names.unicodeScalars.contains { $0.properties.generalCategory == .control }, "names are of one line")
        case .activity(let activity):
            require(activity.length > 0 && activity.length <= ImportLimit.length, "an activity has a length that can be")
            require(activity.start.nanoseconds >= 0 && activity.start.nanoseconds <= .max - Int64(activity.length), "its end can be told")
            if let sum = activity.told.map(\.sum) { require(sum.map { $0 <= activity.length } == true, "it has no more than its length") }
        case .input(let start, let length), .presence(let start, let length):
            require(start.nanoseconds >= 0 && start.nanoseconds <= .max - Int64(length), "its end can be told")
        case .application, .end: break
        }
    }
}
