// A source of the user database, `silent` in nsswitch.conf(5), that knows nobody's groups and, while the file below is there, doesn't say so.
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <unistd.h>

#define SILENCE "/run/lab-silence"

enum nss_status _nss_silent_initgroups_dyn(const char *user, gid_t group, long *start, long *size, gid_t **groups, long limit, int *error) {
    (void)user, (void)group, (void)start, (void)size, (void)groups, (void)limit;
    while (access(SILENCE, F_OK) == 0) usleep(50000);
    *error = ENOENT;
    return NSS_STATUS_NOTFOUND;
}
