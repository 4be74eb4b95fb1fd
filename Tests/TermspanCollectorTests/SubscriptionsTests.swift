import SeededRandom
import Testing

@testable import TermspanCollector

@Suite struct SubscriptionsTests {
    @Test func eachIsToldWhatTheyMaySee() {
        var subscriptions = Subscriptions()
        for (name, userID) in [(":1.1", UInt32(1001)), (":1.2", 1002), (":1.3", 0)] {
            let isAdded = subscriptions.add(.init(userID: userID, seesAll: userID == 0), name: name)
            #expect(isAdded)
        }
        for notification in SessionNotification.allCases {
            let told = Dictionary(
                uniqueKeysWithValues: subscriptions.recipients(of: notification, in: 1001).map { ($0.name, $0.seesDetails) })
            let isSecret = notification == .lock || notification == .unlock
            #expect(told == (isSecret ? [":1.1": true, ":1.3": true] : [":1.1": true, ":1.2": false, ":1.3": true]))
        }
        subscriptions.remove(":1.1")
        #expect(subscriptions.recipients(of: .lock, in: 1001) == [.init(name: ":1.3", seesDetails: true)])
    }

    /// Roles have changed: until somebody subscribes anew, only root is told of all.
    @Test func whoMayHaveLostARoleIsToldTheirOwnAlone() {
        var subscriptions = Subscriptions()
        for (name, userID) in [(":1.1", UInt32(1001)), (":1.2", 1002), (":1.3", 0)] {
            _ = subscriptions.add(.init(userID: userID, seesAll: true), name: name)
        }
        subscriptions.reduce()
        #expect(Set(subscriptions.recipients(of: .lock, in: 1001).map(\.name)) == [":1.1", ":1.3"])
        _ = subscriptions.add(.init(userID: 1002, seesAll: true), name: ":1.2")
        #expect(subscriptions.recipients(of: .lock, in: 1001).count == 3)
    }

    /// Whatever users do, none has more than their share, and a place that is given back can be taken again.
    @Test(arguments: 0..<20) func nobodyTakesMoreThanTheirShare(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        var subscriptions = Subscriptions()
        var model: [String: UInt32] = [:]
        for step in 0..<4000 {
            if Bool.random(using: &random) || model.isEmpty {
                let user = UInt32.random(in: 0..<60, using: &random)
                let own = model.values.count { $0 == user }
                let isRoom = model.count < Subscriptions.limit && (user == 0 || own < Subscriptions.limitPerUser)
                let isAdded = subscriptions.add(.init(userID: user, seesAll: false), name: ":1.\(step)")
                #expect(isAdded == isRoom)
                if isRoom { model[":1.\(step)"] = user }
            } else if Int.random(in: 0..<3, using: &random) == 0, let name = model.keys.randomElement(using: &random) {
                subscriptions.remove(name)
                model[name] = nil
            } else if let (name, user) = model.randomElement(using: &random) {
                // Again is no further subscription.
                let isAdded = subscriptions.add(.init(userID: user, seesAll: true), name: name)
                #expect(isAdded)
            }
            #expect(subscriptions.count == model.count)
        }
    }
}
