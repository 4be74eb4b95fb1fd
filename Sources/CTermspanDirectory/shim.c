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

enum termspan_sid_answer termspan_sid_by_winbind(uint32_t uid, char *sid, size_t size) {
    // Its folder, of this boot; the socket goes when it is stopped.
    if (!may_answer("/run/samba/winbindd")) return termspan_sid_none;
    void *winbind = library("libwbclient.so.0");
    if (!winbind) return termspan_sid_unknown;
    // A context of its own, so that no connection stays open.
    void *(*create)(void) = (void *(*)(void))dlsym(winbind, "wbcCtxCreate");
    void (*destroy)(void *) = (void (*)(void *))dlsym(winbind, "wbcCtxFree");
    int (*get)(void *, uid_t, struct binary_sid *) = (int (*)(void *, uid_t, struct binary_sid *))dlsym(winbind, "wbcCtxUidToSid");
    int (*print)(const struct binary_sid *, char *, int) = (int (*)(const struct binary_sid *, char *, int))dlsym(winbind, "wbcSidToStringBuf");
    if (!create || !destroy || !get || !print) return termspan_sid_unknown;
    void *context = create();
    if (!context) return termspan_sid_unknown;
    struct binary_sid binary;
    memset(&binary, 0, sizeof binary);
    // WBC_ERR_DOMAIN_NOT_FOUND is what it makes of 'no such mapping'.
    enum { success = 0, not_found = 7 };
    int error = get(context, uid, &binary);
    destroy(context);
    if (error == not_found) return termspan_sid_none;
    if (error != success) return termspan_sid_unknown;
    char text[200];
    int length = print(&binary, text, sizeof text);
    return length > 0 && (size_t)length < sizeof text ? copy(text, sid, size) : termspan_sid_unknown;
}

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

enum termspan_sid_answer termspan_domain_by_winbind(uint32_t uid, char *domain, size_t size) {
    if (!may_answer("/run/samba/winbindd")) return termspan_sid_none;
    void *winbind = library("libwbclient.so.0");
    if (!winbind) return termspan_sid_unknown;
    void *(*create)(void) = (void *(*)(void))dlsym(winbind, "wbcCtxCreate");
    void (*destroy)(void *) = (void (*)(void *))dlsym(winbind, "wbcCtxFree");
    int (*get)(void *, uid_t, struct binary_sid *) = (int (*)(void *, uid_t, struct binary_sid *))dlsym(winbind, "wbcCtxUidToSid");
    int (*look_up)(void *, const struct binary_sid *, char **, char **, int *) =
        (int (*)(void *, const struct binary_sid *, char **, char **, int *))dlsym(winbind, "wbcCtxLookupSid");
    void (*release)(void *) = (void (*)(void *))dlsym(winbind, "wbcFreeMemory");
    if (!create || !destroy || !get || !look_up || !release) return termspan_sid_unknown;
    void *context = create();
    if (!context) return termspan_sid_unknown;
    enum { success = 0, not_found = 7 };
    struct binary_sid binary;
    memset(&binary, 0, sizeof binary);
    int error = get(context, uid, &binary);
    // S-1-5-21-...: what else there is, as S-1-22-1-UID, is no domain's.
    int is_of_domain = error == success && binary.authority[5] == 5 && binary.count > 1 && binary.subauthorities[0] == 21;
    char *short_name = NULL, *name = NULL;
    int type = 0;
    if (is_of_domain) error = look_up(context, &binary, &short_name, &name, &type);
    destroy(context);
    enum termspan_sid_answer answer = termspan_sid_unknown;
    if (error == not_found || (error == success && !is_of_domain)) answer = termspan_sid_none;
    if (error == success && is_of_domain && short_name) answer = copy(short_name, domain, size);
    if (short_name) release(short_name);
    if (name) release(name);
    return answer;
}
