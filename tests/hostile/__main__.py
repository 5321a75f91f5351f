"""Gives every hostile file to the installed command, and prints what became of it: file, what it tries, what happened,
pass or fail. Exits with 1 where anything is not as it must be.

python -m tests.hostile [PATTERN...]         of these cases only, such as 'onnx/*'
python -m tests.hostile --list
python -m tests.hostile --kills [--count N]  kills a small run at random, and takes it up again

A case is right where nothing that is printed is a traceback or moves a cursor, the exit code is one of those that it
may end with, time and memory of all processes together stay within limits, no code of the stranger's ran, nothing was
written outside of the run's folder, nothing is left at work, and the other cells of a run are done. Questions to models
have a minute at least; where a case is about one that is never answered, ROBUSTEVAL_TEST_FLOOR makes that two seconds.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.hostile import (
    data,
    folders,
    graphs,
    outside,
    patient,
    pickles,
    pictures,
    plugins,
    resumed,
    shards,
    suites,
    system,
)
from tests.hostile.base import NEED_RUNS, build
from tests.hostile.case import GB, KIND_OF_END, Case, Outcome, Place
from tests.hostile.runner import asked, cleared

ROOMS = (graphs, patient, outside, pickles, data, pictures, suites, folders, resumed, shards, plugins, system)


def every() -> list[Case]:
    """All cases."""
    found = [case for room in ROOMS for case in room.cases()]
    assert len({case.name for case in found}) == len(found)
    return found


def row(case: Case, found: Outcome, faults: list[str]) -> str:
    """A line of the table."""
    end = "ended from outside" if found.code is None else KIND_OF_END.get(found.code, f"exit code {found.code}")
    what = f"{end}, {found.seconds:.0f} s, {found.peak / GB:.1f} GB"
    return f"{case.name:<38} {case.tries:<58} {what:<32} {'FAIL: ' + '; '.join(faults) if faults else 'pass'}"


def run(wanted: list[Case], at_once: int) -> Iterator[tuple[Case, Outcome, list[str]]]:
    """The outcomes, in order."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as top:
        base = Path(top, "base")
        build(base, any(case.name.startswith(NEED_RUNS) for case in wanted))

        def one_case(case: Case) -> tuple[Case, Outcome, list[str]]:
            place = Place(Path(top, case.name.replace("/", "-")), base)
            outcome, faults = asked(case, place)
            cleared(place)
            return case, outcome, faults

        with ThreadPoolExecutor(at_once) as pool:
            yield from pool.map(one_case, wanted)


def main() -> int:
    """1 where a case is not as it must be."""
    words = argparse.ArgumentParser(description="Gives hostile files to the installed command.")
    words.add_argument("patterns", nargs="*", help="of the cases' names")
    words.add_argument("--list", action="store_true")
    words.add_argument("--at-once", type=int, default=2)
    words.add_argument("--loud", action="store_true", help="print what the command said")
    words.add_argument("--kills", action="store_true")
    words.add_argument("--count", type=int, default=200, help="of kills")
    words.add_argument("--seed", type=int, default=0, help="of kills")
    given = words.parse_args()
    if given.kills:
        from tests.hostile.kills import kills

        return kills(given.count, given.seed)
    patterns = given.patterns or ["*"]
    wanted = [case for case in every() if any(fnmatch.fnmatch(case.name, pattern) for pattern in patterns)]
    if given.list:
        print("\n".join(f"{case.name:<38} {case.tries}" for case in wanted))
        return 0
    began, failed = time.monotonic(), 0
    for case, outcome, faults in run(wanted, given.at_once):
        print(row(case, outcome, faults), flush=True)
        failed += bool(faults)
        if given.loud:
            print(outcome.out[-1500:], outcome.err[-3000:], sep="\n", flush=True)
    print(f"{len(wanted)} cases, {failed} not as they must be, {(time.monotonic() - began) / 60:.1f} minutes")
    return int(failed > 0 or not wanted)


if __name__ == "__main__":
    sys.exit(main())
