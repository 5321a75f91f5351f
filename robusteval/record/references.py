"""Models that a run is shown beside: the rows of a reference set, and what of it a run could be compared with.

Distances are shares of the pixel range (l0: pixels), so that models with other ranges can stand side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass
class ReferenceColumn:
    """The worst case over attacks in one norm. One entry an image, as in `rows` of the model."""

    distance: list[float | None]  # smallest distance at which the image is lost; None: never, 0: wrong when clean
    searched: float | None  # as far as the attacks went; None: without a limit
    attacks: list[str] = field(default_factory=list)  # that finished


@dataclass
class Reference:
    """One model, or one model behind a defence that the attacker knows."""

    name: str
    about: str  # how it was made, one line
    file: str
    sha256: str  # of the model file
    defense: str  # "none", or the defence plugin around the model
    version: str  # of the defence plugin
    params: dict[str, Any]  # of the defence
    grade: str  # of the evaluation that these figures come from
    rows: list[int]  # which images; the columns go with them
    right: list[bool]  # whether the clean image is classified correctly
    worst: dict[str, ReferenceColumn]  # by norm
    # What attacks with the exact gradient of this defence report, where that is known to be false; the grade that such
    # an evaluation gives itself, and the checks that fail there.
    exact: dict[str, ReferenceColumn] = field(default_factory=dict)
    exact_grade: str = ""
    exact_fails: list[str] = field(default_factory=list)


@dataclass
class Compared:
    """A reference set as far as it fits a run: `rows` of its models are samples of the run."""

    file: str  # its name; "" where there is no set at all
    sha256: str
    shipped: bool  # with robusteval, rather than given by the user
    status: Literal["done", "none"]
    reason: str = ""  # why there is no comparison, or which models have no part in it
    suite: str = ""  # name and version
    data: str = ""
    tool: str = ""  # that made it
    models: list[Reference] = field(default_factory=list)
