"""Where two values differ: derived again and as printed. Numbers may differ by rounding, texts not at all."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from robusteval.record.measured.per_sample import PerSample

_RELATIVE, _ABSOLUTE = 1e-9, 1e-12


def differences(printed: object, derived: object, path: str) -> Iterator[str]:
    """One sentence for each place in which they differ, named by its path."""
    printed = printed.listed() if isinstance(printed, PerSample) else printed
    derived = derived.listed() if isinstance(derived, PerSample) else derived
    if dataclasses.is_dataclass(printed) and type(printed) is type(derived):
        for field in dataclasses.fields(printed):
            yield from differences(getattr(printed, field.name), getattr(derived, field.name), f"{path}.{field.name}")
    elif isinstance(printed, dict) and isinstance(derived, dict):
        for name in sorted(printed.keys() | derived.keys(), key=str):
            if name not in printed or name not in derived:
                yield f"{path}.{name} is {'missing' if name in derived else 'too much'}"
            else:
                yield from differences(printed[name], derived[name], f"{path}.{name}")
    elif isinstance(printed, list) and isinstance(derived, list):
        if len(printed) != len(derived):
            yield f"{path} has {len(printed)} entries, and {len(derived)} follow from the columns"
        for index, (first, second) in enumerate(zip(printed, derived, strict=False)):
            yield from differences(first, second, f"{path}[{index}]")
    elif not _equal(printed, derived):
        yield f"{path} is {_short(printed)}, and {_short(derived)} follows from the columns"


def _equal(one: object, two: object) -> bool:
    numbers = isinstance(one, int | float) and isinstance(two, int | float)
    if numbers and not isinstance(one, bool) and not isinstance(two, bool):
        return math.isclose(one, two, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)  # type: ignore[arg-type]
    return type(one) is type(two) and one == two


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
