import TermspanAccounting
import TermspanCore
import TermspanJournal
import TermspanSessions
import TermspanStore

/// The collector's records in the journal: one a notification, never with anything of the activity itself.
enum Journal {
    static func collectorStarted() {
        JournalRecord(.collectorStarted, "The collector \(Version.text) started.").send()
    }

    static func collectorStopped() {
        JournalRecord(.collectorStopped, "The collector stopped.").send()
    }

    static func session(_ session: Session, _ notification: SessionNotification) {
        let (event, what): (JournalEvent, String) =
            switch notification {
            case .logon: (.sessionOpened, "opened")
            case .logoff: (.sessionClosed, "closed")
            case .connect: (.sessionConnected, session.desktop.client.address.map { "connected from \($0)" } ?? "connected")
            case .disconnect: (.sessionDisconnected, "disconnected")
            case .lock: (.sessionLocked, "was locked")
            case .unlock: (.sessionUnlocked, "was unlocked")
            }
        record(event, session, what).send()
    }

    /// - Parameter failure: why it could not be done; nil if it was.
    static func sessionActedOn(_ session: Session, _ action: SessionAction, by actor: String, failure: String?) {
        let (event, done, tried): (JournalEvent, String, String) =
            switch action {
            case .lock: (.sessionLockRequested, "was asked to lock", "could not be asked to lock")
            case .disconnect: (.sessionDisconnectRequested, "is being disconnected", "could not be disconnected")
            case .logoff: (.sessionLogoffRequested, "is being logged off", "could not be logged off")
            }
        var record = record(event, session, failure.map { "\(tried) for \(actor): \($0)" } ?? "\(done) by \(actor)")
        record.add(.actor, actor)
        record.add(.reason, failure)
        record.send()
    }

    /// A session of an earlier boot, of which the store knew no end.
    static func sessionEndedByReboot(_ session: OpenSession) {
        let (id, user) = (session.record.id, session.record.user.login)
        var record = JournalRecord(.sessionClosed, "Session \(id) of user \(user) ended with an earlier boot, as far as it is known.")
        record.add(session: id, uuid: session.record.uuid, user: user, stack: session.record.stack)
        record.add(.reason, EndReason.reboot.name)
        record.send()
    }

    static func probeStarted(_ session: Session) {
        record(.probeStarted, session, "is measured: its probe started").send()
    }

    static func probeFailed(_ session: Session, reason: String) {
        var record = record(.probeFailed, session, "is not measured: \(reason)")
        record.add(.reason, reason)
        record.send()
    }

    static func eventsLost(_ session: Session, count: UInt64) {
        var record = record(.eventsLost, session, "lost \(count) events")
        record.add(.count, String(count))
        record.send()
    }

    static func limitReached(_ limit: Limit, _ text: String, user: String, session: Session?, count: UInt64) {
        let what = "User \(user) is at a limit: \(limit.rawValue), \(text)."
        var record = JournalRecord(.limitReached, count == 1 ? what : what + " \(count) times since it was told last.")
        if let session {
            record.add(session: session.id, uuid: session.uuid, user: user, logindSessions: session.desktop.logindSessions.map(\.id))
        } else {
            record.add(.user, user)
        }
        record.add(.limit, limit.rawValue)
        record.add(.count, String(count))
        record.send()
    }

    static func laneQuarantined(_ session: Session, violation: String) {
        var record = record(.laneQuarantined, session, "is not measured any more: its probe broke the ring's protocol (\(violation))")
        record.add(.reason, violation)
        record.send()
    }

    static func policyChanged(_ what: String, user: String?, by actor: String, reason: String) {
        var record = JournalRecord(.policyChanged, "The policy was changed by \(actor): \(what).\(given(reason))")
        record.add(.user, user)
        record.add(.actor, actor)
        record.add(.reason, reason)
        record.send()
    }

    static func pseudonymRevealed(of month: CalendarMonth, by actor: String) {
        var record = JournalRecord(.policyChanged, "\(actor) was told whose a pseudonym of \(month) is; termspan audit says whose.")
        record.add(.actor, actor)
        record.send()
    }

    /// A reason is somebody's choice to give.
    private static func given(_ reason: String) -> String { reason.isEmpty ? "" : " Reason given: \(reason)" }

    static func historyErased(_ user: UserIdentity, _ receipt: ErasureReceipt, alsoUser: Bool, by actor: String, reason: String) {
        let what = alsoUser ? "What was held of \(user.login) and the user were erased" : "What was held of \(user.login) was erased"
        var record = JournalRecord(.historyErased, "\(what) by \(actor).\(given(reason))")
        record.add(.user, user.login)
        record.add(.actor, actor)
        record.add(.reason, reason)
        record.add(.receipt, "\(receipt.text) sha256=\(receipt.digest)")
        record.send()
    }

    static func historyExpired(_ expired: Expired) {
        var record = JournalRecord(
            .historyExpired,
            """
            What is older than is kept was removed: \(expired.counts.sessions) sessions, \(expired.intervals) intervals, \(expired.counts.facts) facts.
            """)
        record.add(.count, String(expired.intervals))
        record.send()
    }

