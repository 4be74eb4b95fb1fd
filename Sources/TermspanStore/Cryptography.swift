internal import CTermspanCrypto
import TermspanCore

// libcrypto's algorithms as values. That an algorithm is missing is a broken installation: nothing that the store does would hold then.

/// SHA-256 (FIPS 180-4).
enum SHA256 {
    /// The 32 bytes of the digest.
    static func digest(_ message: some Collection<UInt8>) -> [UInt8] {
        let bytes = Array(message)
        return [UInt8](unsafeUninitializedCapacity: 32) { digest, count in
            guard let start = digest.baseAddress, termspan_sha256(bytes, bytes.count, start) == 0 else {
                preconditionFailure("libcrypto has no SHA-256")
            }
            count = 32
        }
    }

    /// The digest in hexadecimal digits.
    static func hexadecimalDigest(_ message: some Collection<UInt8>) -> String { hexadecimal(digest(message)) }

    /// Likewise of bytes that are not copied, since they may be a whole file's.
    static func hexadecimalDigest(of message: UnsafeRawBufferPointer) -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        guard termspan_sha256(message.baseAddress, message.count, &digest) == 0 else { preconditionFailure("libcrypto has no SHA-256") }
        return hexadecimal(digest)
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { byte in
            let digits = String(byte, radix: 16)
            return digits.utf8.count == 1 ? "0" + digits : digits
        }.joined()
    }
}

/// 256 bits that must not get out; what prints it prints nothing of them.
package struct SecretKey: Equatable, Sendable {
    package static let length = 32
    let bytes: [UInt8]

    /// Nil for any other count than 32.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == Self.length else { return nil }
        self.bytes = Array(bytes)
    }

    /// A new one: of getrandom(2).
    package init() {
        bytes = Self.random(Self.length)
    }

    /// One for another purpose, of this one: to have it tells nothing of `key`.
    init(authenticating purpose: String, under key: SecretKey) { bytes = key.authenticationCode(of: Array(purpose.utf8)) }

    /// HMAC-SHA-256 (RFC 2104) of a message under this key: 32 bytes.
    package func authenticationCode(of message: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 32) { code, count in
            guard let start = code.baseAddress, termspan_hmac_sha256(bytes, message, message.count, start) == 0 else {
                preconditionFailure("libcrypto has no HMAC")
            }
            count = 32
        }
    }

    /// What sealing adds: a nonce before and a tag behind.
    static let overhead = nonceLength + tagLength
    private static let nonceLength = 12
    private static let tagLength = 16

    /// Encrypts with AES-256-GCM (NIST SP 800-38D) under a random nonce: nonce, as many bytes as `plain` has, tag.
    ///
    /// - Parameter context: not encrypted and not in the result, but without it the result can't be opened.
    func seal(_ plain: [UInt8], context: [UInt8]) -> [UInt8] {
        let nonce = Self.random(Self.nonceLength)
        var tag = [UInt8](repeating: 0, count: Self.tagLength)
        let sealed = [UInt8](unsafeUninitializedCapacity: plain.count) { sealed, count in
            guard termspan_seal(bytes, nonce, context, context.count, plain, plain.count, sealed.baseAddress, &tag) == 0 else {
                preconditionFailure("libcrypto can't encrypt with AES-256-GCM")
            }
            count = plain.count
        }
        return nonce + sealed + tag
    }

    /// Decrypts what `seal` gave; nil where it was another key or context, or the bytes were changed.
    func open(_ sealed: some Collection<UInt8>, context: [UInt8]) -> [UInt8]? {
        guard sealed.count >= Self.overhead else { return nil }
        let nonce = Array(sealed.prefix(Self.nonceLength))
        let tag = Array(sealed.suffix(Self.tagLength))
        let middle = Array(sealed.dropFirst(Self.nonceLength).dropLast(Self.tagLength))
        var isDone = false
        let plain = [UInt8](unsafeUninitializedCapacity: middle.count) { plain, count in
            isDone = termspan_unseal(bytes, nonce, context, context.count, middle, middle.count, tag, plain.baseAddress) == 0
            count = isDone ? middle.count : 0
        }
        return isDone ? plain : nil
    }

    private static func random(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        var bytes: [UInt8] = []
        while bytes.count < count { withUnsafeBytes(of: generator.next()) { bytes += $0 } }
        return Array(bytes.prefix(count))
    }
}

extension SecretKey: CustomStringConvertible, CustomReflectable {
    package var description: String { "(secret)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

extension Application {
    /// The first 16 bytes of the SHA-256 of "application", executable and class, each ended by NUL; 0xFF stands for one that is not known.
    var key: [UInt8] {
        var bytes = Array("application".utf8) + [0]
        for part in [executable, windowClass] {
            bytes += part.map { Array($0.utf8) } ?? [0xFF]
            bytes.append(0)
        }
        return Array(SHA256.digest(bytes).prefix(16))
    }
}
