"""Every stored distance against its adversarial: box, grid, distance, L2, budget, answer, and what rounding leaves of
it."""

from __future__ import annotations

import numpy as np

from robusteval.assessment.evidence import proof
from robusteval.record.run import Cell, Pipeline, Record
from robusteval.verify.parts.evidence import CLEAN, Array, Evidence
from robusteval.verify.parts.measures import distance_of, levels_of, off_grid, pixels_of
from robusteval.verify.parts.result import Verification
from robusteval.verify.parts.stored import Key, Stored

DEFENDED = "answers behind a defence: bytes, box and distance were checked, the answer needs the defence"
_COARSE = -80.0  # logarithm of a probability, below which float32 has hardly a digit
_TIE = 1e-3  # of a score's size: classes as unlikely as one another
ROOM = "wins whose adversarials would make the witness file too large, so that their distances have no proof"
CLASSES = "distances to single classes, of which a run keeps the adversarial of the nearest alone"
OLD = "wins beside the nearest ones, which runs did not keep when this one was made"


def check_columns(record: Record, evidence: Evidence, there: Stored, result: Verification) -> None:
    """One claim for each distance, that of a sample which is wrong when clean included."""
    empty = 0
    for cell in proof.attacked(record):
        _cell(record, cell, evidence, there, result)
        empty += sum(value is None for value in cell.distance)
        result.leave(CLASSES, sum(max(sum(bool(value) for value in row) - 1, 0) for row in cell.by_target))
    old = record.witnesses is not None and record.witnesses.limit == 0
    result.leave(OLD if old else ROOM, sum(there.left.values()))
    if empty:
        result.notes.append(
            f"{empty} entries say that an attack found nothing: no file can show that, only running it again."
        )


def _cell(record: Record, cell: Cell, evidence: Evidence, there: Stored, result: Verification) -> None:
    pipeline = next((row for row in record.pipelines if row.defense == cell.defense), None)
    if pipeline is None or pipeline.status != "done":
        result.judge(["its pipeline has no clean answers"], cell.id)
        return
    _form(record, cell, pipeline, result)
    samples = [n for n, value in enumerate(cell.distance) if Key(cell.id, n) in there.images and value]
    if not samples:
        return
    images = np.stack([there.images[Key(cell.id, sample)] for sample in samples])
    bare = cell.defense == "none" and cell.knowledge == "none"
    asked = evidence.model is not None and bare
    answers = rounded = None
    finite = np.isfinite(images.reshape(len(images), -1)).all(axis=1)
    if asked and evidence.model is not None:
        safe = np.where(finite.reshape(-1, *[1] * (images.ndim - 1)), images, np.float32(record.model.bounds[0]))
        answers = evidence.model.labels(safe)
        if _keeps_no_images(record, cell):
            rounded = evidence.model.labels(pixels_of(levels_of(safe, record.model.bounds), record.model.bounds))
    else:
        result.leave(DEFENDED if not bare else evidence.without, len(samples))
    clean = evidence.tensors[CLEAN]
    rare = _least_likely(record, cell, samples, evidence) if asked and cell.target == "least-likely" else None
    for number, sample in enumerate(samples):
        faults = list(there.faults.get(Key(cell.id, sample), ()))
        faults += _feasibility(record, cell, images[number], clean[sample], sample)
        if answers is not None:
            faults += _answer(record, cell, sample, int(answers[number]))
        if rare is not None and not rare[number]:
            faults.append(f"the class {cell.prediction[sample]} is not the one that the model finds least likely")
        if rounded is not None:
            faults += _survives(record, cell, sample, int(rounded[number]))
        result.judge(faults, f"{cell.id}, sample {sample}")


def _keeps_no_images(record: Record, cell: Cell) -> bool:
    """Whether the cell's wins are not kept as 8-bit images too, which are asked about by themselves."""
    return record.witnesses is None or cell.id not in {kept.cell for kept in record.witnesses.rounded}


