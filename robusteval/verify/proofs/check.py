"""The certificates of a run against its stored graph: is it the model's, and do a few of the radii follow from it?"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from robusteval.errors import RecordError
from robusteval.plain import read_plain
from robusteval.record.run import Certificate, Record
from robusteval.verify.parts.evidence import CLEAN, Array, Evidence
from robusteval.verify.parts.result import Verification
from robusteval.verify.parts.stored import everywhere, towards
from robusteval.verify.proofs.bound import enclosure, margin
from robusteval.verify.proofs.graph import Graph, NotRepeatedError, read, scores
from robusteval.verify.proofs.slopes import NONE, has
from robusteval.verify.proofs.slopes import read as slopes

FILE = "proofs.safetensors"
REPEATED = "crown"  # whose bounds need nothing but the graph
TURNED = "alpha-crown"  # whose bounds need the slopes that were found
SAMPLES = 3  # in each norm, those with the largest radius
MAX_BYTES = 1 << 28
_POINTS = 16  # drawn from each of these balls, at which graph and model are compared
_AT_ONCE = 32  # points that the graph is asked about together
_BETWEEN = 48  # points, drawn anew each time, at which a graph that rounds is compared: it is asked one by one
_CLOSE = 1e-3  # of the leads of scores, relative to the largest score
_VAGUE = 0.5  # of the largest score: how far a graph's rounding may leave scores open
LEFT = "certificates that are not proved again: each norm's largest ones by crown, and by alpha-crown with slopes, are"
UNTIED = "certificates that follow from the stored graph, which was not compared with the model"
BEHIND = "certificates behind defences: verify does not have the defence, so what it does to an image is its own word"
UNREAD = "certificates whose graph is not stored, or has nodes that are not proved again here"


def check_proofs(record: Record, folder: Path, evidence: Evidence, result: Verification) -> None:
    """Proves the largest radii in each norm again, and compares the stored graph with the model on points of their
    balls. The rest is counted as left."""
    behind = sum(value > 0 for row in record.certificates_behind for value in row.radius)
    if behind:
        result.leave(BEHIND, behind)
    rows = [row for row in record.certificates if row.status == "done" and row.samples]
    claims = sum(value > 0 for row in rows for value in row.radius)
    if not claims:
        return
    if record.proofs is None:
        if (folder / FILE).exists():
            result.judge(["it is there, and the record does not name it"], "The stored graph")
        result.leave(UNREAD, claims)
        return
    if record.proofs.file != FILE:
        result.judge([f"a run keeps it in {FILE}, and nowhere else"], "The stored graph")
        return
    try:
        content = read_plain(folder / FILE, MAX_BYTES, follow=False)
        graph = read(content)
    except (OSError, RecordError) as error:
        result.judge([f"it cannot be read: {error}"], "The stored graph")
        return
    same = hashlib.sha256(content).hexdigest() == record.proofs.sha256
    result.judge([] if same else ["it is not the file that the run wrote: its hash differs"], "The stored graph")
    if evidence.model is not None:
        try:
            differs = _apart(graph, evidence, everywhere(record, evidence), record)
        except NotRepeatedError:  # nothing that follows from it is proved again, which is counted below
            differs = None
        except RecordError as error:
            differs = error.message
        if differs is not None:
            result.judge([differs] if differs else [], "The stored graph beside the model")
    done = 0
    for row in rows:
        if row.certifier in (REPEATED, TURNED):
            done += _row(record, row, graph, evidence, result)
    result.leave(LEFT, claims - done)


def _row(record: Record, row: Certificate, graph: Graph, evidence: Evidence, result: Verification) -> int:
    """Proves the largest radii of a row again; how many there are."""
    turned = row.certifier == TURNED
    order = sorted(range(len(row.radius)), key=lambda place: (-row.radius[place], place))
    order = [place for place in order if not turned or has(graph.tensors, TURNED, row.norm, row.samples[place])]
    chosen = [place for place in order[:SAMPLES] if row.radius[place] > 0]
    low, high = record.model.bounds
    done = 0
    for place in chosen:
        sample, radius = row.samples[place], row.radius[place]
        where = f"The certificate of sample {sample} in {row.norm}"
        x = evidence.tensors[CLEAN][sample].astype(np.float64).reshape(-1)
        label = record.data.labels[sample]
        faults: list[str] = []
        try:
            differs = _unlike(graph, evidence, sample, radius, row.norm, record)
            faults += [differs] if differs else []
            kept = slopes(graph.tensors, TURNED, row.norm, sample) if turned else NONE
            found = margin(graph, x, label, row.norm, radius, (low, high), kept)
        except NotRepeatedError:
            result.leave(UNREAD)
            done += 1
            continue
        except RecordError as error:
            result.judge([*faults, error.message], where)
            done += 1
            continue
        if not found > graph.slack:
            faults.append(
                f"within {radius:.6g} the margin is only known to be {found:.4g} or more: that proves nothing"
            )
        if differs is None and not faults:
            result.leave(UNTIED)
        else:
            result.judge(faults, where)
        done += 1
    return done


def _unlike(graph: Graph, evidence: Evidence, sample: int, radius: float, norm: str, record: Record) -> str | None:
    """How the graph does not answer as the model does, at points of the ball, as `_apart` has it: drawn anew each time,
    so that nobody can make a graph for them, and on the way to the nearest adversarial."""
    x = evidence.tensors[CLEAN][sample].astype(np.float64).reshape(-1)
    reach = radius if norm == "linf" else radius / len(x) ** (0.5 if norm == "l2" else 1.0)
    rng = np.random.default_rng()
    drawn = rng.choice([-1.0, 1.0], (_POINTS, len(x))) * reach * rng.random((_POINTS, 1))
    points = np.concatenate([x[None], x + drawn, *towards(record, evidence, sample, norm, radius)])
    return _apart(graph, evidence, points, record)


def _apart(graph: Graph, evidence: Evidence, points: Array, record: Record) -> str | None:
    """How far the graph is from the model at points [n, pixels], in words, empty where it is near; None where they
    cannot be compared. Raises RecordError for what is no graph.

    What rounds to whole numbers may go either way near a half: the model's answers have to lie where the graph says
    that they may. A graph that leaves most points' answers open says too little for that.
    """
    if evidence.model is None:
        return None
    if any(node.rounds for node in graph.nodes):
        points = np.random.default_rng().permutation(points)[:_BETWEEN]
    low, high = record.model.bounds
    points = np.clip(points, low, high).astype(np.float32)
    theirs = evidence.model.scores(points.reshape(-1, *record.model.input_shape)).astype(np.float64)
    finite = np.isfinite(theirs).all(1)
    if not finite.any():
        return None
    least, most = _ends(graph, points.astype(np.float64)[finite])
    theirs = theirs[finite]
    if least.shape != theirs.shape:
        return "the stored graph has other classes than the model"
    if graph.slack > 0:  # the model's scores are those behind a softmax
        least, most = least - _total(most), most - _total(least)
        least, most, theirs = (np.maximum(value, -20.0) for value in (least, most, theirs))
    size = max(1.0, float(np.abs(theirs).max()))
    leads = theirs - theirs[:, :1]
    gap = float(np.maximum(least - most[:, :1] - leads, leads - most + least[:, :1]).max())
    if not gap <= _CLOSE * size:
        return f"the stored graph answers otherwise than the model, by {gap:.3g}"
    return "" if np.median((most - least).max(1)) <= _VAGUE * size else None


def _ends(graph: Graph, points: Array) -> tuple[Array, Array]:
    """Between which numbers the graph's scores of points [n, pixels] lie, both [n, K]. Raises RecordError for what is
    no graph."""
    try:
        if any(node.rounds for node in graph.nodes):
            ends = [enclosure(graph, point) for point in points]
            return np.stack([pair[0] for pair in ends]), np.stack([pair[1] for pair in ends])
        parts = [points[start : start + _AT_ONCE] for start in range(0, len(points), _AT_ONCE)]
        own = np.concatenate([scores(graph, part) for part in parts])
    except RecordError:
        raise
    except Exception as error:  # noqa: BLE001 - shapes and places of a hostile graph need not fit each other
        raise RecordError(f"The stored graph contradicts itself ({type(error).__name__}).", "Run it again.") from None
    return own, own


def _total(values: Array) -> Array:
    """The logarithm of the sum of the exponentials of each row, [B, 1]."""
    largest = values.max(1, keepdims=True)
    return np.asarray(largest + np.log(np.exp(values - largest).sum(1, keepdims=True)))
