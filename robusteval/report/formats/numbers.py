"""How numbers are written: the same everywhere in the report, and never NaN."""

from __future__ import annotations

import math

from robusteval.record.units import budget_text

MISSING = "\u2013"
NORMS = {"l2": "L2", "linf": "L\u221e", "l1": "L1", "l0": "L0"}


def _usable(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def percent(value: object, digits: int = 1) -> str:
    """A share in [0, 1] as a percentage; a dash where there is none."""
    number = _usable(value)
    return MISSING if number is None else f"{100 * number:.{digits}f} %"


def number(value: object, digits: int = 3) -> str:
    """A number with so many significant digits; a dash where there is none."""
    usable = _usable(value)
    if usable is None:
        return MISSING
    if usable == int(usable) and abs(usable) < 1e15:
        return f"{int(usable):,}".replace(",", "\u202f")
    if abs(usable) >= 10000:
        return f"{usable:,.0f}".replace(",", "\u202f")
    return f"{usable:.{digits}g}"


def interval(low: object, high: object, share: bool = True) -> str:
    """'[low, high]', or nothing where either is missing."""
    if _usable(low) is None or _usable(high) is None:
        return ""
    write = percent if share else number
    first, second = write(low), write(high)
    return f"{first.removesuffix(' %')} to {second}"


def budget(eps: object, norm: object, width: float = 1.0) -> str:
    """A budget in pixel units, as the terminal and the verdict write it too; a dash where there is none."""
    value = _usable(eps)
    return MISSING if value is None else budget_text(value, str(norm), width)


def seconds(value: object) -> str:
    usable = _usable(value)
    if usable is None:
        return MISSING
    if usable < 60:
        return f"{usable:.1f} s"
    minutes, rest = divmod(round(usable), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def norm_title(norm: object) -> str:
    return NORMS.get(str(norm), str(norm))


def scalar(value: object) -> str:
    """Any value of a table that we know nothing about."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value, 4) if isinstance(value, int | float) else str(value)


def spoken(text: str) -> str:
    """A sentence of the assessment with the norm as the page writes it, and numbers in one piece with their sign."""
    return text.replace("Linf", NORMS["linf"]).replace(" %", "\u00a0%")
