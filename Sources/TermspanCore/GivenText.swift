/// Text that people give for others to read: why something is decided, who answers for it, what a group is called.
package enum GivenText {
    /// Whether it is shown as it stands on one line: without what moves the cursor, turns the direction of what follows, or is not seen. What joins
    /// and parts letters, as Persian has it, is a part of words.
    package static func isPlain(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .control, .lineSeparator, .paragraphSeparator: false
            case .format: scalar == "\u{200C}" || scalar == "\u{200D}"
            default: true
            }
        }
    }

    /// Whether nobody could learn anything from it: it has no letter and no digit that is seen.
    package static func saysNothing(_ text: String) -> Bool {
        !text.unicodeScalars.contains { scalar in
            let properties = scalar.properties
            return (properties.isAlphabetic || properties.numericType != nil) && !properties.isDefaultIgnorableCodePoint
        }
    }
}
