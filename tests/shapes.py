"""Shapes, as the annotations of operations, contracts and search promise them, checked at every call while tests run.

Outside tests nobody looks at the annotations, and they cost nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from beartype import beartype
from jaxtyping import install_import_hook

CHECKED = ("robusteval.ops", "robusteval.contracts", "robusteval.engine.search")


def checker(function: Callable[..., Any]) -> Callable[..., Any]:
    """What jaxtyping's hook has each function checked by, under this name.

    Of its annotations those with a shape are checked. The others are mypy's business: a test may well hand over
    something that only looks like a classifier. jaxtyping asks before a call, with no word of what is returned, and
    after it with all annotations; arguments are checked before it, once.
    """
    notes = function.__annotations__
    before = notes.get("return", Any) is Any
    shaped = {name for name, note in notes.items() if "[Tensor, " in str(note) and (before or name == "return")}
    if not shaped:
        return function
    function.__annotations__ = {name: note if name in shaped else object for name, note in notes.items()}
    return beartype(function)


def check() -> None:
    """Has modules that are imported from now on checked. Raises RuntimeError where one of them has been imported
    before."""
    early = sorted(name for name in sys.modules if name.startswith(CHECKED))
    if early:
        raise RuntimeError(f"imported before shapes are checked: {', '.join(early)}")
    install_import_hook(CHECKED, "tests.shapes.checker")
