"""The C programs that tests run inside of labs, compiled on this machine when a test asks for them."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from .host import install_packages, run, update_packages

SOURCES = Path(__file__).resolve().parent.parent / "programs"


@functools.cache
def compiled(source, *flags, library=None):
    """The path of a program of Tests/Lab/programs; `flags` are the compiler's, `library` is one of pkg-config's.

    What that takes and the machine lacks is installed by apt.
    """
    if not shutil.which("gcc") or not Path("/usr/include/stdio.h").exists():
        update_packages()
        install_packages("gcc", "libc6-dev")
    if library and (not shutil.which("pkg-config") or run(["pkg-config", "--exists", library], check=False).returncode != 0):
        update_packages()
        install_packages("pkg-config", f"lib{library}-dev")
    folder = tempfile.mkdtemp(prefix="termspan-lab-program-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = Path(folder) / Path(source).stem
    more = run(["pkg-config", "--cflags", "--libs", library]).stdout.split() if library else []
    run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", *flags, "-o", target, SOURCES / source, *more])
    return target


def static(source):
    """One that runs anywhere, also in a probe's root, which has no libraries."""
    return compiled(source, "-static", "-no-pie", "-O1")
