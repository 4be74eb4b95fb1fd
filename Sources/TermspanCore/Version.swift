/// The version of this build, as the newest heading of CHANGELOG.md has it (a test compares them).
package enum Version {
    package static let text = "0.1.0"
}