def _form(record: Record, cell: Cell, pipeline: Pipeline, result: Verification) -> None:
    """What columns say to each other: 0 where wrong when clean and nowhere else, and nothing beside what was not
    won."""
    for sample, value in enumerate(cell.distance):
        faults = []
        wrong = pipeline.prediction[sample] != record.data.labels[sample]
        if wrong != (value == 0):
            clean = "wrong" if wrong else "right"
            faults.append(f"its distance is {value}, and the clean sample is answered {clean}")
        won = value is not None and value > 0
        for name in ("l2", "prediction", "survives_8bit", "member"):
            column = getattr(cell, name)
            if name == "member" and not column:
                continue
            if len(column) != len(cell.distance):
                faults.append(f"there is no column {name}")
            elif name == "l2" and not won and column[sample] != value:
                faults.append("its l2 is that of a win, and there is none")
            elif name != "l2" and (column[sample] is not None) != won:
                faults.append(f"its {name} goes not with its distance")
        if cell.member and cell.member[sample] is not None and cell.member[sample] not in cell.params:
            faults.append(f"there is no attack {cell.member[sample]} in it")
        if cell.by_target and not wrong:
            others = [
                distance for goal, distance in enumerate(cell.by_target[sample]) if goal != record.data.labels[sample]
            ]
            nearest = min((other for other in others if other is not None), default=None)
            if nearest != value:
                faults.append(f"its nearest class is at {nearest}, and its distance is {value}")
        if value == 0 or faults:
            result.judge(faults, f"{cell.id}, sample {sample}")


def _feasibility(record: Record, cell: Cell, image: Array, clean: Array, sample: int) -> list[str]:
    """Box, grid, distances, budget."""
    low, high = record.model.bounds
    if not np.isfinite(image).all() or image.min() < low or image.max() > high:
        return ["it lies outside the box"]
    faults = []
    if record.suite.levels and off_grid(image, record.model.bounds, record.suite.levels):
        faults.append(f"it is not on the grid of {record.suite.levels + 1} levels")
    grid = record.model.grid
    if len(grid) == 3 and grid[2] and off_grid(image, grid[:2], int(grid[2])):
        faults.append(f"it is not on the grid of {int(grid[2]) + 1} values that the file takes")
    found, printed = distance_of(clean, image, cell.norm), cell.distance[sample]
    if printed is None or not np.isclose(found, printed, rtol=1e-9, atol=1e-12):
        faults.append(f"its distance is {found:.8g}, not {printed}")
    length, printed_l2 = distance_of(clean, image, "l2"), cell.l2[sample] if cell.l2 else None
    if printed_l2 is None or not np.isclose(length, printed_l2, rtol=1e-9, atol=1e-12):
        faults.append(f"its L2 distance is {length:.8g}, not {printed_l2}")
    # a grid may move a win beyond its budget; a cascade takes back those
    free = not record.suite.levels and not record.model.grid
    bound = cell.eps is not None and (cell.threat == "budget" or free)
    if bound and found > (cell.eps or 0.0) * (1 + 1e-5):
        faults.append(f"it is farther than the cell's budget of {cell.eps:.8g}")
    return faults


def wins(answer: int, label: int, target: str, aimed: int | None) -> bool:
    """Whether an answer is a win: a class other than the label, and where one class alone counts, that one."""
    if answer < 0 or answer == label:
        return False
    if target.startswith("class "):
        return answer == int(target.removeprefix("class "))
    return answer == aimed if target == "least-likely" else True


def _least_likely(record: Record, cell: Cell, samples: list[int], evidence: Evidence) -> Array:
    """Whether each win's class is the one that the model finds least likely for the clean sample, the true one aside:
    bool [n]. Scores may differ from one batch size or machine to another."""
    if evidence.model is None:
        return np.ones(len(samples), dtype=bool)
    scores = np.nan_to_num(evidence.model.scores(evidence.tensors[CLEAN][samples]).astype(np.float64))
    if record.model.output == "probabilities":
        scores = np.maximum(scores, _COARSE)
    rows = np.arange(len(samples))
    aimed = scores[rows, [int(cell.prediction[sample] or 0) for sample in samples]]
    scores[rows, [record.data.labels[sample] for sample in samples]] = np.inf
    return np.asarray(aimed <= scores.min(axis=1) + _TIE * np.maximum(1.0, np.abs(aimed)))


def _answer(record: Record, cell: Cell, sample: int, answer: int) -> list[str]:
    label, printed = record.data.labels[sample], cell.prediction[sample]
    if answer == label:
        return ["ONNX Runtime gives the right answer"]
    if not wins(answer, label, cell.target, printed):
        return [f"ONNX Runtime answers {answer}, which is no win for the target {cell.target}"]
    return [] if answer == printed else [f"ONNX Runtime answers {answer}, not {printed}"]


def _survives(record: Record, cell: Cell, sample: int, answer: int) -> list[str]:
    still = wins(answer, record.data.labels[sample], cell.target, cell.prediction[sample])
    printed = cell.survives_8bit[sample] if cell.survives_8bit else None
    if still == printed:
        return []
    return [f"rounded to 8 bits it fools the model {'after all' if still else 'no more'}"]
