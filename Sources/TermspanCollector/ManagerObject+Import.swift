import TermspanBus
import TermspanConfiguration
import TermspanCore
import TermspanStore
import TermspanSystem

extension ManagerObject {
    /// Adds what was measured elsewhere to the store, or says what that would be. The file was parsed by the caller; here records of a fixed form
    /// are read, on the store's thread.
    func importRecords(_ invocation: BusInvocation) throws(BusError) {
        let call = try ImportCall(invocation.message, responsible: collector.configuration.responsible)
        let (file, isRehearsal, reason) = (call.records, call.isRehearsal, call.reason)
        let (format, digest, responsible) = (call.format, call.digest, call.responsible)
        authorized(invocation) { [unowned self] actor in
            let turn = Turn()
            // One that has begun is waited for, however long it takes: its maker must learn what became of it.
            let parked = park(invocation) { turn.refuse() ? "The store does not answer; nothing was imported." : nil }
            let (directory, known) = (collector.sids.directory, collector.knownSIDs)
            // Decisions about users that wait count, too.
            collector.store.submitOnceDurable { [inbox = collector.inbox] writer, problem in
                guard turn.take() else { return }
                let result = Result { () throws(StoreError) -> Imported in
                    if let problem { throw StoreError(.storage, "write what waits", problem) }
                    let grounds = ImportGrounds(
                        format: format, digest: digest, by: actor, reason: reason, responsible: responsible, at: .now())
                    return try Self.importRecords(file, grounds, isRehearsal: isRehearsal, directory, known: known, writer)
                }
                inbox.post { [weak self] in
                    guard let self else { return }
                    switch result {
                    case .failure(let error) where error.code == .refused:
                        unpark(parked)?.fail(
                            BusError(name: "org.termspan1.Error.ImportRefused", message: "Nothing was imported: \(error.message)."))
                    case .failure(let error): unpark(parked)?.fail(Self.storeFailed("Nothing was imported: \(error)"))
                    case .success(let imported):
                        if !isRehearsal {
                            for user in imported.users {
                                Journal.policyChanged(
                                    "what was measured of \(user.login) elsewhere was imported", user: user.login, by: actor, reason: reason
                                )
                            }
                        }
                        unpark(parked)?.reply { $0.properties(imported.values) }
                    }
                }
            }
        }
    }

    /// Runs on the store's thread, which may ask the user database and directories.
    private nonisolated static func importRecords(
        _ file: ReceivedFile, _ grounds: ImportGrounds, isRehearsal: Bool, _ directory: Directory,
        known: [UserIdentity: Set<SecurityID>], _ writer: StoreWriter
    ) throws(StoreError) -> Imported {
        var reader = ImportReader()
        var place = 0
        return try writer.importRecords(
            grounds, isRehearsal: isRehearsal, identity: UserDatabase.user(named:),
            sids: { user in known[user] ?? directory.sids(of: [user], within: directoryPatience)[user] }
        ) {
            do {
                while true {
                    if let record = try reader.next() { return record }
                    let part = try file.read(at: place)
                    if part.isEmpty {
                        try reader.finish()
                        return nil
                    }
                    place += part.count
                    reader.append(part)
                }
            } catch let error as ImportFormatError {
                throw StoreError(.refused, "import", "\(error)")
            }
        }
    }
}

extension Imported {
    fileprivate var values: [String: BusValue] {
        [
            "sessions": .uint64(sessions), "activities": .uint64(activities), "inputs": .uint64(inputs), "repeated": .uint64(repeated),
            "users": .strings(users.map(\.login)),
        ]
    }
}
