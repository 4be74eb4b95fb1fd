import Glibc

/// What follows an option on this program's command line; nil where it isn't given.
package func option(_ name: String) -> String? {
    guard let index = CommandLine.arguments.firstIndex(of: name), index + 1 < CommandLine.arguments.count else { return nil }
    return CommandLine.arguments[index + 1]
}

/// A number above 0 that follows an option.
package func number(_ name: String, _ otherwise: Int) -> Int {
    guard let text = option(name), let value = Int(text), value > 0 else { return otherwise }
    return value
}

/// Lets this process have as many descriptors as it may.
package func raiseDescriptorLimit() {
    var limits = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits) == 0 else { return }
    limits.rlim_cur = limits.rlim_max
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
}
