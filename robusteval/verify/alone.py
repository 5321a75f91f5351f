"""`robusteval verify` where click is not installed: the command, in a process of its own that this one watches."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from robusteval.cage.beside import beside
from robusteval.errors import RobustEvalError
from robusteval.text import line
from robusteval.verify.command import Wanted, as_json, lines, verified


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 all confirmed, 1 something does not re-check, 2 there is nothing to check with."""
    parser = argparse.ArgumentParser(
        prog="python -m robusteval.verify",
        description="Check a finished run again, with numpy and ONNX Runtime alone: clean answers, stored "
        "adversarials, and all that is derived from them.",
    )
    parser.add_argument("run", help="a run's folder, or its record.json")
    parser.add_argument(
        "--model", action="append", default=[], help="the evaluated model, where it is not where it was"
    )
    parser.add_argument("--statement", help="write what was found to this file, as an in-toto statement")
    parser.add_argument("--overwrite", action="store_true", help="replace --statement where it exists")
    parser.add_argument("--signature", help="check this signed statement of the run, and not the run again")
    parser.add_argument("--public-key", help="the signer's public key, in a PEM file outside of the run")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:  # help, or words that it does not know
        return stop.code if isinstance(stop.code, int) else 0
    try:
        wanted = Wanted(options.statement, options.overwrite, options.signature, options.public_key)
        result = verified(Path(options.run), options.model, wanted)
    except RobustEvalError as error:
        return refuse(error.message, error.hint)
    print(as_json(result) if options.json else "\n".join(map(line, lines(result))))
    return 0 if result.held else 1


def refuse(message: str, hint: str) -> int:
    """Prints one sentence and how to mend it; the exit code."""
    print(f"Error: {message}" + (f"\n  {hint}" if hint else ""), file=sys.stderr)
    return 2


def attended() -> NoReturn:
    """The entry point: `main` in a process of its own."""
    sys.exit(beside(main, refuse))


def stand_in() -> NoReturn:
    """The whole command line where click is not installed: `robusteval verify` works, and the rest says what it
    lacks."""
    if sys.argv[1:2] == ["verify"]:
        del sys.argv[1]
        attended()
    print("Error: The package click is not installed, so only `robusteval verify` can be run.", file=sys.stderr)
    sys.exit(2)