    /// That of a day is in the audit record.
    static func historyExpired(_ receipt: ErasureReceipt) {
        var record = JournalRecord(.historyExpired, "What was removed by its age in a day is in the audit record, with a receipt.")
        record.add(.receipt, "\(receipt.text) sha256=\(receipt.digest)")
        record.send()
    }

    static func retentionHeld() {
        JournalRecord(.retentionHeld, "Nothing is removed by its age for now: the wall clock has leapt ahead.").send()
    }

    static func paused(_ user: UserIdentity, for length: Duration) {
        var record = JournalRecord(
            .recordingPaused, "User \(user.login) has paused the recording of the own activity for \(seconds(length)) s.")
        record.add(.user, user.login)
        record.send()
    }

    static func resumed(_ user: UserIdentity) {
        var record = JournalRecord(.recordingResumed, "The pause of user \(user.login) is over.")
        record.add(.user, user.login)
        record.send()
    }

    /// - Parameters:
    ///   - begun: how many sessions are recorded from now on.
    ///   - ended: how many no longer are.
    static func trackingHours(begun: Int, ended: Int) {
        var record = JournalRecord(
            .trackingHours, "By the tracking hours \(begun) sessions are recorded from now on, and \(ended) no longer are.")
        record.add(.count, String(begun + ended))
        record.send()
    }

    static func auditRecorded(_ head: AuditHead) {
        var record = JournalRecord(.auditRecorded, "The audit record has \(head.id) entries; the last one's digest is \(head.digest).")
        record.add(.store, head.store.description)
        record.add(.count, String(head.id))
        record.add(.digest, head.digest)
        record.send()
    }

    static func configurationError(_ problem: String, isRefused: Bool) {
        let consequence = isRefused ? "The configuration in force stays" : "The collector does not start"
        var record = JournalRecord(.configurationError, "\(consequence): \(problem)")
        record.add(.reason, problem)
        record.send()
    }

    /// - Parameter consequence: what that means, as a sentence.
    static func storeFailed(_ problem: String, consequence: String) {
        var record = JournalRecord(.storeFailed, "The store can't be used: \(problem). \(consequence)")
        record.add(.reason, problem)
        record.send()
    }

    static func storeRecovered() {
        JournalRecord(.storeRecovered, "The store can be used again.").send()
    }

    static func storeReplaced(_ replacement: StoreReplacement) {
        let result =
            replacement.recovery.map { "a new one has what is whole of it: \($0.text)" }
            ?? "nothing of it could be read, and a new one is begun"
        let policy = replacement.keepsPolicy ? "The policy holds." : "Nobody is tracked, since the policy can't be read."
        var record = JournalRecord(
            .storeReplaced, "The store was damaged (\(replacement.damage)) and is set aside as \(replacement.file); \(result). \(policy)")
        record.add(.file, replacement.file)
        record.add(.reason, replacement.damage)
        record.send()
    }

    static func storeRefused(_ problem: String, file: String) {
        var record = JournalRecord(.storeRefused, "The collector does not start: \(problem)")
        record.add(.file, file)
        record.add(.reason, problem)
        record.send()
    }

    /// Says nothing of a step that is none: the clock was set to what it showed, or the machine woke.
    static func clockStepped(by step: Duration) {
        let size = max(step, .zero - step)
        guard size >= .milliseconds(500) else { return }
        let text = seconds(size)
        JournalRecord(.clockStepped, "The wall clock was set \(step < .zero ? "back" : "forward") by \(text) s.").send()
    }

    static func machineSlept(_ span: TimeSpan) {
        JournalRecord(.machineSlept, "The machine slept for \(seconds(span.start.duration(to: span.end))) s.").send()
    }

    static func busLost() {
        JournalRecord(.busLost, "The bus is gone. What is measured goes on; the rest waits for the bus.").send()
    }

    static func logindLost() {
        JournalRecord(.logindLost, "systemd-logind is gone. All sessions stay as they were until it is back.").send()
    }

    static func waiting(for what: String) {
        var record = JournalRecord(.busLost, "The collector waits to start: \(what).")
        record.add(.reason, what)
        record.send()
    }

    static func descriptorsShort(_ reason: String) {
        var record = JournalRecord(.descriptorsShort, "There are sessions that can't be measured: \(reason).")
        record.add(.reason, reason)
        record.send()
    }

    /// Whole seconds and tenths.
    private static func seconds(_ duration: Duration) -> String {
        let tenths = (duration.wholeNanoseconds + 50_000_000) / 100_000_000
        return "\(tenths / 10).\(tenths % 10)"
    }

    private static func record(_ event: JournalEvent, _ session: Session, _ what: String) -> JournalRecord {
        let desktop = session.desktop
        var record = JournalRecord(event, "Session \(session.id) of user \(desktop.userName) \(what).")
        record.add(
            session: session.id, uuid: session.uuid, user: desktop.userName, logindSessions: desktop.logindSessions.map(\.id),
            leader: desktop.logindSessions.first.flatMap { Int32(exactly: $0.leader) }, stack: desktop.stack.rawValue)
        record.add(.clientAddress, desktop.client.address)
        record.add(.clientName, desktop.client.name)
        return record
    }
}
