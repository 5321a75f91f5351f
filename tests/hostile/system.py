"""What the system does: full disks, limits, a folder that goes, two commands at once, a clock that jumps, signals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.hostile.base import SUITE, command, environment, run
from tests.hostile.case import Case, Outcome, Place, cells, says

# Images are many and attacks slow, so that there is something to interrupt.
SLOW = SUITE.replace("search = 1", "search = 1") + "".join(
    f'[[attack]]\nplugin = "pgd"\nname = "pgd{n}"\nparams = {{ steps = 2000 }}\nsearch = 6\n' for n in range(3)
)
JUMPS = """
import os, time
from pathlib import Path
honest, units = time.time, Path("out", "units")

def jumping():
    return honest() + (float(os.environ["JUMP"]) if list(units.glob("*.npz")) else 0.0)

time.time = jumping
"""


def _run(place: Place) -> list[object]:
    return run(place)


def _slow(place: Place) -> list[object]:
    (place.given / "s.toml").write_text(SLOW)
    return run(place, suite=place.given / "s.toml")


def _begun(place: Place, seconds: float = 60.0) -> bool:
    """Waits until the first unit is stored."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if list(place.out.glob("units/*.npz")):
            return True
        time.sleep(0.02)
    return False


def _gone(place: Place, _: subprocess.Popen[bytes]) -> None:
    if _begun(place):
        shutil.rmtree(place.out, ignore_errors=True)


def _units_gone(place: Place, _: subprocess.Popen[bytes]) -> None:
    if _begun(place):
        shutil.rmtree(place.out / "units", ignore_errors=True)


def _signalled(*signals: signal.Signals) -> Callable[[Place, subprocess.Popen[bytes]], None]:
    def meanwhile(place: Place, process: subprocess.Popen[bytes]) -> None:
        if _begun(place):
            for number in signals:
                os.killpg(process.pid, number)
                time.sleep(2)

    return meanwhile


def _second(place: Place, _: subprocess.Popen[bytes]) -> None:
    """Another command, with another plan, in the same folder."""
    if _begun(place):
        env = environment(place.home)
        words = [*map(str, run(place))]
        done = subprocess.run(
            [*command(), *words], cwd=place.work, env=env, capture_output=True, text=True, check=False
        )
        (place.home / "second").write_text(f"{done.returncode}\n{done.stderr}")


def _refused(found: Outcome) -> str:
    said = (found.place.home / "second").read_text()
    if not said.startswith("2\n") or "Another robusteval command is at work" not in said:
        return f"the second one said: {said[:200]}"
    return cells(fgsm="done", pgd0="done")(found)


def _data_gone(place: Place, _: subprocess.Popen[bytes]) -> None:
    if _begun(place):
        (place.work / "d.npz").write_bytes(b"x")


def _data_here(place: Place) -> list[object]:
    shutil.copy(place.base / "good.npz", place.work / "d.npz")
    (place.given / "s.toml").write_text(SLOW)
    return run(place, data=place.work / "d.npz", suite=place.given / "s.toml")


def _full(place: Place) -> list[object]:
    """A folder of 100 kB, where the system lets us mount one."""
    place.out.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(place.out)]
    subprocess.run(options, capture_output=True, check=False)
    return run(place)


def _jumping(place: Place) -> list[object]:
    site = place.given / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(JUMPS)
    return run(place)


def _closed(stream: str) -> tuple[str, ...]:
    return ("bash", "-c", f'exec "$@" {stream}', "-")


def _prlimit(*limits: str) -> tuple[str, ...]:
    return ("prlimit", *limits)


def _file_in_the_way(place: Place) -> list[object]:
    place.out.write_text("a file")
    return run(place)


def _lost(place: Place) -> list[object]:
    """The folder in which the command is started is gone."""
    return run(place)


def _blocked(place: Place) -> list[object]:
    (place.home / "tmp").mkdir(exist_ok=True)
    return run(place)


def cases() -> Iterator[Case]:
    """All of them."""
    done = cells(fgsm="done")
    yield Case(
        "system/address-space", "40 GB of address space", _run, (0,), command=_prlimit("--as=40000000000"), wrong=done
    )
    yield Case("system/address-space-3", "3 GB of address space", _run, (0, 2), command=_prlimit("--as=3000000000"))
    yield Case("system/address-space-1", "1 GB of address space", _run, (0, 1, 2), command=_prlimit("--as=1000000000"))
    yield Case("system/files-40", "forty open files", _run, (0, 2), command=_prlimit("--nofile=40:40"))
    yield Case("system/file-size", "files of 8 kB at most", _run, (2,), command=_prlimit("--fsize=8000:8000"))
    yield Case("system/file-size-0", "files of no byte", _run, (2, 120), command=_prlimit("--fsize=0:0"))
    yield Case("system/full", "a full disk", _full, (0, 2))
    yield Case("system/gone", "its folder goes in the middle", _slow, (2,), meanwhile=_gone, wrong=says("Error: "))
    yield Case("system/units-gone", "its units go in the middle", _slow, (0, 1, 2), meanwhile=_units_gone)
    yield Case("system/second", "two plans at once in one folder", _slow, (0,), meanwhile=_second, wrong=_refused)
    yield Case("system/data-changed", "its data change in the middle", _data_here, (0, 1, 2), meanwhile=_data_gone)
    yield Case("system/interrupt", "Ctrl-C", _slow, (130,), meanwhile=_signalled(signal.SIGINT))
    yield Case(
        "system/interrupt-twice", "Ctrl-C twice", _slow, (130,), meanwhile=_signalled(signal.SIGINT, signal.SIGINT)
    )
    yield Case("system/terminate", "SIGTERM", _slow, (-15, 2, 130, 143), meanwhile=_signalled(signal.SIGTERM))
    stops = _signalled(signal.SIGSTOP, signal.SIGCONT)
    yield Case("system/stopped", "it is stopped, and goes on", _slow, (0,), meanwhile=stops, wrong=done)
    for name, jump in {"forward": "4e7", "back": "-4e7", "far-back": "-3e9"}.items():
        env = {"PYTHONPATH": "{home}/in/site:{path}", "JUMP": jump}
        yield Case(f"system/clock-{name}", f"the clock jumps {jump} s", _jumping, (0,), env, wrong=done)
    yield Case("system/no-home", "no home folder", _run, (0,), {"HOME": "/nonexistent"}, wrong=done)
    yield Case("system/no-tmp", "no temporary folder", _run, (0, 2), {"TMPDIR": "/nonexistent"})
    yield Case("system/no-cache", "a cache that is a device", _run, (0, 2), {"ROBUSTEVAL_CACHE": "/dev/null/x"})
    yield Case(
        "system/locale", "a terminal of 1970", _run, (0,), {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}, wrong=done
    )
    yield Case("system/stdout-full", "standard output is full", _run, (0, 1, 2), command=_closed("> /dev/full"))
    yield Case("system/stdout-closed", "standard output is closed", _run, (0, 1, 2), command=_closed(">&-"))
    yield Case("system/stderr-closed", "standard error is closed", _run, (0, 1, 2), command=_closed("2>&-"))
    yield Case("system/pipe-closed", "whoever reads has gone", _run, (0, 1, 2), command=_closed("| true"))
    yield Case("system/in-the-way", "a file in the folder's place", _file_in_the_way)


assert sys.platform != "win32"
assert Path("/proc").is_dir()
