"""Shapes, as the annotations of operations, contracts and search promise them, checked while tests run: the first calls
of each function in each test, as the rest of a run calls the same again and again.

Outside tests nobody looks at the annotations, and they cost nothing.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from beartype import beartype
from jaxtyping import install_import_hook

CHECKED = ("robusteval.ops", "robusteval.contracts", "robusteval.engine.search")
CALLS = 50  # of a function that are checked in a test
_PASSED = "__no_type_check__"  # jaxtyping calls a function that has it as it is
_calls: Counter[tuple[str, str]] = Counter()
_passed: list[Any] = []  # till the next test


def checker(function: Callable[..., Any]) -> Callable[..., Any]:
    """What jaxtyping's hook has each function checked by, under this name.

    Of its annotations those with a shape are checked. The others are mypy's business: a test may well hand over
    something that only looks like a classifier. jaxtyping asks before a call, with no word of what is returned, and
    after it with all annotations; arguments are checked before it, once.
    """
    notes = function.__annotations__
    before = notes.get("return", Any) is Any
    shaped = {name for name, note in notes.items() if "[Tensor, " in str(note) and (before or name == "return")}
    if shaped:
        function.__annotations__ = {name: note if name in shaped else object for name, note in notes.items()}
    checked = beartype(function) if shaped else function
    if not before:
        return checked
    key = function.__module__, function.__qualname__

    @functools.wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        _calls[key] += 1
        if _calls[key] == CALLS:
            _pass(*key)
        return checked(*args, **kwargs)

    return counted


def _pass(module: str, name: str) -> None:
    """Has a function called unchecked from its next call on; one that is local to another stays checked."""
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    found = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
    if callable(found):
        setattr(found, _PASSED, True)
        _passed.append(found)


def again() -> None:
    """Another test begins."""
    _calls.clear()
    while _passed:
        delattr(_passed.pop(), _PASSED)


def check() -> None:
    """Has modules that are imported from now on checked. Raises RuntimeError where one of them has been imported
    before."""
    early = sorted(name for name in sys.modules if name.startswith(CHECKED))
    if early:
        raise RuntimeError(f"imported before shapes are checked: {', '.join(early)}")
    install_import_hook(CHECKED, "tests.shapes.checker")
