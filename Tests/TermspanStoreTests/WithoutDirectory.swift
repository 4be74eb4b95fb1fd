import TermspanCore
import TermspanStore

// Users whom no directory knows, as most tests have them. The product always says which SIDs are known.

extension Policy {
    func tracks(_ user: UserIdentity) -> Bool { tracks(user, sids: []) }

    func standing(of user: UserIdentity, decision: Row?) -> (isTracked: Bool, basis: Basis) {
        standing(of: user, sids: [], decision: decision)
    }
}

extension DoNotTrackList {
    func names(_ user: UserIdentity) -> Bool { names(user, sids: []) }

    func subjects(naming user: UserIdentity) -> [Subject] { subjects(naming: user, sids: []) }
}

extension DoNotTrackSubject {
    static func all(of user: UserIdentity) -> [DoNotTrackSubject] { all(of: user, sids: []) }

    func names(_ user: UserIdentity) -> Bool { names(user, sids: []) }
}
