/// The tables of `query session` and `query user`: columns and widths of their Windows namesakes, which longer names widen.
package enum SessionTables {
    package static func sessions(_ rows: [SessionRow]) -> [String] {
        var table = Table(
            [
                .init("SESSIONNAME", width: 16), .init("USERNAME", width: 20), .init("ID", .right, width: 5), .init("STATE", width: 6),
                .init("TYPE", width: 10), .init("DEVICE"),
            ], hasMarks: true)
        for row in rows {
            table.add(
                [row.shownName, row.user, String(row.id), row.stateWord, row.type, row.device], mark: row.isOwn ? ">" : " ")
        }
        return table.lines()
    }

    package static func users(_ rows: [SessionRow]) -> [String] {
        var table = Table(
            [
                .init("USERNAME", width: 20), .init("SESSIONNAME", width: 16), .init("ID", .right, width: 3), .init("STATE", width: 6),
                .init("IDLE TIME", .right, width: 9), .init("LOGON TIME"),
            ], hasMarks: true)
        for row in rows where row.isLogon {
            table.add(
                [
                    row.user, row.shownName, String(row.id), row.stateWord, TimeText.idle(microseconds: row.idleMicroseconds),
                    row.logon.map { TimeText.minute($0) } ?? "",
                ], mark: row.isOwn ? ">" : " ")
        }
        return table.lines()
    }

    package static func processes(_ rows: [ProcessRow]) -> [String] {
        var table = Table(
            [
                .init("USERNAME", width: 20), .init("SESSIONNAME", width: 16), .init("ID", .right, width: 4),
                .init("PID", .right, width: 5), .init("IMAGE"),
            ], hasMarks: true)
        for row in rows {
            table.add(
                [row.user, row.sessionName, String(row.session), String(row.processID), row.image], mark: row.isOwn ? ">" : " ")
        }
        return table.lines()
    }
}
