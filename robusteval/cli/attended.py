"""The commands that open what strangers made, or run plugins, each in a process of its own with this one beside it."""

from __future__ import annotations

import os
import sys
from itertools import pairwise

from robusteval.cage.beside import beside
from robusteval.cli import obey, refuse

ATTENDED = (
    "run",
    "merge",
    "train",
    "references",
    "calibrate",
    "inspect",
    "plugins",
    "suites",
    "verify",
    "report",
    "compare",
    "samples",
    "export",
    "init",
    "doctor",
)
_HERE = ("", "serial", "processes")  # executors of this machine


def main() -> None:
    """Entry point. Help, and what is no command, run in this very process."""
    open_streams()
    words = sys.argv[1:]
    command = next((word for word in words if not word.startswith("-")), "")
    help_wanted = any(word in ("-h", "--help", "--version") for word in words)
    sys.exit(beside(obey, refuse, _goes_out(words)) if command in ATTENDED and not help_wanted else obey())


def _goes_out(words: list[str]) -> bool:
    """Whether the command names an executor that may be on other machines."""
    named = [after for word, after in pairwise(words) if word == "--executor"]
    named += [word.partition("=")[2] for word in words if word.startswith("--executor=")]
    return any(name.partition(":")[0] not in _HERE for name in named)


def open_streams() -> None:
    """Standard streams that are closed lead nowhere from now on. The next file that is opened would take their number,
    and what libraries complain would be written into it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)  # or the process beside this one would find it closed again
            if getattr(sys, name) is None:
                setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115 - it is no path, and stays open
