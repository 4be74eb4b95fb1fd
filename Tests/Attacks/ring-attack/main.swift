// Kills the producer, and separately the consumer, after every machine instruction of its path, and holds it up there; see Tests/Attacks/run.
import CAttack
import Glibc
import TermspanRing
import TermspanSystem

/// Attacks after each of the victim's machine instructions, or every so many: it is killed or held up in one place, in a new world each time.
///
/// - Returns: how many places there were.
func carryOut(_ attack: Attack, every: UInt32, processor: Int32, _ ledger: Ledger) throws -> Int {
    let trace = UnsafeMutablePointer<UInt64>.allocate(capacity: longestSegment)
    defer { trace.deallocate() }
    let progress = ledger.progress
    var places = 0
    var wasThere = false

    /// A victim that stands at a mark.
    func victim(of world: inout World, at mark: UInt32) throws -> pid_t {
        progress.pointee.target = mark
        let victim = attack_fork(processor)
        if victim == 0 { _exit(world.beVictim()) }
        guard victim > 0 else { throw Fault("fork or ptrace: \(String(cString: strerror(-victim)))") }
        guard attack_run_to_mark(victim) == 1 else { throw Fault("the victim ended by itself") }
        return victim
    }

    func attackOnce(mark: UInt32, step: UInt32, isLast: Bool) throws {
        // Where it doesn't take the way of the trace, by the clock for instance, each instruction is stepped.
        for follows in [true, false] {
            var world = try World(attack, ledger)
            try world.prepare()
            let victim = try victim(of: &world, at: mark)
            guard (follows ? attack_follow(victim, trace, step) : attack_step(victim, step)) == 1 else {
                attack_kill(victim)
                if follows { continue }
                throw Fault("the victim ended by itself")
            }
            do {
                let isThere: Bool
                if attack.isHeldUp {
                    isThere = try world.duringHold(victim)
                } else {
                    attack_kill(victim)
                    isThere = try world.afterDeath(isFinished: isLast)
                }
                try Fault.unless(isThere || !wasThere, "an event that was committed is gone")
                wasThere = isThere
            } catch {
                attack_kill(victim)
                throw error
            }
            places += 1
            return
        }
    }

    var mark: UInt32 = 1
    var isLast = false
    while !isLast {
        // From here to the next mark.
        var world = try World(attack, ledger)
        try world.prepare()
        let leader = try victim(of: &world, at: mark)
        isLast = progress.pointee.is_finished == 1
        let count = attack_trace(leader, progress, trace, isLast ? 1 : UInt32(longestSegment))
        attack_kill(leader)
        guard count < longestSegment else { throw Fault("too far to the next mark") }
        for step in stride(from: 0, to: count, by: Int(every)) {
            do {
                try attackOnce(mark: mark, step: step, isLast: isLast)
            } catch {
                throw Fault("after mark \(mark) and \(step) instructions: \(error)")
            }
        }
        mark += 1
    }
    return places
}

let longestSegment = 100_000
if CommandLine.arguments.dropFirst().first == "--count" {
    print(Attack.all.count + Attack.breaches.count)
    exit(0)
}
let numbers = CommandLine.arguments.dropFirst().compactMap(UInt32.init)
guard numbers.count == 3, numbers[0] > 0, numbers[2] > 0, numbers[1] < numbers[2] else {
    print("usage: ring-attack EVERY PART PARTS | --count")
    exit(2)
}
let (every, part, parts) = (numbers[0], Int(numbers[1]), Int(numbers[2]))
let memory = try Mapping(OwnedDescriptor.memoryFile(name: "ledger", size: Ledger.size), length: Ledger.size, writable: true)
let ledger = Ledger(memory.base)
let processor = Int32(part % max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
var failed = 0
for (index, attack) in (Attack.all + Attack.breaches).enumerated() where index % parts == part {
    do {
        let places = try carryOut(attack, every: attack.breach == nil ? every : 1, processor: processor, ledger)
        if attack.breach == nil {
            print("   ok      \(attack): \(places) places")
        } else {
            failed += 1
            print("   FAILED  \(attack): not found at \(places) places")
        }
    } catch {
        if attack.breach != nil, error is Fault {
            print("   ok      \(attack): found \(error)")
        } else {
            failed += 1
            print("   FAILED  \(attack): \(error)")
        }
    }
    fflush(nil)
}
exit(failed == 0 ? 0 : 1)
