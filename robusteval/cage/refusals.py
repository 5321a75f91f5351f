"""What the system refuses a process for us, and all that it starts: the network, and writing files outside the folders
that the work needs. By libseccomp and Landlock, through the packages of the extra `cage`, on Linux, where they are.

Both hold for good: nobody lifts them, this process neither. Questions to strangers' models and plugins' attacks need
neither; a plugin that does (a loader of a remote model) is allowed to by name, in $ROBUSTEVAL_ALLOW.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
from pathlib import Path

VARIABLE = "ROBUSTEVAL_ALLOW"  # "network", "files", or both with a comma
NETWORK, FILES = "network", "files"
_LOCAL = (1, 16)  # AF_UNIX and AF_NETLINK: between processes of this machine, and with its kernel
_FAMILIES = 17  # of sockets that are looked at one by one; all from here on are refused
_held: set[str] = set()  # what is refused to this process from here; a child's own begins empty, and is asked anew


def refuse_network() -> bool:
    """Refuses this process every socket but those between processes of this machine (EACCES). Whether it is refused
    now; False where the user allows it, or the system or the package is not there."""
    if NETWORK in _held or _allowed(NETWORK) or not sys.platform.startswith("linux"):
        return NETWORK in _held
    try:
        import pyseccomp

        rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
        rules.set_attr(pyseccomp.Attr.CTL_TSYNC, 1)  # threads that there are already, too
        refusal = pyseccomp.ERRNO(errno.EACCES)
        for family in range(_FAMILIES):
            if family not in _LOCAL:
                rules.add_rule(refusal, "socket", pyseccomp.Arg(0, pyseccomp.EQ, family))
        rules.add_rule(refusal, "socket", pyseccomp.Arg(0, pyseccomp.GE, _FAMILIES))
        rules.add_rule(refusal, "io_uring_setup")  # it opens sockets without asking for them by that call
        rules.load()
    except (ImportError, OSError, RuntimeError, AttributeError, ValueError):  # no libseccomp, or a kernel without it
        return False
    _held.add(NETWORK)
    return True


def refuse_writing(*folders: Path) -> bool:
    """Refuses this process to make, change or remove files but in these folders, in that for what is temporary and
    in our own cache. Whether that holds now; False where the user allows it, or the system or the package is not there.
    Files that are open already may be written; threads that there are already are not held."""
    if FILES in _held or _allowed(FILES) or not sys.platform.startswith("linux"):
        return FILES in _held
    try:
        from landlock import FSAccess, LandlockError, Ruleset
    except (ImportError, OSError):
        return False
    from robusteval.cache import cache_folder  # here, as `verify` alone has no package that finds its place

    changes = FSAccess.all() & ~(FSAccess.EXECUTE | FSAccess.READ_FILE | FSAccess.READ_DIR)
    cache = cache_folder("")
    try:
        rules = Ruleset(restrict_rules=changes)
        if cache is not None:
            with contextlib.suppress(OSError):
                cache.mkdir(parents=True, exist_ok=True)
        # a GPU's driver names its threads there, and begins nothing where it may not
        threads = Path("/proc/self/task")
        for folder in (Path("/dev"), threads, Path(tempfile.gettempdir()), *([cache] if cache else []), *folders):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                rules.allow(os.fspath(folder), rules=changes)
        rules.apply()
    except (LandlockError, OSError):  # a kernel without it
        return False
    _held.add(FILES)
    return True


def refused() -> frozenset[str]:
    """What is refused to this process: NETWORK, FILES, both, or nothing."""
    return frozenset(_held)


def could_refuse_writing() -> bool:
    """Whether worker processes that this one starts will be refused writing; nothing is refused by asking."""
    if _allowed(FILES) or not sys.platform.startswith("linux"):
        return False
    try:
        from landlock import LandlockError, landlock_abi_version
    except (ImportError, OSError):
        return False
    try:
        return bool(landlock_abi_version() >= 1)
    except (LandlockError, OSError):
        return False


def _allowed(what: str) -> bool:
    return what in os.environ.get(VARIABLE, "").replace(" ", "").split(",")
