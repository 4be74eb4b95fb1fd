"""Makes a process of a user's that has a certain pid, which must be free, and sleeps for a minute: clone3(2) with set_tid.

usage: take_pid.py PID UID     as root; prints 'taken' once it is there
"""

import ctypes
import os
import signal
import struct
import sys

CLONE3 = 435


def main():
    pid, uid = map(int, sys.argv[1:])
    wanted = (ctypes.c_int * 1)(pid)
    # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup.
    arguments = ctypes.create_string_buffer(struct.pack("<11Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(wanted), 1, 0))
    child = ctypes.CDLL(None, use_errno=True).syscall(CLONE3, arguments, 88)
    if child < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    if child == 0:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        for descriptor in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
        os.execvp("sleep", ["sleep", "60"])
    print("taken" if child == pid else f"it got {child}")


main()
