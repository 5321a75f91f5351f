"""Finished runs held against the first of them: the whole document."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

import robusteval
from robusteval.errors import RecordError
from robusteval.finished.images import Images
from robusteval.finished.paired.document import ChangedImage, Pair, Paired
from robusteval.finished.paired.pairs import pair
from robusteval.finished.paired.runs import Finished, aligned, apart
from robusteval.metrics._common import columns
from robusteval.metrics._common.steps import step_points
from robusteval.record.derived import Curve
from robusteval.record.units import norm_width

PICTURES = 12  # of each pair, norm and direction


def compare(runs: Sequence[Finished]) -> Paired:
    """The first run against each of the others, on the same images. runs: two or more.

    A pair that is not comparable says why. Raises RecordError for fewer than two runs.
    """
    if len(runs) < 2:
        raise RecordError("A comparison needs two runs or more.", "Give the folders of finished runs.")
    first, others = runs[0], runs[1:]
    pairs = [pair(first, other) for other in others]
    for made, other in zip(pairs, others, strict=True):
        _illustrate(made, first, other)
    return Paired(
        tool={"name": "robusteval", "version": robusteval.__version__},
        data=f"{first.record.data.samples} images of {first.record.data.name}",
        runs=[run.facts for run in runs],
        pairs=pairs,
        curves=list(_curves([first, *(run for run in others if not apart(first.record, run.record))])),
    )


def _curves(runs: Sequence[Finished]) -> Iterator[Curve]:
    """The worst case over the attacks that all of these finished, by norm, a line a run."""
    for norm in columns.NORMS:
        attacks = set.intersection(*({cell.attack for cell in run.cells(norm)} for run in runs))
        for run in runs if attacks else ():
            cells = [cell for cell in run.cells(norm) if cell.attack in attacks]
            if columns.has_curve(cells):
                reach = columns.searched(cells)
                width = norm_width(norm, run.record.model.bounds)
                end = None if reach is None else reach / width
                points = step_points(run.distances(norm, attacks), end, band=True)
                yield Curve(run.key, points, norm, {"norm": norm, "run": run.key})


def _illustrate(made: Pair, first: Finished, second: Finished) -> None:
    """Puts pictures to the images that changed, as far as the runs' files have them."""
    shown: dict[tuple[str, str], int] = {}
    chosen: list[ChangedImage] = []
    for image in made.changed:
        count = shown.get((image.norm, image.went), 0)
        if count < PICTURES:
            shown[image.norm, image.went] = count + 1
            chosen.append(image)
    if not chosen:
        return
    rows = aligned(first, second).rows
    images: tuple[Images, Images] = (first.images, second.images)
    try:
        for image in chosen:
            lost = image.went == "lost"
            holder, sample = (images[1], int(rows[image.sample])) if lost else (images[0], image.sample)
            image.clean_png = _text(images[0].clean(image.sample))
            image.adversarial_png = _text(holder.nearest(sample, image.norm))
    except RecordError as error:
        made.notes.append(f"Not every picture is shown: {error.message}")


def _text(png: bytes | None) -> str:
    return "" if png is None else base64.b64encode(png).decode()
