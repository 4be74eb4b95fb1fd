import CTermspanLinux
import Glibc

/// Runs `body` on this thread with the *effective* ids of another user.
///
/// Only the calling thread changes, by the raw system calls (glibc's wrappers change every thread). The real and the saved ids stay as they are:
/// with real ids changed that user could signal the process (kill(2)). Files that `body` makes belong to the user, and every
/// permission is checked as the user's; threads that `body` starts inherit the ids, so it must not start any.
///
/// If the caller has both ids already, nothing changes, the groups included.
///
/// - Parameters:
///   - groups: The supplementary groups during the call; none by default.
/// - Throws: EPERM: the process lacks CAP_SETUID or CAP_SETGID. What `body` throws passes through.
/// - Important: If the ids can't be restored the process aborts: to go on as the wrong user is worse.
package func actingAs<Result: ~Copyable>(
    uid: UInt32, gid: UInt32, groups: [UInt32] = [], _ body: () throws(SystemError) -> Result
) throws(SystemError) -> Result {
    let ownUID = geteuid()
    let ownGID = getegid()
    if uid == ownUID && gid == ownGID { return try body() }
    // (uid_t)-1 means 'leave as it is' to the kernel: that would run as ourselves.
    guard uid != .max, gid != .max else { throw SystemError(code: EINVAL, operation: "setresuid") }

    let count = try check(termspan_thread_get_groups(0, nil), "getgroups")
    var ownGroups = [gid_t](repeating: 0, count: Int(count))
    unsafe try check(termspan_thread_get_groups(count, &ownGroups), "getgroups")

    unsafe try check(termspan_thread_set_groups(Int32(clamping: groups.count), groups), "setgroups")
    // The uid last on the way there and first on the way back: without it there is no right to change the others.
    let gidResult = termspan_thread_set_effective_gid(gid)
    if gidResult < 0 {
        restore(uid: ownUID, gid: ownGID, groups: ownGroups)
        throw SystemError(code: 0 - gidResult, operation: "setresgid")
    }
    let uidResult = termspan_thread_set_effective_uid(uid)
    if uidResult < 0 {
        restore(uid: ownUID, gid: ownGID, groups: ownGroups)
        throw SystemError(code: 0 - uidResult, operation: "setresuid")
    }
    defer { restore(uid: ownUID, gid: ownGID, groups: ownGroups) }
    return try body()
}

private func restore(uid: uid_t, gid: gid_t, groups: [gid_t]) {
    guard termspan_thread_set_effective_uid(uid) >= 0,
        termspan_thread_set_effective_gid(gid) >= 0,
        unsafe termspan_thread_set_groups(Int32(clamping: groups.count), groups) >= 0,
        geteuid() == uid, getegid() == gid
    else {
        abort()
    }
}
