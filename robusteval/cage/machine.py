"""What the machine has of memory, what a process takes of it, and the limits that the system itself holds for us."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from robusteval.cage.refusals import NETWORK, could_refuse_writing, refused

FILE_BYTES = 16 << 30  # no file that a run writes is larger: adversarials are bounded, and models too
_SLACK = 1 << 30  # of memory that is asked for and never touched: stacks of threads, arenas
_OVER = 1.1
_GROUPS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def resident(process: int | str = "self") -> float:
    """Bytes of a process that lie in memory; 0 where the system does not tell, or the process is gone."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
        return float(pages * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, IndexError):
        return 0.0


def available() -> float:
    """Bytes that the machine, or the control group that this process is in, can still give; inf where it does not
    tell."""
    found = [_field("/proc/meminfo", "MemAvailable"), _left()]
    return min((value for value in found if value is not None), default=float("inf"))


@functools.cache
def total() -> float:
    """Bytes of memory that this machine has for us; inf where it does not tell."""
    found = [_field("/proc/meminfo", "MemTotal"), _group()[0]]
    return min((value for value in found if value is not None), default=float("inf"))


def _field(path: str, name: str) -> float | None:
    try:
        for line in Path(path).read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return float(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


def _group() -> tuple[float | None, float]:
    """The control group's limit, version 2 or 1, None for none; and what is taken of it."""
    for most, used in _GROUPS:
        try:
            limit = float((Path("/sys/fs/cgroup") / most).read_text(encoding="ascii"))
            taken = float((Path("/sys/fs/cgroup") / used).read_text(encoding="ascii"))
        except (OSError, ValueError):  # "max", or another version
            continue
        if limit < 2**60:
            return limit, taken
    return None, 0.0


def _left() -> float | None:
    limit, taken = _group()
    return None if limit is None else max(limit - taken, 0.0)


def confine() -> None:
    """Limits of the system on this process and on all that it starts: sizes of files, no dumps of memory, and no more
    memory than the machine can give just now. Soft ones: they hold what runs away, and not who means to lift them."""
    if sys.platform == "win32":
        return
    import resource

    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, FILE_BYTES)
    free = min(available(), float(os.environ.get("ROBUSTEVAL_TEST_MEMORY", "inf")))  # tests set it lower
    if free < float("inf"):
        _data(free + (_field("/proc/meminfo", "SwapFree") or 0.0) + _SLACK)


def allow(memory: float) -> None:
    """The limit of the system for bytes that the user allows for all processes together: none of them gets more."""
    if sys.platform != "win32":
        _data(max(_OVER * memory - resident(), memory / 2) + _SLACK)


def _data(more: float) -> None:
    """No more than so many bytes beyond what this process has asked for already. A GPU's driver maps what it never
    uses, so there nothing is limited; and without the kernel's count there is nothing to begin from."""
    now = _field("/proc/self/status", "VmData")
    if now is None or Path("/dev/nvidiactl").exists() or sys.platform == "win32":
        return
    import resource

    _lower(resource.RLIMIT_DATA, int(now + more))


def _lower(which: int, most: int) -> None:
    """A soft limit, unless there is a lower one."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(which)
    known = [limit for limit in (soft, hard, most) if limit != resource.RLIM_INFINITY]
    try:
        resource.setrlimit(which, (min(known), hard))
    except (OSError, ValueError):  # a system that knows it by name only
        return


def holds() -> str:
    """One line: what is limited on this platform, and what is not."""
    watching = "questions to models and units of attacks that hang are ended"
    if sys.platform == "win32":
        return f"{watching}; memory, files and network are not limited here"
    if _field("/proc/self/status", "VmData") is None:
        limited, unlimited = f"{watching}, files have a largest size", ["memory"]
    else:
        limited, unlimited = f"{watching}, and so is what takes more memory than allowed; files have a largest size", []
    for is_refused, yes, no in (
        (NETWORK in refused(), "no connection leaves this machine", "network"),
        (could_refuse_writing(), "attacks write temporary files only", "the writing of files"),
    ):
        limited, unlimited = (f"{limited}; {yes}", unlimited) if is_refused else (limited, [*unlimited, no])
    return f"{limited}; {', '.join([*unlimited, 'the reading of files'])}: not limited here"
