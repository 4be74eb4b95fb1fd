"""The lab as a library: see README.md beside this folder."""

from .host import LabError, wait_until
from .lab import Lab

__all__ = ["Lab", "LabError", "wait_until"]
