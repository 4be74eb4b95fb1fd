"""Runs a command as on Linux 6.1, the kernel of Debian 12: what came later is refused as that kernel would refuse it.

    python3 old_kernel.py COMMAND [ARGUMENT...]

A seccomp filter, inherited by all that the command starts:
- system calls above 6.1's last (450) answer ENOSYS;
- the socket options SO_PASSPIDFD and SO_PEERPIDFD (6.5) answer ENOPROTOOPT;
- ioctls on pidfds (6.13, 'magic' 0xFF) answer ENOTTY.
What else a newer kernel does differently stays: new flags of old calls, new files in /proc and /sys.
"""

import ctypes
import errno
import os
import struct
import sys

LAST_SYSTEM_CALL = 450  # set_mempolicy_home_node; the same number on every architecture since 424 or so.
SOL_SOCKET = 1
PIDFD_OPTIONS = (76, 77)
PIDFD_IOCTL_MAGIC = 0xFF

# The few numbers that depend on the architecture: setsockopt, getsockopt, ioctl.
OLDER_CALLS = {"x86_64": (54, 55, 16), "aarch64": (208, 209, 29)}

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
ALLOW, FAIL = 0x7FFF0000, 0x00050000
LOAD, EQUAL, GREATER, AND, RETURN = 0x20, 0x15, 0x25, 0x54, 0x06
NUMBER, FIRST, SECOND, THIRD = 0, 16, 24, 32  # Offsets in struct seccomp_data: the call and the low halves of its arguments.


def program(machine):
    """The filter, as pairs of what to do and where to go on by name."""
    setsockopt, getsockopt, ioctl = OLDER_CALLS[machine]
    lines = [
        (None, LOAD, NUMBER),
        (None, GREATER, LAST_SYSTEM_CALL, "unknown", None),
        (None, EQUAL, setsockopt, "option", None),
        (None, EQUAL, getsockopt, "option", None),
        (None, EQUAL, ioctl, "ioctl", "allow"),
        ("ioctl", LOAD, SECOND),
        (None, AND, 0xFF00),
        (None, EQUAL, PIDFD_IOCTL_MAGIC << 8, "untyped", "allow"),
        ("option", LOAD, SECOND),
        (None, EQUAL, SOL_SOCKET, None, "allow"),
        (None, LOAD, THIRD),
        (None, EQUAL, PIDFD_OPTIONS[0], "unoptioned", None),
        (None, EQUAL, PIDFD_OPTIONS[1], "unoptioned", "allow"),
        ("unknown", RETURN, FAIL | errno.ENOSYS),
        ("untyped", RETURN, FAIL | errno.ENOTTY),
        ("unoptioned", RETURN, FAIL | errno.ENOPROTOOPT),
        ("allow", RETURN, ALLOW),
    ]
    labels = {line[0]: index for index, line in enumerate(lines) if line[0]}
    code = b""
    for index, (_, operation, operand, *targets) in enumerate(lines):
        jumps = [labels[target] - index - 1 if target else 0 for target in targets] or [0, 0]
        code += struct.pack("=HBBI", operation, *jumps, operand)
    return code


def install():
    """Puts the filter on this process. It needs CAP_SYS_ADMIN, since it must not set no_new_privs on what it starts."""
    machine = os.uname().machine
    if machine not in OLDER_CALLS:
        raise SystemExit(f"old_kernel: the system calls of {machine} are not listed")
    code = program(machine)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    whole = Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(whole), 0, 0) != 0:
        raise SystemExit(f"old_kernel: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    install()
    os.execvp(sys.argv[1], sys.argv[1:])
