"""The commands that open what strangers made, or run plugins, each in a process of its own with this one beside it."""

from __future__ import annotations

import sys

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
)


def main() -> None:
    """Entry point. Help, and what is no command, run in this very process."""
    words = sys.argv[1:]
    command = next((word for word in words if not word.startswith("-")), "")
    help_wanted = any(word in ("-h", "--help", "--version") for word in words)
    sys.exit(beside(obey, refuse) if command in ATTENDED and not help_wanted else obey())
