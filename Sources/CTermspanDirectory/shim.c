#include "CTermspanDirectory.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/// Whether a daemon is there or has been, by what it leaves when it is stopped. What can't be looked at may be there.
static int may_answer(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

/// Whether somebody takes connections there now.
static int listens(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connection < 0) return 0;
    int error = connect(connection, (struct sockaddr *)&address, sizeof address);
    close(connection);
    return error == 0;
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/// A library that stays open from then on; null where there is none. What it needs besides is its package's concern.
static void *library(const char *name) { return dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE); }

static enum termspan_sid_answer copy(const char *text, char *sid, size_t size) {
    size_t length = strlen(text);
    if (length >= size) return termspan_sid_unknown;
    memcpy(sid, text, length + 1);
    return termspan_sid_known;
}

// Declared here as the libraries' headers do (sss_nss_idmap.h, wbclient.h), which to build needs neither.

enum termspan_sid_answer termspan_sid_by_sssd(uint32_t uid, unsigned int milliseconds, char *sid, size_t size) {
    // It stays when SSSD is stopped; the folder comes with the package.
    const char *socket = "/var/lib/sss/pipes/nss";
    if (!may_answer(socket)) return termspan_sid_none;
    void *sssd = library("libsss_nss_idmap.so.0");
    if (!sssd) return termspan_sid_unknown;
    typedef int lookup(uint32_t uid, unsigned int timeout, char **sid, int *type);
    lookup *get = (lookup *)dlsym(sssd, "sss_nss_getsidbyuid_timeout");
    // SSSD 2.0 and older, where a group may have the number.
    if (!get) get = (lookup *)dlsym(sssd, "sss_nss_getsidbyid_timeout");
    if (!get) return termspan_sid_unknown;
    char *text = NULL;
    int type = 0;
    uint64_t begin = now();
    int error = get(uid, milliseconds, &text, &type);
    // Of an SSSD that is stopped, or was silent to the end, its library says that it has no such user.
    int has_said = error == ENOENT && now() - begin < milliseconds && listens(socket);
    enum termspan_sid_answer answer = has_said ? termspan_sid_none : termspan_sid_unknown;
    // SSS_ID_TYPE_GID is what a group's is of.
    enum { group = 2 };
    if (error == 0 && text) answer = type == group ? termspan_sid_none : copy(text, sid, size);
    free(text);
    return answer;
}

// struct wbcDomainSid.
struct binary_sid {
    uint8_t revision, count, authority[6];
    uint32_t subauthorities[15];
};

// WBC_ERR_DOMAIN_NOT_FOUND is what it makes of 'no such mapping'.
enum { success = 0, not_found = 7 };

/// Asks winbind for the SID of a UID in a context of its own, so that no connection stays open, and has `use` make an answer of it, if there is one.
static enum termspan_sid_answer with_winbind(
    uint32_t uid, enum termspan_sid_answer (*use)(void *library, void *context, const struct binary_sid *sid, char *text, size_t size),
    char *text, size_t size) {
    // Its folder, of this boot; the socket goes when it is stopped.
    if (!may_answer("/run/samba/winbindd")) return termspan_sid_none;
    void *winbind = library("libwbclient.so.0");
    if (!winbind) return termspan_sid_unknown;
    void *(*create)(void) = (void *(*)(void))dlsym(winbind, "wbcCtxCreate");
    void (*destroy)(void *) = (void (*)(void *))dlsym(winbind, "wbcCtxFree");
    int (*get)(void *, uid_t, struct binary_sid *) = (int (*)(void *, uid_t, struct binary_sid *))dlsym(winbind, "wbcCtxUidToSid");
    if (!create || !destroy || !get) return termspan_sid_unknown;
    void *context = create();
    if (!context) return termspan_sid_unknown;
    struct binary_sid sid;
    memset(&sid, 0, sizeof sid);
    int error = get(context, uid, &sid);
    enum termspan_sid_answer answer = error == not_found ? termspan_sid_none : termspan_sid_unknown;
    if (error == success) answer = use(winbind, context, &sid, text, size);
    destroy(context);
    return answer;
}

static enum termspan_sid_answer print_sid(void *winbind, void *context, const struct binary_sid *sid, char *text, size_t size) {
    (void)context;
    int (*print)(const struct binary_sid *, char *, int) = (int (*)(const struct binary_sid *, char *, int))dlsym(winbind, "wbcSidToStringBuf");
    if (!print) return termspan_sid_unknown;
    char printed[200];
    int length = print(sid, printed, sizeof printed);
    return length > 0 && (size_t)length < sizeof printed ? copy(printed, text, size) : termspan_sid_unknown;
}

enum termspan_sid_answer termspan_sid_by_winbind(uint32_t uid, char *sid, size_t size) { return with_winbind(uid, print_sid, sid, size); }

enum termspan_sid_answer termspan_domain_by_sssd(uint32_t uid, unsigned int milliseconds, char *domain, size_t size) {
    char sid[200];
    enum termspan_sid_answer answer = termspan_sid_by_sssd(uid, milliseconds, sid, sizeof sid);
    if (answer != termspan_sid_known) return answer;
    void *sssd = library("libsss_nss_idmap.so.0");
    typedef int lookup(const char *sid, unsigned int timeout, char **name, int *type);
    lookup *get = sssd ? (lookup *)dlsym(sssd, "sss_nss_getnamebysid_timeout") : NULL;
    if (!get) return termspan_sid_unknown;
    char *name = NULL;
    int type = 0;
    answer = termspan_sid_unknown;
    if (get(sid, milliseconds, &name, &type) == 0 && name) {
        // Qualified, however logins are: name@domain.
        const char *at = strrchr(name, '@');
        if (at && at[1]) answer = copy(at + 1, domain, size);
    }
    free(name);
    return answer;
}

static enum termspan_sid_answer look_up_domain(void *winbind, void *context, const struct binary_sid *sid, char *text, size_t size) {
    // S-1-5-21-...: what else there is, as S-1-22-1-UID, is no domain's.
    if (sid->authority[5] != 5 || sid->count < 2 || sid->subauthorities[0] != 21) return termspan_sid_none;
    int (*look_up)(void *, const struct binary_sid *, char **, char **, int *) =
        (int (*)(void *, const struct binary_sid *, char **, char **, int *))dlsym(winbind, "wbcCtxLookupSid");
    void (*release)(void *) = (void (*)(void *))dlsym(winbind, "wbcFreeMemory");
    if (!look_up || !release) return termspan_sid_unknown;
    char *domain = NULL, *name = NULL;
    int type = 0;
    int error = look_up(context, sid, &domain, &name, &type);
    enum termspan_sid_answer answer = error == not_found ? termspan_sid_none : termspan_sid_unknown;
    if (error == success && domain) answer = copy(domain, text, size);
    if (domain) release(domain);
    if (name) release(name);
    return answer;
}

enum termspan_sid_answer termspan_domain_by_winbind(uint32_t uid, char *domain, size_t size) {
    return with_winbind(uid, look_up_domain, domain, size);
}
