// What the store needs of libcrypto (OpenSSL 3), without its structures. Every symbol is prefixed termspan_; a call returns 0, or -1 where
// libcrypto refuses.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// SHA-256 (FIPS 180-4): 32 bytes.
int termspan_sha256(const void *_Nullable bytes, size_t length, uint8_t *_Nonnull digest);

/// HMAC-SHA-256 (RFC 2104) under 32 bytes: 32 bytes.
int termspan_hmac_sha256(const uint8_t *_Nonnull key, const void *_Nullable bytes, size_t length, uint8_t *_Nonnull code);

/// AES-256-GCM (NIST SP 800-38D) with a nonce of 12 bytes: writes as many bytes as it reads, and a tag of 16.
int termspan_seal(
    const uint8_t *_Nonnull key, const uint8_t *_Nonnull nonce, const void *_Nullable context, size_t context_length,
    const void *_Nullable plain, size_t length, uint8_t *_Nullable sealed, uint8_t *_Nonnull tag);

/// The reverse; -1 also where the bytes, their context or the key are not those that were sealed, and then `plain` means nothing.
int termspan_unseal(
    const uint8_t *_Nonnull key, const uint8_t *_Nonnull nonce, const void *_Nullable context, size_t context_length,
    const void *_Nullable sealed, size_t length, const uint8_t *_Nonnull tag, uint8_t *_Nullable plain);
