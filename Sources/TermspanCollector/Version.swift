/// The version of this build; the package's changelog has the same, as a test shows.
package enum Version {
    package static let text = "0.1.0"
}
