import CFuzz
import Glibc

// termspan-fuzz --list | --seeds TARGET FOLDER | TARGET [libFuzzer's arguments and folders]; see Tests/Fuzz/run.

func fail(_ text: String) -> Never {
    let line = Array("termspan-fuzz: \(text)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
    exit(2)
}

func target(named name: String) -> FuzzTarget {
    guard let target = (FuzzTarget.all + FuzzTarget.selfTests).first(where: { $0.name == name }) else { fail("no target '\(name)'") }
    return target
}

let arguments = CommandLine.arguments
if arguments.count == 2, arguments[1] == "--list" {
    for target in FuzzTarget.all { print("\(target.name)\t\(target.longest)\t\(target.about)") }
    exit(0)
}
if arguments.count == 4, arguments[1] == "--seeds" {
    for (index, seed) in target(named: arguments[2]).seeds.enumerated() {
        guard let file = fopen("\(arguments[3])/seed-\(index)", "w") else { fail("\(arguments[3]): \(String(cString: strerror(errno)))") }
        fwrite(seed, 1, seed.count, file)
        fclose(file)
    }
    exit(0)
}
guard arguments.count >= 2, !arguments[1].hasPrefix("-") else { fail("usage: --list | --seeds TARGET FOLDER | TARGET [ARGUMENT...]") }

let chosen = target(named: arguments[1])
// The target's name goes to libFuzzer as part of the program's, which it prints.
var count = Int32(arguments.count - 1)
var list: [UnsafeMutablePointer<CChar>?] = ([arguments[0]] + arguments.dropFirst(2)).map { strdup($0) } + [nil]
let status = list.withUnsafeMutableBufferPointer { buffer -> Int32 in
    var base = buffer.baseAddress!
    return LLVMFuzzerRunDriver(&count, &base) { data, size in
        let bytes = UnsafeRawBufferPointer(start: data, count: size)
        nonisolated(unsafe) let input = bytes
        MainActor.assumeIsolated { chosen.run(input) }
        return 0
    }
}
exit(status)
