"""A disk that can be made ill: a folder of a lab behind a FUSE program that stalls, is full, is read-only or fails when it is told to."""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .host import LabError, install_packages, run, start_detached, tail, update_packages, wait_until

SOURCE = Path(__file__).resolve().parent.parent / "programs" / "sick_disk.c"
WELL, STALLED, FULL, READ_ONLY, FAILING = "osfre"


@functools.cache
def program():
    """The program, compiled here; what that needs and the machine lacks is installed by apt."""
    if not all(map(shutil.which, ("gcc", "pkg-config"))) or run(["pkg-config", "--exists", "fuse3"], check=False).returncode != 0:
        update_packages()
        install_packages("gcc", "libc6-dev", "pkg-config", "libfuse3-dev")
    folder = tempfile.mkdtemp(prefix="termspan-sick-disk-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = Path(folder) / "sick_disk"
    flags = run(["pkg-config", "--cflags", "--libs", "fuse3"]).stdout.split()
    subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-D_FILE_OFFSET_BITS=64", "-o", target, SOURCE, *flags], check=True)
    return target


class SickDisk:
    """The disk under one folder of a lab; whoever uses the folder must be stopped while it comes and goes."""

    def __init__(self, lab, folder):
        self.lab, self.folder = lab, folder

    def mount(self):
        if not os.access("/dev/fuse", os.W_OK):
            raise LabError("this machine has no /dev/fuse")
        self._switch = self.lab.container.run_folder / "sick-disk"
        self._switch.write_text(WELL)
        log = self.lab.container.run_folder / "sick-disk.log"
        self._process = start_detached([program(), self.lab.container.require_init().pid, self.folder, self._switch], log)
        wait_until("the disk to be mounted", self._is_mounted, 10, progress=lambda: tail(log))

    def unmount(self):
        self.be(WELL)
        wait_until("the disk to be free", lambda: self.lab.enter(["umount", self.folder], check=False).returncode == 0, 10)
        self._process.wait(10)

    def be(self, health):
        # In place, since the program has the file mapped.
        with open(self._switch, "r+") as file:
            file.write(health)

    @contextmanager
    def ill(self, health):
        """The disk is so while the body runs."""
        self.be(health)
        try:
            yield
        finally:
            self.be(WELL)

    def _is_mounted(self):
        return self.lab.enter(["findmnt", "--noheadings", "--types", "fuse.sick-disk", self.folder], check=False).returncode == 0
