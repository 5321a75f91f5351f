"""Attacks by themselves: `attacks.pgd(model, x, y, norm="linf", eps=8/255, steps=20)`, `attacks.DDN()(model, x, y)`.

Every installed attack is here, under its name with underscores (`carlini_wagner`, `acme_ascent`) and as a class
(`CarliniWagner`, `AcmeAscent`); editors read `__init__.pyi`, which `python -m robusteval.attacks.stub` writes. Nothing
is imported before it is asked for.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Adversarials", "SingleAttack"]  # and whatever is installed, see `dir(attacks)`


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # of Python's own machinery, which asks a module for many things
        raise AttributeError(name)
    from robusteval.attacks import offered

    return offered.named(name)


def __dir__() -> list[str]:
    from robusteval.attacks import offered

    return sorted({*globals(), *__all__, *offered.names()})
