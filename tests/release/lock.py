"""The locks in requirements/: what they pin, read as pip reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")


@dataclass(frozen=True)
class Pin:
    """One package: its version, and the hashes of the files that may be installed."""

    version: str
    hashes: tuple[str, ...]


def plain(name: str) -> str:
    """A package's name as PyPI compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, Pin]:
    """What a lock, or a file of constraints, pins."""
    starts = [*_PIN.finditer(text)]
    ends = [*(match.start() for match in starts[1:]), len(text)]
    return {
        plain(match[1]): Pin(match[2], tuple(_HASH.findall(text[match.start() : end])))
        for match, end in zip(starts, ends, strict=True)
    }


def locked(name: str) -> dict[str, Pin]:
    """Of requirements/NAME.lock."""
    return pins((ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8"))
