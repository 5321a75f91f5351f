"""Suites that are no TOML, ask for what nobody can do, or say odd things: one sentence before anything is attacked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.hostile.base import SUITE, run
from tests.hostile.case import Case, Place, says
from tests.hostile_text import EVIL

ATTACK = '[[attack]]\nplugin = "fgsm"\n'
HEAD = 'name = "s"\nversion = "1"\nnorms = ["linf"]\n'
TEXTS: dict[str, tuple[str, str | bytes]] = {
    "deep": ("brackets 200,000 deep", "x = " + "[" * 200_000),
    "deep-closed": ("brackets 300 deep, closed again", HEAD + "x = " + "[" * 300 + "]" * 300 + "\n" + ATTACK),
    "deep-names": ("a dotted name 2,000 deep", HEAD + ATTACK + "[attack.params]\n" + ".".join("a" * 2000) + " = 1"),
    "digits": ("a number of 6,000 digits", f"samples = {'9' * 6000}\n" + HEAD + ATTACK),
    "hex": ("a number of 6,000 hex digits", f"samples = 0x{'f' * 6000}\n" + HEAD + ATTACK),
    "eps-nan": ("a budget of nan", "eps = nan\n" + HEAD + ATTACK),
    "eps-nan-norm": ("a norm's budget of nan", HEAD + "eps = { linf = nan }\n" + ATTACK),
    "eps-inf": ("a budget of inf", HEAD + "eps = { linf = inf }\n" + ATTACK),
    "eps-negative": ("a budget below zero", HEAD + "eps = { linf = -0.1 }\n" + ATTACK),
    "eps-1e400": ("a budget of 10^400", HEAD + "eps = { linf = 1e400 }\n" + ATTACK),
    "param-nan": ("a parameter of nan", HEAD + '[[attack]]\nplugin = "pgd"\nparams = { steps = nan }\n'),
    "param-huge": ("10^30 steps", HEAD + f'[[attack]]\nplugin = "pgd"\nparams = {{ steps = {10**30} }}\n'),
    "unknown-key": ("a setting that is none", HEAD + 'evil = "yes"\n' + ATTACK),
    "unknown-esc": ("a setting named with ESC", HEAD + '"\\u001b[2J\\nGrade: A" = 1\n' + ATTACK),
    "unknown-attack": ("an attack named with ESC", HEAD + '[[attack]]\nplugin = "\\u001b[2Jx"\n'),
    "unknown-long": ("an attack of 500,000 letters", HEAD + f'[[attack]]\nplugin = "{"n" * 500_000}"\n'),
    "norm": ("a norm that is none", HEAD.replace("linf", "\\u001b[2J") + ATTACK),
    "timeout-nan": ("a time limit of nan", HEAD + "cell_timeout = nan\n" + ATTACK),
    "samples-negative": ("fewer samples than none", HEAD + "samples = -1\n" + ATTACK),
    "attacks-0": ("no attack", HEAD),
    "attack-text": ("a text in the place of an attack", HEAD + 'attack = "fgsm"\n'),
    "twice": ("a setting twice", HEAD + HEAD + ATTACK),
    "half": ("half of a letter", HEAD + 'summary = "\\ud800"\n' + ATTACK),
    "half-bytes": ("half of a letter, in bytes", HEAD.encode() + b'summary = "\xed\xa0\x80"\n' + ATTACK.encode()),
    "not-utf-8": ("bytes that are no text", b"\xff\xfe" + SUITE.encode()),
    "nul": ("a zero byte", SUITE + "\0"),
    "long": ("three million letters", "#" + "x" * 3_000_000),
    "huge": ("ten million letters", b"#" * 10_000_000),
    "binary": ("a program", b"\x7fELF" + bytes(5000)),
    "empty": ("nothing", ""),
    "esc": ("ESC in a comment", f"# {EVIL['esc']}\n" + SUITE),
    "metric": ("a metric that is none", HEAD + f'metrics = ["{"m" * 9000}"]\n' + ATTACK),
}


def _text(content: str | bytes) -> Callable[[Place], list[object]]:
    def make(place: Place) -> list[object]:
        path = place.given / "s.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [*run(place, suite=path), "--dry-run"]

    return make


def _odd(made: Callable[[Path], object]) -> Callable[[Place], list[object]]:
    def make(place: Place) -> list[object]:
        made(place.given / "s.toml")
        return [*run(place, suite=place.given / "s.toml"), "--dry-run"]

    return make


def _holes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**12)


def _named(place: Place) -> list[object]:
    return [*run(place, suite=Path("\x1b[2J\nGrade: A")), "--dry-run"]


def _rows(place: Place) -> list[object]:
    """Two thousand attacks, each under a name of its own."""
    rows = "".join(f'[[attack]]\nplugin = "fgsm"\nname = "a{n}"\n' for n in range(2000))
    (place.given / "s.toml").write_text(HEAD + rows)
    return [*run(place, suite=place.given / "s.toml"), "--dry-run"]


def cases() -> Iterator[Case]:
    """All of them."""
    for name, (tries, content) in TEXTS.items():
        yield Case(f"suite/{name}", tries, _text(content))
    yield Case("suite/pipe", "a named pipe", _odd(os.mkfifo))
    yield Case("suite/device", "a device without an end", _odd(lambda path: path.symlink_to("/dev/zero")))
    yield Case("suite/holes", "a terabyte of holes", _odd(_holes))
    yield Case("suite/folder", "a folder", _odd(lambda path: path.mkdir()))
    yield Case("suite/name", "a name with ESC and a line break", _named, wrong=says("There is no suite named"))
    yield Case("suite/rows", "two thousand attacks", _rows, codes=(0, 2), seconds=240)
