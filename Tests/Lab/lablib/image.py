"""The image that labs are made from: built once for a suite and a recipe, then only read."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from .host import LabError, run
from .sources import sources_for, transport_options

SUITES = ("bookworm", "trixie")
DEFAULT_SUITE = "bookworm"
RECIPE = Path(__file__).resolve().parent.parent / "image"

WEEK = 7 * 24 * 3600

# Changed when this file builds something else from the same recipe.
FORMAT = "1"


def cache_folder():
    return Path(os.environ.get("TERMSPAN_LAB_CACHE") or "/var/cache/termspan-lab")


def packages(file, suite):
    """The packages that a file of the recipe has for a suite."""
    names = []
    for line in (RECIPE / file).read_text().splitlines():
        only, _, name = line.partition("#")[0].strip().rpartition(":")
        if name and only in ("", suite):
            names.append(name)
    return names


class Image:
    """One suite's image."""

    def __init__(self, suite):
        if suite not in SUITES:
            raise LabError(f"no such suite: {suite} (there are {', '.join(SUITES)})")
        self.suite = suite
        self.path = cache_folder() / f"{suite}-{self._key()}"

    def _key(self):
        """Names the image by all that it is made of, so that a changed recipe makes a new one."""
        digest = hashlib.sha256(f"{FORMAT} {self.suite} {' '.join(self.packages())}\n".encode())
        digest.update((RECIPE / "configure").read_bytes())
        return digest.hexdigest()[:12]

    def packages(self):
        """The recipe's packages for this suite."""
        return packages("packages", self.suite)

    def ensure(self, say):
        """Builds the image unless it is there, and returns its folder."""
        if self.path.is_dir():
            os.utime(self.path)
            return self.path
        cache_folder().mkdir(parents=True, exist_ok=True)
        with _locked(cache_folder() / f".{self.path.name}.lock", say):
            if not self.path.is_dir():
                self._build(say)
                self._remove_unused(say)
        return self.path

    def _remove_unused(self, say):
        """Removes this suite's images of other recipes that no lab runs on and none was made from for a week."""
        mounts = Path("/proc/self/mounts").read_text()
        for path in cache_folder().glob(f"{self.suite}-*[0-9a-f]"):
            if path != self.path and path.is_dir() and f"lowerdir={path}," not in mounts and time.time() - path.stat().st_mtime > WEEK:
                say(f"removing {path.name}, unused for a week")
                shutil.rmtree(path)

    def _build(self, say):
        begin = time.monotonic()
        draft = self.path.with_name(f".{self.path.name}.draft")
        log = cache_folder() / f"{self.path.name}.log"
        # Left by a builder that was killed; nothing is mounted there, since mounts are made in a namespace of their own.
        shutil.rmtree(draft, ignore_errors=True)
        sources = sources_for(self.suite)
        with open(log, "w") as output:
            say(f"building the image {self.path.name} (log: {log})")
            say("  1/3 the base system")
            self._step(output, ["debootstrap", "--variant=minbase", self.suite, str(draft), sources[0].uri])
            say(f"  2/3 {len(self.packages())} packages and what they need")
            (draft / "etc/apt/sources.list").write_text("".join(f"{source.line}\n" for source in sources))
            (draft / "etc/apt/apt.conf.d/90machine").write_text(transport_options())
            shutil.copy("/etc/resolv.conf", draft / "etc/resolv.conf")
            policy = draft / "usr/sbin/policy-rc.d"
            policy.write_text("#!/bin/sh\nexit 101\n")  # No service starts in the image.
            policy.chmod(0o755)
            self._inside(output, draft, ["apt-get", "--quiet", "update"])
            self._inside(output, draft, ["apt-get", "--quiet", "--yes", "-o", "Dpkg::Use-Pty=0", "-o", "Dpkg::Options::=--force-unsafe-io",
                                         "install", "--no-install-recommends", *self.packages()])
            say("  3/3 configuration")
            shutil.copy(RECIPE / "configure", draft / "configure")
            self._inside(output, draft, ["/configure"])
            (draft / "configure").unlink()
            policy.unlink()
        draft.rename(self.path)
        say(f"built in {time.monotonic() - begin:.0f} s: {self.path}")

    @staticmethod
    def _step(output, arguments):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
        environment |= {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        output.write(f"+ {' '.join(arguments)}\n")
        output.flush()
        code = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment).returncode
        if code != 0:
            last = run(["tail", "-n", "20", output.name]).stdout
            raise LabError(f"exit code {code}: {' '.join(arguments)}\n{last}")

    def _inside(self, output, root, arguments):
        """Runs a command in the unfinished image, with /proc and /dev that vanish with it."""
        script = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"'
        self._step(output, ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
                            "sh", "-c", script, str(root), *arguments])


@contextmanager
def _locked(path, say):
    """Holds a lock file, and says so when somebody else has it."""
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another builder of the same image")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
