#include "CTermspanDigest.h"

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>

// What is used of it, each of the type that its header says.
static __typeof__(EVP_MD_CTX_new) *create;
static __typeof__(EVP_MD_CTX_free) *discard;
static __typeof__(EVP_DigestInit_ex2) *begin;
static __typeof__(EVP_DigestUpdate) *update;
static __typeof__(EVP_DigestFinal_ex) *final;
static EVP_MD *hash;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/// It stays open. Without its configuration file, as everywhere.
static void load(void) {
    void *library = dlopen("libcrypto.so.3", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) return;
    __typeof__(OPENSSL_init_crypto) *initialize = (__typeof__(OPENSSL_init_crypto) *)dlsym(library, "OPENSSL_init_crypto");
    __typeof__(EVP_MD_fetch) *fetch = (__typeof__(EVP_MD_fetch) *)dlsym(library, "EVP_MD_fetch");
    create = (__typeof__(create))dlsym(library, "EVP_MD_CTX_new");
    discard = (__typeof__(discard))dlsym(library, "EVP_MD_CTX_free");
    begin = (__typeof__(begin))dlsym(library, "EVP_DigestInit_ex2");
    update = (__typeof__(update))dlsym(library, "EVP_DigestUpdate");
    final = (__typeof__(final))dlsym(library, "EVP_DigestFinal_ex");
    if (!initialize || !fetch || !create || !discard || !begin || !update || !final) return;
    initialize(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    hash = fetch(NULL, "SHA2-256", NULL);
}

EVP_MD_CTX *termspan_digest_begin(void) {
    pthread_once(&once, load);
    EVP_MD_CTX *digest = hash ? create() : NULL;
    if (!digest || begin(digest, hash, NULL) == 1) return digest;
    discard(digest);
    return NULL;
}

int termspan_digest_add(EVP_MD_CTX *digest, const void *bytes, size_t length) { return update(digest, bytes, length) == 1 ? 0 : -1; }

int termspan_digest_finish(EVP_MD_CTX *digest, uint8_t *bytes) { return final(digest, bytes, NULL) == 1 ? 0 : -1; }

void termspan_digest_free(EVP_MD_CTX *digest) { discard(digest); }
