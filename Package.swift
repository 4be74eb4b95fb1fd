// swift-tools-version: 6.3
import PackageDescription

/// Whether this is a build for `Tests/Fuzz/run`, which sets the variable: all of ours instrumented, and the fuzzer with it.
let isFuzzing = Context.environment["TERMSPAN_FUZZING"] != nil

/// Coverage and the address sanitizer; optimised, as what is installed is.
let instrumented: [SwiftSetting] = isFuzzing ? [.unsafeFlags(["-sanitize=fuzzer,address", "-O"])] : []
let instrumentedC: [CSetting] = isFuzzing ? [.unsafeFlags(["-fsanitize=fuzzer-no-link,address"])] : []

/// What every target of ours is compiled with.
let strict: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .treatAllWarnings(as: .error),
    ] + instrumented

/// Targets that touch raw or shared memory must also mark every unsafe use.
let strictMemory: [SwiftSetting] = strict + [.strictMemorySafety()]

let package = Package(
    name: "termspan",
    products: [
        .executable(name: "termspand", targets: ["termspand"]),
        .executable(name: "termspan-reportd", targets: ["termspan-reportd"]),
        .executable(name: "termspan-probe", targets: ["termspan-probe"]),
        .executable(name: "termspan", targets: ["termspan"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // System modules and C shims: declarations and thin wrappers.
        .target(name: "CSystemd", linkerSettings: [.linkedLibrary("systemd")]),
        .target(
            name: "CXCB",
            linkerSettings: ["xcb-sync", "xcb-res", "xcb-xinput", "xcb", "Xau", "Xdmcp"].map { .linkedLibrary($0) }),
        .target(name: "CTermspanLinux", cSettings: instrumentedC),
        .target(name: "CTermspanDirectory", cSettings: instrumentedC),
        // Loads libcrypto when it is used.
        .target(name: "CTermspanDigest", cSettings: instrumentedC),
        .target(name: "CTermspanProbe", cSettings: instrumentedC),
        .target(name: "CTermspanCrypto", cSettings: instrumentedC, linkerSettings: [.linkedLibrary("crypto")]),

        // Values and pure logic.
        .target(name: "TermspanCore", swiftSettings: strict),
        .target(name: "TermspanEvents", dependencies: ["TermspanCore"], swiftSettings: strict),
        .target(name: "TermspanAccounting", dependencies: ["TermspanCore", "TermspanEvents"], swiftSettings: strict),

        // The operating system.
        .target(name: "TermspanSystem", dependencies: ["CTermspanLinux", "TermspanCore"], swiftSettings: strictMemory),
        .target(
            name: "TermspanRing", dependencies: ["CTermspanLinux", "TermspanCore", "TermspanSystem"], swiftSettings: strictMemory),
        .target(
            name: "TermspanControl", dependencies: ["CTermspanLinux", "TermspanCore", "TermspanSystem"], swiftSettings: strict),
        .target(
            name: "TermspanX11",
            dependencies: [
                "CXCB", "CTermspanProbe", "TermspanCore", "TermspanEvents", "TermspanSystem", "TermspanRing", "TermspanControl",
            ],
            swiftSettings: strict),
        .target(name: "TermspanDirectory", dependencies: ["CTermspanDirectory", "TermspanCore"], swiftSettings: strict),
        .target(name: "TermspanBus", dependencies: ["CSystemd", "TermspanCore", "TermspanSystem"], swiftSettings: strict),
        .target(name: "TermspanJournal", dependencies: ["CSystemd", "TermspanCore", "TermspanSystem"], swiftSettings: strict),
        .target(
            name: "TermspanSessions",
            dependencies: ["CSystemd", "CTermspanLinux", "TermspanCore", "TermspanSystem", "TermspanBus"], swiftSettings: strict),
        .target(
            name: "TermspanStore",
            dependencies: [
                "CTermspanCrypto", "TermspanCore", "TermspanEvents", "TermspanAccounting", "TermspanSystem",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
            ],
            swiftSettings: strict),

        .target(
            name: "TermspanConfiguration", dependencies: ["TermspanCore", .product(name: "Yams", package: "Yams")], swiftSettings: strict),

        // Composition.
        .target(
            name: "TermspanCollector",
            dependencies: [
                "CSystemd", "TermspanCore", "TermspanEvents", "TermspanAccounting", "TermspanSystem", "TermspanRing", "TermspanControl",
                "TermspanDirectory", "TermspanSessions", "TermspanStore", "TermspanBus", "TermspanJournal", "TermspanConfiguration",
            ],
            swiftSettings: strict),
        .target(
            name: "TermspanReports",
            dependencies: [
                "TermspanCore", "TermspanAccounting", "TermspanDirectory", "TermspanSystem", "TermspanStore", "TermspanBus",
                "TermspanConfiguration",
            ],
            swiftSettings: strict),
        .target(
            name: "TermspanCommands",
            dependencies: [
                "CTermspanDigest", "TermspanCore", "TermspanDirectory", "TermspanSystem", "TermspanBus", "TermspanJournal",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),

        .executableTarget(name: "termspand", dependencies: ["TermspanCollector"], swiftSettings: strict),
        .executableTarget(name: "termspan-reportd", dependencies: ["TermspanReports"], swiftSettings: strict),
        .executableTarget(
            name: "termspan-probe", dependencies: ["TermspanX11"], swiftSettings: strict,
            linkerSettings: [.unsafeFlags(["-static-executable"], .when(configuration: .release))]),
        .executableTarget(name: "termspan", dependencies: ["TermspanCommands"], swiftSettings: strict),

        .testTarget(name: "TermspanCoreTests", dependencies: ["TermspanCore", "SeededRandom"], swiftSettings: strict),
        .testTarget(name: "TermspanSystemTests", dependencies: ["TermspanCore", "TermspanSystem"], swiftSettings: strict),
        .testTarget(
            name: "TermspanRingTests",
            dependencies: [
                "CTermspanLinux", "TermspanCore", "TermspanSystem", "TermspanRing", "RingPattern", "SeededRandom", "ring-producer",
            ],
            swiftSettings: strict),
        .target(name: "RingPattern", dependencies: ["SeededRandom"], path: "Tests/Helpers/RingPattern", swiftSettings: strict),
        .target(name: "ProgramOptions", path: "Tests/Helpers/ProgramOptions", swiftSettings: strict),
        .target(name: "SeededRandom", path: "Tests/Helpers/SeededRandom", swiftSettings: strict),
        .executableTarget(
            name: "ring-producer", dependencies: ["TermspanCore", "TermspanSystem", "TermspanRing", "RingPattern", "SeededRandom"],
            path: "Tests/Helpers/ring-producer", swiftSettings: strict),
        .target(name: "CAttack", path: "Tests/Attacks/CAttack"),
        .executableTarget(
            name: "ring-attack", dependencies: ["CAttack", "TermspanCore", "TermspanSystem", "TermspanRing"],
            path: "Tests/Attacks/ring-attack", swiftSettings: strict),
        .executableTarget(
            name: "ring-soak",
            dependencies: ["TermspanCore", "TermspanSystem", "TermspanRing", "RingPattern", "ProgramOptions", "SeededRandom"],
            path: "Tests/Attacks/ring-soak", swiftSettings: strict),
        .target(name: "CBenchmark", path: "Tests/Benchmarks/CBenchmark"),
        .executableTarget(
            name: "ring-benchmark",
            dependencies: [
                "CBenchmark", "TermspanCore", "TermspanSystem", "TermspanRing", "RingPattern", "ProgramOptions", "SeededRandom",
            ],
            path: "Tests/Benchmarks/ring-benchmark", swiftSettings: strict),
        .executableTarget(
            name: "aggregator-benchmark",
            dependencies: [
                "CBenchmark", "TermspanCollector", "TermspanStore", "TermspanConfiguration", "TermspanAccounting", "TermspanEvents",
                "TermspanRing", "TermspanCore", "TermspanSystem", "ProgramOptions", "SeededRandom",
            ],
            path: "Tests/Benchmarks/aggregator-benchmark", swiftSettings: strict),
        .executableTarget(
            name: "export-benchmark",
            dependencies: ["TermspanReports", "TermspanStore", "TermspanAccounting", "TermspanCore", "TermspanEvents", "ProgramOptions"],
            path: "Tests/Benchmarks/export-benchmark", swiftSettings: strict),
        .executableTarget(
            name: "store-benchmark",
            dependencies: [
                "TermspanStore", "TermspanAccounting", "TermspanBus", "TermspanCore", "TermspanEvents", "BusTesting", "ProgramOptions",
                "SeededRandom", "termspan-reportd",
            ],
            path: "Tests/Benchmarks/store-benchmark", swiftSettings: strict),
        .testTarget(name: "TermspanEventsTests", dependencies: ["TermspanEvents"], swiftSettings: strict),
        .testTarget(
            name: "TermspanCollectorTests",
            dependencies: [
                "CTermspanLinux", "TermspanCollector", "TermspanBus", "TermspanConfiguration", "TermspanCore", "TermspanEvents",
                "TermspanAccounting", "TermspanRing", "TermspanSessions", "TermspanStore", "TermspanSystem", "BusTesting", "SeededRandom",
                .product(name: "GRDB", package: "GRDB.swift"),
            ], swiftSettings: strict),
        .testTarget(
            name: "TermspanConfigurationTests", dependencies: ["TermspanConfiguration", "TermspanCore", "TermspanSystem", "SeededRandom"],
            swiftSettings: strict),
        .testTarget(
            name: "TermspanAccountingTests", dependencies: ["TermspanAccounting", "TermspanCore", "TermspanEvents", "SeededRandom"],
            swiftSettings: strict),
        .testTarget(
            name: "TermspanControlTests", dependencies: ["TermspanCore", "TermspanSystem", "TermspanControl"], swiftSettings: strict),
        .testTarget(
            name: "TermspanX11Tests",
            dependencies: [
                "CXCB", "TermspanX11", "TermspanControl", "TermspanCore", "TermspanEvents", "TermspanRing", "TermspanSystem",
                "termspan-probe", "confined",
            ],
            exclude: ["allowed-requests.txt"], swiftSettings: strict),
        .executableTarget(name: "confined", dependencies: ["CTermspanProbe"], path: "Tests/Helpers/confined"),
        .testTarget(
            name: "TermspanStoreTests",
            dependencies: [
                "TermspanStore", "TermspanAccounting", "TermspanCore", "TermspanEvents", "SeededRandom", "RecordingVFS",
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            exclude: ["Schemas"], swiftSettings: strict),
        .target(name: "RecordingVFS", path: "Tests/Helpers/RecordingVFS", linkerSettings: [.linkedLibrary("sqlite3")]),
        .testTarget(
            name: "TermspanReportsTests",
            dependencies: [
                "TermspanReports", "TermspanCommands", "TermspanStore", "TermspanAccounting", "TermspanBus", "TermspanCore",
                "TermspanEvents",
                "TermspanSystem", "SeededRandom",
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "TermspanSessionsTests",
            dependencies: [
                "TermspanSessions", "TermspanBus", "TermspanCore", "TermspanSystem", "BusTesting", "SeededRandom", "fake-logind",
            ],
            exclude: ["Recordings"], swiftSettings: strict),
        .testTarget(
            name: "TermspanJournalTests", dependencies: ["TermspanJournal", "TermspanCore", "TermspanSystem"], swiftSettings: strict),
        .testTarget(
            name: "TermspanCommandsTests",
            dependencies: [
                "TermspanCommands", "TermspanBus", "TermspanCore", "TermspanJournal", "BusTesting", "fake-collector", "termspan",
                "termspan-reportd",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "TermspanBusTests", dependencies: ["CSystemd", "TermspanBus", "TermspanCore", "BusTesting"], swiftSettings: strict),
        .target(name: "BusTesting", dependencies: ["TermspanBus"], path: "Tests/Helpers/BusTesting", swiftSettings: strict),
        .executableTarget(
            name: "fake-collector", dependencies: ["TermspanBus", "TermspanCore"], path: "Tests/Helpers/fake-collector",
            swiftSettings: strict),
        .executableTarget(name: "fake-logind", dependencies: ["TermspanBus"], path: "Tests/Helpers/fake-logind", swiftSettings: strict),
    ]
)

// Only these tests and what they need, where `Tests/run` names them for a sanitizer: building all once more takes minutes.
if let tests = Context.environment["TERMSPAN_TESTS"] {
    func dependencies(of target: Target) -> [String] {
        target.dependencies.compactMap { if case .byNameItem(let name, _) = $0 { name } else { nil } }
    }
    var needed: Set<String> = []
    var open = tests.split(separator: ",").map(String.init)
    while let name = open.popLast() {
        guard needed.insert(name).inserted, let target = package.targets.first(where: { $0.name == name }) else { continue }
        open += dependencies(of: target)
    }
    package.targets.removeAll { !needed.contains($0.name) }
    package.products = []
}

if isFuzzing {
    let cFuzz = Target.target(name: "CFuzz", path: "Tests/Fuzz/CFuzz")
    let program = Target.executableTarget(
        name: "termspan-fuzz",
        dependencies: [
            "CFuzz", "CSystemd", "TermspanCore", "TermspanEvents", "TermspanAccounting", "TermspanSystem", "TermspanRing",
            "TermspanControl",
            "TermspanX11", "TermspanBus", "TermspanJournal", "TermspanSessions", "TermspanStore", "TermspanConfiguration",
            "TermspanCollector", "TermspanReports", "TermspanCommands",
        ],
        path: "Tests/Fuzz/termspan-fuzz", swiftSettings: strict,
        linkerSettings: [
            // Two functions of ours come by way of CFuzz. libFuzzer itself, whose place only Tests/Fuzz/run knows, comes without its main().
            .unsafeFlags([
                "-sanitize=address", "-Xlinker", "--wrap=termspan_slot_load", "-Xlinker", "--wrap=termspan_boot_nanoseconds",
            ]),
            .linkedLibrary("stdc++"),
        ])
    package.targets += [cFuzz, program]
}
