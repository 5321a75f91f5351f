"""What `--fail-under` and a suite's [gates] may say: one threshold, as text, and what it means."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["every-norm", "accuracy", "median", "certified", "clean", "grade"]
By = Literal["interval", "value"]
GRADES = "ABCDF"  # from the best down
EXAMPLES = "linf@8/255>=0.4, l2.median>=0.5, certified.linf@0.1>=0.3, clean>=0.9 or grade>=B"
BY_VALUE = " by value"
_NORM = r"(?P<norm>l0|l1|l2|linf)"
_BUDGET = r"@(?P<eps>[^>\s]+)"
_LEFT: dict[Kind, str] = {
    "accuracy": _NORM + _BUDGET,
    "median": _NORM + r"\.median",
    "certified": r"certified\." + _NORM + _BUDGET,
    "clean": "clean",
    "grade": "grade",
}
_NUMBER = re.compile(r"(?P<top>\d+(\.\d*)?(e-?\d{1,2})?|\.\d+)(?P<end>/(?P<bottom>\d{1,6})|%)?", re.IGNORECASE)


@dataclass(frozen=True)
class Form:
    """A gate as it was read.

    text: as it is quoted; norm and eps: where it is about one, eps as a share of the pixel range (l0: pixels);
    least: the threshold: a share of the samples, a distance as a share of the pixel range (l0: pixels), or for
    `every-norm` a distance in the model's own pixel range; grade: the lowest that will do; by: what is held against the
    threshold, the lower end of the 95 % interval or the value itself.
    """

    text: str
    kind: Kind
    norm: str = ""
    eps: float = 0.0
    least: float = 0.0
    grade: str = ""
    by: By = "interval"


def parse(text: str) -> Form:
    """A gate from its text. Raises ValueError with one sentence."""
    plain = " ".join(text.split())
    by_value = plain.endswith(BY_VALUE)
    bare = plain.removesuffix(BY_VALUE).replace(" ", "")
    by: By = "value" if by_value else "interval"
    distance = number(bare.removeprefix("-")) if not by_value else None
    if distance is not None:
        return Form(plain, "every-norm", least=-distance if bare.startswith("-") else distance, by="value")
    left, sign, right = bare.partition(">=")
    if sign:
        for kind, pattern in _LEFT.items():
            found = re.fullmatch(pattern, left)
            if found is not None:
                return _form(plain, kind, found.groupdict(), right, by)
    raise ValueError(f"{_quoted(text)} is no gate such as {EXAMPLES}, or a distance such as 0.03")


def _form(text: str, kind: Kind, parts: dict[str, str], right: str, by: By) -> Form:
    if kind == "grade":
        if len(right) != 1 or right not in GRADES:
            raise ValueError(f"{_quoted(text)} asks for a grade that is none of {', '.join(GRADES)}")
        return Form(text, kind, grade=right, by="value")
    norm = parts.get("norm", "")
    least, eps = number(right), number(parts["eps"]) if "eps" in parts else 0.0
    if least is None:
        raise ValueError(f"{_quoted(text)} has no number such as 0.4 or 40% after >=")
    if eps is None or ("eps" in parts and eps <= 0):
        raise ValueError(f"{_quoted(text)} names no budget such as 8/255 or 0.03 after @")
    if kind != "median" and least > 1:
        raise ValueError(f"{_quoted(text)} asks for a share above 1; write 0.4 or 40%")
    if norm == "linf" and eps > 1:
        raise ValueError(f"{_quoted(text)} names a budget above the pixel range; write 8/255, not 8")
    return Form(text, kind, norm, eps, least, by=by)


def number(text: str) -> float | None:
    """0.03, 8/255 or 40%; None for anything else."""
    found = _NUMBER.fullmatch(text)
    if found is None or len(text) > 30:
        return None
    bottom = 100.0 if found["end"] == "%" else float(found["bottom"] or 1)
    value = float(found["top"]) / bottom if bottom else math.inf
    return value if math.isfinite(value) else None


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
