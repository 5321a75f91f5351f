"""The pictures that a run keeps: clean, perturbation and adversarial, and what leads to each of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from robusteval.assessment.evidence.worst_case import envelope_of
from robusteval.record.run import Picture, Record
from robusteval.report.charts import pieces
from robusteval.report.charts.pieces import Value
from robusteval.report.formats import png
from robusteval.report.formats.numbers import norm_title, number, percent
from robusteval.report.sections.coverage import class_name, image

MOST = 96  # pictures of a page
FIRST = 6  # of a norm that are shown before anybody asks for more: each class's median, as the run lists them


@dataclass(frozen=True)
class Shot:
    """One sample of the gallery, its images checked; None where one was not a PNG. cell: index of the attack's cell,
    -1 where there is none such."""

    index: int
    first: bool  # whether it is shown before anybody asks for more
    norm: str
    sample: int
    distance: float
    cell: int
    label: int
    title: str
    caption: str
    images: Sequence[tuple[str, str | None, str]]  # heading, data URI, line below
    facts: Sequence[tuple[str, str]]


def gallery(record: Record) -> list[Shot]:
    """A picture a sample and attack, nearest first in each norm."""
    cells = {cell.id: index for index, cell in enumerate(record.cells)}
    nearest = {norm: envelope_of(record, norm, "none") for norm in pieces.norms(record)}
    shown: Counter[str] = Counter()
    shots = []
    for index, picture in enumerate(record.gallery[:MOST]):
        shown[picture.norm] += 1
        first = shown[picture.norm] <= FIRST
        shots.append(_shot(record, index, first, cells.get(picture.cell, -1), nearest))
    order = list(nearest)
    return sorted(shots, key=lambda shot: (order.index(shot.norm) if shot.norm in order else 9, shot.distance))


def _shot(record: Record, index: int, first: bool, cell: int, nearest: dict[str, list[float]]) -> Shot:
    picture = record.gallery[index]
    truth = class_name(record, picture.label)
    behind = f", behind {picture.defense}" if picture.defense != "none" else ""
    clean = f"{class_name(record, picture.clean_prediction)}, {percent(picture.clean_confidence, 0)}"
    fooled = f"{class_name(record, picture.prediction)}, {percent(picture.confidence, 0)}"
    gain = "as it is" if picture.perturbation_gain == 1 else f"\u00d7 {number(picture.perturbation_gain)}"
    others = [f"{norm_title(norm)} {_distance(column, picture.sample)}" for norm, column in nearest.items() if column]
    return Shot(
        index,
        first,
        picture.norm,
        picture.sample,
        picture.distance if math.isfinite(picture.distance) else 0.0,
        cell,
        picture.label,
        f"{truth}, image {image(record, picture.sample)}",
        f"{picture.attack}{behind}: {norm_title(picture.norm)} {number(picture.distance)}",
        (
            ("Clean", png.png_uri(picture.clean_png), clean),
            ("Perturbation", png.png_uri(picture.perturbation_png), gain),
            ("Adversarial", png.png_uri(picture.adversarial_png), fooled),
        ),
        [("True class", truth), ("Found by", f"{picture.attack}{behind}"), *_sizes(record, picture),
         ("Nearest of all attacks", ", ".join(others))],
    )  # fmt: skip


def _sizes(record: Record, picture: Picture) -> list[tuple[str, str]]:
    """The distance of this very adversarial, in its norm and in L2."""
    sizes = [f"{norm_title(picture.norm)} {number(picture.distance)}"]
    cell = next((cell for cell in record.cells if cell.id == picture.cell), None)
    if cell is not None and picture.norm != "l2" and picture.sample < len(cell.l2):
        sizes.append(f"L2 {number(cell.l2[picture.sample])}")
    return [("Its distance", ", ".join(sizes))]


def _distance(column: Sequence[float], sample: int) -> str:
    if sample >= len(column) or math.isinf(column[sample]):
        return "never lost"
    return number(column[sample])


def behind_cell(record: Record, norm: str, cell: str, text: str) -> Value | str:
    """An attack's name with the pictures of its wins, where there are any."""
    index = next(index for index, row in enumerate(record.cells) if row.id == cell)
    count = sum(picture.cell == cell for picture in record.gallery[:MOST])
    return Value(text, shows=f"{norm} cell {index}", pictures=count) if count else text


def behind_sample(record: Record, norm: str, sample: object, text: str) -> Value | str:
    """A sample's name with its picture in this norm, where there is one."""
    count = sum(picture.norm == norm and picture.sample == sample for picture in record.gallery[:MOST])
    return Value(text, shows=f"{norm} sample {sample}", pictures=count) if count else text


def behind_class(record: Record, norm: str, label: object, text: str) -> Value | str:
    """A class's name with its pictures in this norm, where there are any."""
    count = sum(picture.norm == norm and picture.label == label for picture in record.gallery[:MOST])
    return Value(text, shows=f"{norm} class {label}", pictures=count) if count else text
