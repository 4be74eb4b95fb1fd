import Glibc
package import TermspanBus
package import TermspanSessions
import TermspanSystem

/// Has an X server's cookie read by a short-lived unit that runs as the session's user.
///
/// So a path that the user controls is never opened as root, and a home that stalls stalls nobody else.
@MainActor
package final class CookieReader {
    private let loop: EventLoop
    private let units: UnitManager
    private let program: String
    private var readings: [Int: Reading] = [:]
    private var count = 0

    /// How long the unit may take; its own limit is shorter.
    private static let timeout: Duration = .seconds(10)
    private static let cookieLength = 16

    package init(loop: EventLoop, units: UnitManager, program: String) {
        self.loop = loop
        self.units = units
        self.program = program
    }

    private final class Reading {
        let uid: UInt32
        var source: EventSource?
        var timer: EventSource?
        var input: OwnedDescriptor?
        var bytes: [UInt8] = []
        /// Nil once it has been answered that there is no cookie, while the reader still hangs.
        var completion: (@MainActor ([UInt8]?) -> Void)?

        init(uid: UInt32) {
            self.uid = uid
        }
    }

    /// Reads the cookie for the server's display; `completion` gets its 16 bytes, or nil if there is none or it takes too long.
    ///
    /// A reader that waits for a file system that does not answer can't even be killed, and its user decides how long that lasts: there is
    /// no other for that user until it has gone.
    package func read(for server: XServer, uid: UInt32, completion: @escaping @MainActor ([UInt8]?) -> Void) {
        if readings.values.contains(where: { $0.uid == uid && $0.completion == nil }) { return completion(nil) }
        guard let pipe = try? Pipe() else { return completion(nil) }
        pipe.split { read(for: server, uid: uid, from: $0, to: $1, completion: completion) }
    }

    private func read(
        for server: XServer, uid: UInt32, from input: consuming OwnedDescriptor, to output: consuming OwnedDescriptor,
        completion: @escaping @MainActor ([UInt8]?) -> Void
    ) {
        count += 1
        let number = count
        let reading = Reading(uid: uid)
        let descriptor = input.raw
        reading.input = consume input
        reading.completion = completion
        readings[number] = reading
        do {
            reading.source = try loop.watch(descriptor) { [weak self] _ in self?.drain(number, from: descriptor) }
            reading.timer = try loop.after(Self.timeout) { [weak self] in self?.giveUp(number) }
        } catch {
            return finish(number, with: nil)
        }
        let service = UnitManager.Service(
            name: "termspan-cookie-\(server.display)-\(server.pid)-\(number).service",
            description: "Cookie of X display :\(server.display) for Termspan",
            command: [program, "cookie", "--server", String(server.pid), "--display", String(server.display)], uid: uid,
            standardOutput: output.raw)
        units.start(service) { [weak self] result in
            if case .failure = result { self?.finish(number, with: nil) }
        }
        // The message holds a duplicate; with this one closed, the pipe ends when the unit does.
        _ = consume output
    }

    private func drain(_ number: Int, from descriptor: Int32) {
        guard let reading = readings[number] else { return }
        var buffer = [UInt8](repeating: 0, count: 64)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count > 0 {
                reading.bytes += buffer.prefix(count)
                if reading.bytes.count > Self.cookieLength { return finish(number, with: nil) }
            } else if count < 0 && errno == EINTR {
                continue
            } else if count < 0 && errno == EAGAIN {
                return
            } else {
                return finish(number, with: reading.bytes.count == Self.cookieLength ? reading.bytes : nil)
            }
        }
    }

    /// Answers that there is no cookie. The pipe stays open: its other end tells when the reader has gone.
    private func giveUp(_ number: Int) {
        guard let reading = readings[number], let completion = reading.completion else { return }
        reading.completion = nil
        reading.timer = nil
        completion(nil)
    }

    private func finish(_ number: Int, with cookie: [UInt8]?) {
        guard let reading = readings.removeValue(forKey: number) else { return }
        reading.source?.cancel()
        reading.timer?.cancel()
        reading.completion?(cookie)
    }
}
