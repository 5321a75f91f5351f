"""How sizes of perturbations are written: the same everywhere, in the units of the model's own pixel range."""

from __future__ import annotations

import math
from collections.abc import Sequence

WORST_CASE = "worst case"  # in the place of an attack: whatever attack came nearest
NORM_TITLES = {"l2": "L2", "linf": "Linf", "l1": "L1", "l0": "L0"}
_STEPS = 32  # so many 255ths at most are written as such; 51/255 is better read as 0.2


def norm_width(norm: str, bounds: Sequence[float]) -> float:
    """What a share of the pixel range is multiplied with to be a distance in the norm; 1 for l0, which counts
    pixels."""
    width = bounds[1] - bounds[0] if len(bounds) == 2 else 1.0
    return 1.0 if norm == "l0" or not (math.isfinite(width) and width > 0) else width


def budget_text(eps: float, norm: str, width: float = 1.0) -> str:
    """A budget in pixel units: k/255 where that is what it is, a plain number elsewhere.

    width: of the pixel range. In one that is told in grey levels, such as 0..255, eight of them are "8".
    """
    steps = eps * 255
    if norm == "linf" and width <= 4 and abs(steps - round(steps)) < 1e-6 * 255 and 1 <= round(steps) <= _STEPS:
        return f"{round(steps)}/255"
    return f"{eps:.4g}"


def attack_text(attack: str, norm: str, eps: float | None, threat: str, width: float = 1.0) -> str:
    """An attack's name; of one that was run at one budget, such as a cascade, with that budget in pixel units."""
    if threat != "budget" or eps is None:
        return attack
    return f"{attack.split('@', maxsplit=1)[0]} at {budget_text(eps, norm, width)}"
