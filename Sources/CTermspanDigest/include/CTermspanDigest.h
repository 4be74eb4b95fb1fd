// SHA-256 by libcrypto (OpenSSL 3), which is loaded when the first digest is begun: a program that digests nothing does not
// wait for it. CTermspanCrypto, which the services have, is linked with it.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct evp_md_ctx_st;

/// A digest of nothing yet, to be given to `termspan_digest_free`; null where libcrypto can't be had.
struct evp_md_ctx_st *_Nullable termspan_digest_begin(void);

/// 0, or -1 where libcrypto refuses.
int termspan_digest_add(struct evp_md_ctx_st *_Nonnull digest, const void *_Nullable bytes, size_t length);

/// Writes 32 bytes, after which the digest is of no use; 0, or -1 where libcrypto refuses.
int termspan_digest_finish(struct evp_md_ctx_st *_Nonnull digest, uint8_t *_Nonnull bytes);

void termspan_digest_free(struct evp_md_ctx_st *_Nonnull digest);
