// What the daemons of directories say of users, by their own libraries, which are opened when they are asked and need not be there.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// What a daemon said.
enum termspan_sid_answer {
    /// The user has the SID.
    termspan_sid_known,
    /// The daemon knows of no SID of the user's, or there is no such daemon on this machine.
    termspan_sid_none,
    /// It is silent or stopped, or can't say.
    termspan_sid_unknown,
};

/// Asks SSSD (libsss_nss_idmap) for the SID of a UID, as text; waits for `milliseconds` at most.
enum termspan_sid_answer termspan_sid_by_sssd(uint32_t uid, unsigned int milliseconds, char *_Nonnull sid, size_t size);

/// Asks winbind (libwbclient) likewise. Of users that are no directory's it makes one of the UID: S-1-22-1-UID. Its library knows no bound and
/// gives a daemon that is silent up some minutes later.
enum termspan_sid_answer termspan_sid_by_winbind(uint32_t uid, char *_Nonnull sid, size_t size);

/// Asks SSSD for the domain that a UID's account is in, which it knows of accounts with a SID; waits for `milliseconds` at most.
enum termspan_sid_answer termspan_domain_by_sssd(uint32_t uid, unsigned int milliseconds, char *_Nonnull domain, size_t size);

/// Asks winbind for the short name of the domain that the user of a UID is of. Users that are no directory's have none. Without a bound, too.
enum termspan_sid_answer termspan_domain_by_winbind(uint32_t uid, char *_Nonnull domain, size_t size);
