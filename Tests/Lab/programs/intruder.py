"""Tries, as the user that runs it, all that could reach another process: prints as JSON what became of each attempt.

usage: intruder.py attack PID...      what came of each attempt on each process: "" it worked, else the error's name
       intruder.py control            the same on a child of our own, where all of it works
       intruder.py files PATH...      the same of reading, changing and removing files and folders

It needs nothing but Python and the C library.
"""

import ctypes
import errno
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
TKILL, KCMP = {"x86_64": (200, 312), "aarch64": (130, 272)}[platform.machine()]
PIDFD_GETFD = 438
PTRACE_ATTACH, PTRACE_DETACH, PTRACE_SEIZE = 16, 17, 0x4206
KCMP_VM = 1
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
libc.syscall.restype = ctypes.c_long


class Region(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def call(number, *arguments):
    return check(libc.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments)))


def attach(pid):
    check(libc.ptrace(PTRACE_ATTACH, pid, None, None))
    os.waitpid(pid, 0x40000000)  # __WALL
    check(libc.ptrace(PTRACE_DETACH, pid, None, None))


def seize(pid):
    check(libc.ptrace(PTRACE_SEIZE, pid, None, None))
    # Not detached: only a stopped one can be. It ends with us.


def memory(function, pid):
    # Where a program that is not position-independent begins; the interpreter's own place is told by our child.
    place = ADDRESS.get(pid, 0x400000)
    bytes_here = ctypes.create_string_buffer(8)
    here, there = Region(ctypes.addressof(bytes_here), 8), Region(place, 8)
    check(function(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0))


def open_and_close(path, flags=os.O_RDONLY):
    os.close(os.open(path, flags | os.O_NONBLOCK))


def every(pid, what):
    """Opens what a folder of the process would have; the first that opens is enough."""
    error = None
    for number in range(64):
        try:
            return open_and_close(f"/proc/{pid}/{what}/{number}", os.O_RDWR if what == "fd" else os.O_RDONLY)
        except OSError as refused:
            if refused.errno != errno.ENOENT:
                error = refused
            error = error or refused
    raise error


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def pidfd(pid, use):
    descriptor = os.pidfd_open(pid)
    try:
        use(descriptor)
    finally:
        os.close(descriptor)


def strace(pid):
    with subprocess.Popen(["strace", "-q", "-o", "/dev/null", "-p", str(pid)], stderr=subprocess.PIPE, text=True) as process:
        try:
            said = process.communicate(timeout=0.7)[1]
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.communicate()
            return
    raise OSError(errno.EPERM if "Operation not permitted" in said else errno.EIO, said)


def same_nice(pid):
    os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid))


ATTEMPTS = {
    # Tracing and reading memory.
    "ptrace attach": attach,
    "process_vm_readv": lambda pid: memory(libc.process_vm_readv, pid),
    "process_vm_writev": lambda pid: memory(libc.process_vm_writev, pid),
    "kcmp": lambda pid: call(KCMP, pid, os.getpid(), KCMP_VM, 0, 0),
    "strace": strace,
    # Signals, by all the calls that send one. SIGCONT and 0 do no harm where they are let through.
    "kill 0": lambda pid: os.kill(pid, 0),
    "kill CONT": lambda pid: os.kill(pid, signal.SIGCONT),
    "tkill": lambda pid: call(TKILL, pid, 0),
    "tgkill": lambda pid: check(libc.tgkill(pid, pid, 0)),
    "pidfd_send_signal": lambda pid: pidfd(pid, lambda fd: signal.pidfd_send_signal(fd, 0)),
    "sigqueue": lambda pid: check(libc.sigqueue(pid, 0, None)),
    # Descriptors: what opens a lane.
    "pidfd_getfd": lambda pid: pidfd(pid, lambda fd: os.close(call(PIDFD_GETFD, fd, 0, 0))),
    "list fd": lambda pid: os.listdir(f"/proc/{pid}/fd"),
    "open fd": lambda pid: every(pid, "fd"),
    "read fdinfo": lambda pid: every(pid, "fdinfo"),
    "list map_files": lambda pid: os.listdir(f"/proc/{pid}/map_files"),
    # Its settings.
    "prlimit": lambda pid: resource.prlimit(pid, resource.RLIMIT_CORE, resource.prlimit(pid, resource.RLIMIT_CORE)),
    "affinity": lambda pid: os.sched_setaffinity(pid, os.sched_getaffinity(pid)),
    "priority": same_nice,
    "write oom_score_adj": lambda pid: write(f"/proc/{pid}/oom_score_adj", "900"),
    "write coredump_filter": lambda pid: write(f"/proc/{pid}/coredump_filter", "0xff"),
    "write clear_refs": lambda pid: write(f"/proc/{pid}/clear_refs", "1"),
    "write mem": lambda pid: open_and_close(f"/proc/{pid}/mem", os.O_RDWR),
}
for _name in ("mem", "environ", "maps", "smaps", "smaps_rollup", "pagemap", "auxv", "syscall", "personality", "io"):
    ATTEMPTS["read " + _name] = lambda pid, name=_name: open(f"/proc/{pid}/{name}", "rb").read(0 if name in ("mem", "pagemap") else 64)
