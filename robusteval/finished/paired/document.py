"""What is said when finished runs are held against each other: plain data, for JSON and for the page."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from robusteval.record.derived import Curve, Grade
from robusteval.record.documents import Document

SCHEMA = "robusteval-paired-1"
Outcome = Literal["worse", "better", "mixed", "no difference found", "undecided", "not comparable"]


@dataclass
class RunFacts:
    """One of the runs. key names it here."""

    key: str
    folder: str  # as it was given
    model: str
    file: str
    model_sha256: str
    record_sha256: str  # of all that the record holds, as the page of the run has it
    suite: str  # name and version
    seed: int
    status: str  # conclusive or inconclusive; "" without a verdict
    grade: Grade | Literal[""] = ""


@dataclass
class PairedTest:
    """How many images are still right in the one run and not in the other, at one budget or when clean.

    p: of McNemar's exact test, two-sided: that the images which changed went either way with the same chance. low,
    high: the 95 % interval of the difference (Agresti and Min 2005). p_adjusted: of the tests that decide, by Holm.
    """

    what: Literal["clean", "robust"]
    norm: str  # "" of clean
    eps: float  # a share of the pixel range (l0: pixels); 0 of clean
    first: float  # share of the images
    second: float
    lost: int  # right in the first, not in the second
    won: int
    low: float  # of second - first
    high: float
    p: float
    decides: bool
    p_adjusted: float | None = None

    @property
    def difference(self) -> float:
        """Second - first, in shares."""
        return self.second - self.first


@dataclass
class MedianChange:
    """The median distance over the images that both get right when clean, as shares of the pixel range (l0: pixels),
    and the 95 % interval of its change by a paired bootstrap."""

    norm: str
    images: int
    first: float | None  # None: half were never lost
    second: float | None
    low: float | None = None
    high: float | None = None


@dataclass
class ClassChange:
    """One class at the budget that decides in a norm."""

    norm: str
    eps: float
    label: int
    name: str
    images: int
    first: float
    second: float


@dataclass
class ChangedImage:
    """An image that is lost within the deciding budget in the one run and not in the other. Distances are shares of the
    pixel range (l0: pixels); None: never lost, 0: wrong when clean. Pictures are base64 PNG files, empty where there is
    none: the clean image, and the nearest adversarial of the run that lost it."""

    norm: str
    went: Literal["lost", "won"]
    sample: int  # its place in the first run
    name: str
    label: str
    first: float | None
    second: float | None
    clean_png: str = ""
    adversarial_png: str = ""


@dataclass
class ProvedChange:
    """How many images are proved up to a budget in the one run and not in the other, of those that both have
    certificates of. A proof that is lost is no adversarial; nothing is decided by it. low, high, p: of PairedTest."""

    norm: str
    eps: float  # a share of the pixel range
    images: int
    first: float  # share of the images
    second: float
    lost: int  # proved in the first, not in the second
    won: int
    low: float  # of second - first
    high: float
    p: float

    @property
    def difference(self) -> float:
        """Second - first, in shares."""
        return self.second - self.first


@dataclass
class FindingChange:
    """A finding that only one of the two has, or a check that came out otherwise."""

    kind: Literal["finding", "check"]
    name: str
    first: str  # severity or outcome; "" where it is not there
    second: str
    sentence: str


@dataclass
class Pair:
    """The first run and one of the others, on the same images."""

    first: str
    second: str
    outcome: Outcome
    sentence: str
    reasons: list[str] = field(default_factory=list)  # why they cannot be compared, or nothing is decided
    nearest: list[str] = field(default_factory=list)  # what can be said of them all the same
    images: int = 0
    tests: list[PairedTest] = field(default_factory=list)
    medians: list[MedianChange] = field(default_factory=list)
    classes: list[ClassChange] = field(default_factory=list)
    changed: list[ChangedImage] = field(default_factory=list)
    unlisted: int = 0  # images that changed beside those that are listed
    findings: list[FindingChange] = field(default_factory=list)
    proved: list[ProvedChange] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Paired:
    """Finished runs held against the first of them."""

    tool: dict[str, str]  # name, version
    data: str
    runs: list[RunFacts]
    pairs: list[Pair]
    curves: list[Curve] = field(default_factory=list)  # worst case over attacks, a line a run and norm
    schema: str = SCHEMA


DOCUMENT = Document(Paired, (SCHEMA,), "paired.schema.json", package="robusteval.finished.paired")


def to_json(paired: Paired) -> str:
    """The document as text. Raises ValueError where it holds a number that JSON cannot carry."""
    return json.dumps(dataclasses.asdict(paired), indent=1, allow_nan=False) + "\n"


def main() -> None:
    """`make schemas`: writes the published schema anew."""
    text = json.dumps(DOCUMENT.build_schema(), indent=1) + "\n"
    (Path(__file__).parent / DOCUMENT.file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
