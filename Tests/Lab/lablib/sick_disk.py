"""A disk that can be made ill: a folder of a lab behind a FUSE program that stalls, is full, is read-only or fails when it is told to."""

import os
from contextlib import contextmanager

from .host import LabError, start_detached, tail, wait_until
from .programs import compiled

WELL, STALLED, FULL, READ_ONLY, FAILING = "osfre"


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
        self._process = start_detached([compiled("sick_disk.c", "-D_FILE_OFFSET_BITS=64", library="fuse3"), self.lab.container.require_init().pid, self.folder, self._switch], log)
        wait_until("the disk to be mounted", self._is_mounted, 20, progress=lambda: tail(log))

    def unmount(self):
        self.be(WELL)
        wait_until("the disk to be free", lambda: self.lab.enter(["umount", self.folder], check=False).returncode == 0, 20)
        self._process.wait(20)

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
