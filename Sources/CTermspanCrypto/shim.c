#include "CTermspanCrypto.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <string.h>

// Fetched once: to look them up costs more than what they do. Without libcrypto's configuration file, which would be parsed as root.
static const EVP_CIPHER *cipher;
static const EVP_MD *hash;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fetch(void) {
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    hash = EVP_MD_fetch(NULL, "SHA2-256", NULL);
}

int termspan_sha256(const void *bytes, size_t length, uint8_t *digest) {
    pthread_once(&once, fetch);
    return hash && EVP_Digest(bytes, length, digest, NULL, hash, NULL) == 1 ? 0 : -1;
}

int termspan_hmac_sha256(const uint8_t *key, const void *bytes, size_t length, uint8_t *code) {
    pthread_once(&once, fetch);
    return hash && HMAC(hash, key, 32, bytes, length, code, NULL) ? 0 : -1;
}

int termspan_seal(
    const uint8_t *key, const uint8_t *nonce, const void *context, size_t context_length, const void *plain, size_t length,
    uint8_t *sealed, uint8_t *tag) {
    pthread_once(&once, fetch);
    if (!cipher || length > INT_MAX || context_length > INT_MAX) return -1;
    EVP_CIPHER_CTX *state = EVP_CIPHER_CTX_new();
    int written = 0;
    int isDone = state && EVP_EncryptInit_ex2(state, cipher, key, nonce, NULL) == 1
        && EVP_EncryptUpdate(state, NULL, &written, context, (int)context_length) == 1
        && EVP_EncryptUpdate(state, sealed, &written, plain, (int)length) == 1 && EVP_EncryptFinal_ex(state, sealed, &written) == 1
        && EVP_CIPHER_CTX_ctrl(state, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1;
    EVP_CIPHER_CTX_free(state);
    return isDone ? 0 : -1;
}

int termspan_unseal(
    const uint8_t *key, const uint8_t *nonce, const void *context, size_t context_length, const void *sealed, size_t length,
    const uint8_t *tag, uint8_t *plain) {
    pthread_once(&once, fetch);
    if (!cipher || length > INT_MAX || context_length > INT_MAX) return -1;
    EVP_CIPHER_CTX *state = EVP_CIPHER_CTX_new();
    int written = 0;
    int isDone = state && EVP_DecryptInit_ex2(state, cipher, key, nonce, NULL) == 1
        && EVP_CIPHER_CTX_ctrl(state, EVP_CTRL_AEAD_SET_TAG, 16, (void *)tag) == 1
        && EVP_DecryptUpdate(state, NULL, &written, context, (int)context_length) == 1
        && EVP_DecryptUpdate(state, plain, &written, sealed, (int)length) == 1 && EVP_DecryptFinal_ex(state, plain, &written) == 1;
    EVP_CIPHER_CTX_free(state);
    return isDone ? 0 : -1;
}
