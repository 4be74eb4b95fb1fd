import BusTesting
import Glibc
import TermspanCore
import Testing

@testable import TermspanBus

/// Turns the loop until `condition` holds; a failure after some seconds.
@MainActor
func turn(_ loop: EventLoop, until condition: () -> Bool) throws {
    let limit = loop.now.advanced(by: .seconds(10))
    while !condition() {
        try #require(loop.now < limit, "nothing happened for too long")
        try loop.runOnce(timeout: .milliseconds(20))
    }
}

/// Runs a command while the loop turns, and returns what it printed.
@MainActor
func output(_ loop: EventLoop, _ arguments: String...) throws -> String {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    let child = try Child(arguments, output: ends[1])
    close(ends[1])
    try turn(loop) { child.hasEnded() }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = read(ends[0], &part, part.count)
        if count <= 0 { break }
        bytes += part[..<count]
    }
    close(ends[0])
    return String(decoding: bytes, as: UTF8.self)
}
