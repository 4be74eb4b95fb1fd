import TermspanEvents

// Bugs that were planted, behind code of the product: only a fuzzer that sees which branches of it an input takes gets there.

extension FuzzTarget {
    private static func focus(_ bytes: UnsafeRawBufferPointer) -> Focus? {
        guard bytes.count > 1, case .focusChanged(let focus)? = EventCodec.decode(type: bytes[0], payload: .init(rebasing: bytes[1...]))
        else {
            return nil
        }
        return focus
    }

    static var plantedTrap: FuzzTarget {
        FuzzTarget(name: "self-test-trap", about: "a promise that does not hold for one class of windows", longest: 64, seeds: [[0]]) {
            bytes in
            guard let focus = focus(bytes) else { return }
            require(!(focus.process.origin == .client && focus.windowClass.count == 3), "planted: no class has three bytes")
        }
    }

    static var plantedOverrun: FuzzTarget {
        FuzzTarget(name: "self-test-overrun", about: "a read beyond the end of memory", longest: 64, seeds: [[0]]) { bytes in
            guard let focus = focus(bytes), focus.windowClass.count > 4 else { return }
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 4)
            defer { memory.deallocate() }
            for index in 0..<focus.windowClass.count { memory[index] = focus.windowClass[index] }
        }
    }
}
