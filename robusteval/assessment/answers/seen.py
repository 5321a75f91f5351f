"""How large a change is, in words that need no norm: what of the image changes, by how much, and who sees it.

The limits are conventions, and apply to the largest change of a value as a share of the pixel range (for L2 and L1: the
root mean square and the mean over all values, which a change that is spread evenly has). 8/255 is the budget that is
called imperceptible on natural images (Madry et al. 2018, Croce et al. 2021), and 0.1 to 0.3 are those at which changes
of digits and clothes are plainly seen.
"""

from __future__ import annotations

import math

from robusteval.record.measured import Model
from robusteval.record.units import NORM_TITLES, budget_text, norm_width

NOBODY, HARDLY, CLOSELY = 6 / 255, 16 / 255, 0.1
_DIGITS = 2


def who_sees(share: float) -> str:
    """Who sees a change of this share of the pixel range: the words after "which"."""
    if share <= NOBODY:
        return "nobody sees"
    if share <= HARDLY:
        return "hardly anybody sees"
    return "is seen when looked for" if share <= CLOSELY else "is plainly seen"


def spread(norm: str, eps: float, model: Model) -> float:
    """How much each value changes where a change of this size is spread evenly, as a share of the pixel range; in Linf
    the largest change of a value. 0 for L0, which says nothing about sizes."""
    values = max(math.prod(model.input_shape), 1)
    size = eps / norm_width(norm, model.bounds)
    return {"linf": size, "l2": size / math.sqrt(values), "l1": size / values}.get(norm, 0.0)


def change(norm: str, eps: float, model: Model) -> str:
    """The change as the subject of a sentence: "A change of 5/255 in any value, which nobody sees,". Rounded up, so
    that what is said of it stays true."""
    width = norm_width(norm, model.bounds)
    if norm == "l0":
        return f"Changing {math.ceil(eps - 1e-9):,} of {_places(model):,} pixels"
    seen = who_sees(spread(norm, eps, model))
    if norm == "linf":
        return f"A change of {_steps(eps, width)} in any value, which {seen},"
    each = spread(norm, eps, model) * 255
    title = NORM_TITLES.get(norm, norm)
    return f"A change of {title} {_up(eps)} (spread evenly {_up(each)}/255 a value), which {seen},"


def within(norm: str, eps: float, model: Model) -> str:
    """The budget with its norm: "Linf 8/255"."""
    return f"{NORM_TITLES.get(norm, norm)} {budget_text(eps, norm, norm_width('', model.bounds))}"


def _places(model: Model) -> int:
    """Pixels of an image: places, of one or three values each."""
    shape = model.input_shape
    return math.prod(shape[1:]) if len(shape) == 3 else math.prod(shape)


def _steps(eps: float, width: float) -> str:
    """In 255ths of the pixel range; in a range that is told in grey levels, in these."""
    return f"{_up(eps / width * 255)}/255" if width <= 4 else _up(eps)


def _up(value: float) -> str:
    """Two significant digits, rounded up; whole numbers from ten on."""
    if not value > 0:
        return "0"
    digits = max(_DIGITS - 1 - math.floor(math.log10(value)), 0)
    return f"{math.ceil(value * 10**digits * (1 - 1e-9)) / 10**digits:g}"
