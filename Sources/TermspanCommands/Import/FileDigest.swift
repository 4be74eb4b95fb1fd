import CTermspanDigest

/// The SHA-256 (FIPS 180-4) of a file, while it is read: by libcrypto, which is loaded for it, so that no other command waits for that.
package final class FileDigest {
    private let context: OpaquePointer?
    private var isRight: Bool

    package init() {
        context = termspan_digest_begin()
        isRight = context != nil
    }

    deinit { if let context { termspan_digest_free(context) } }

    package func add(_ bytes: [UInt8]) {
        guard let context, isRight else { return }
        isRight = termspan_digest_add(context, bytes, bytes.count) == 0
    }

    /// In hexadecimal digits; the digest is of no use afterwards.
    package func finish() throws(CommandError) -> String {
        try bytes().map { (byte: UInt8) in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }

    /// Its first bytes.
    package static func bytes(of text: String, count: Int) throws(CommandError) -> [UInt8] {
        let digest = FileDigest()
        digest.add(Array(text.utf8))
        return Array(try digest.bytes().prefix(count))
    }

    private func bytes() throws(CommandError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 32)
        guard let context, isRight, termspan_digest_finish(context, &bytes) == 0 else {
            throw CommandError(
                .failure, "libcrypto.so.3 can't be used.", remedy: "Is OpenSSL 3's library installed, as the package termspan asks for it?")
        }
        return bytes
    }
}