for _name in ("exe", "cwd", "root", "ns/mnt", "ns/net", "ns/user"):
    ATTEMPTS["link " + _name] = lambda pid, name=_name: os.readlink(f"/proc/{pid}/{name}")
    ATTEMPTS["through " + _name] = lambda pid, name=_name: open_and_close(f"/proc/{pid}/{name}")
# The two that end or hold what they reach come last.
ATTEMPTS["ptrace seize"] = seize
ATTEMPTS["kill KILL"] = lambda pid: os.kill(pid, signal.SIGKILL)
# Where our child has eight bytes to read, by pid.
ADDRESS = {}


def outcome(attempt, *arguments):
    try:
        attempt(*arguments)
        return ""
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def attack(pid):
    """Each attempt on the process and, where that makes a difference, on each of its threads."""
    results = {name: outcome(attempt, pid) for name, attempt in ATTEMPTS.items()}
    threads = [int(name) for name in os.listdir(f"/proc/{pid}/task")] if os.path.exists(f"/proc/{pid}/task") else []
    for thread in threads:
        results[f"thread {thread}: tkill"] = outcome(call, TKILL, thread, 0)
        results[f"thread {thread}: mem"] = outcome(open_and_close, f"/proc/{pid}/task/{thread}/mem")
        results[f"thread {thread}: fd"] = outcome(os.listdir, f"/proc/{pid}/task/{thread}/fd")
        results[f"thread {thread}: ptrace"] = outcome(attach, thread)
    return results


def control():
    """The attempts on a child that holds a memory file open, as the collector holds lanes."""
    results = {}
    for name, attempt in ATTEMPTS.items():
        place = ctypes.create_string_buffer(8192)
        lane = os.memfd_create("lane")
        child = os.fork()
        if child == 0:
            os.dup2(lane, 0)
            time.sleep(30)
            os._exit(0)
        ADDRESS[child] = ctypes.addressof(place) + 4096
        results[name] = outcome(attempt, child)
        os.close(lane)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0x40000000)
    return results


def files(paths):
    """Of each path: what came of reading it, of opening it to change it, of removing it."""
    results = {}
    for path in paths:
        if os.path.isdir(path):
            results[path] = {"read": outcome(os.listdir, path), "change": outcome(create_in, path), "move": outcome(os.rename, path, path + "-moved")}
        else:
            results[path] = {"read": outcome(open_and_close, path), "change": outcome(open_and_close, path, os.O_RDWR),
                             "move": outcome(os.rename, path, path + "-moved")}
    return results


def create_in(folder):
    path = os.path.join(folder, "intruder")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    os.unlink(path)


def main():
    kind, arguments = sys.argv[1], sys.argv[2:]
    if kind == "attack":
        result = {pid: attack(int(pid)) for pid in arguments}
    elif kind == "control":
        result = control()
    else:
        result = files(arguments)
    print(json.dumps(result))


main()
