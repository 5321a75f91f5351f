"""Attacks by themselves: `attacks.pgd(model, x, y, norm="linf", eps=8/255, steps=20)`, `attacks.DDN()(model, x, y)`.

Every installed attack is here, under its name with underscores (`carlini_wagner`, `acme_ascent`) and as a class
(`CarliniWagner`, `AcmeAscent`); editors read `__init__.pyi`, which `python -m robusteval.attacks.stub` writes. Nothing
is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["Adversarials", "SingleAttack"]  # and whatever is installed, see `dir(attacks)`
_FILES = ("offered", "single", "stub")


def __getattr__(name: str) -> Any:
    if name.startswith("__") or name in _FILES:  # Python itself asks for these, before it imports a file
        raise AttributeError(name)
    return importlib.import_module("robusteval.attacks.offered").named(name)


def __dir__() -> list[str]:
    offered = importlib.import_module("robusteval.attacks.offered")
    return sorted({*globals(), *__all__, *offered.names()})
