"""Which adversarials the witness file holds, and whether it holds all that the columns need as proof, and nothing
else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from robusteval.assessment.evidence import proof
from robusteval.record.run import TITLES_ONLY, Cell, Record, Witness, Witnesses
from robusteval.verify.parts.evidence import CLEAN, LABELS, Array, Evidence
from robusteval.verify.parts.measures import distance_of
from robusteval.verify.parts.result import Verification

FEW = 16  # points of each kind at which a stored graph is compared with the model
ALONG = (1.0, 0.999, 0.9, 0.5)  # of a radius


class Key(NamedTuple):
    """A cell's id and a sample."""

    cell: str
    sample: int


@dataclass(frozen=True)
class Stored:
    """images: by cell and sample; faults: by the same, what is wrong with its entry; left: by cell, the wins that are
    not kept because the file would grow too large."""

    images: dict[Key, Array]
    faults: dict[Key, list[str]]
    left: dict[str, int]


def stored(record: Record, evidence: Evidence, result: Verification) -> Stored:
    """The adversarials by cell and sample. Missing and surplus ones are failures."""
    kept = record.witnesses
    if kept is None:
        raise ValueError("this run stored no adversarials")
    hashes = evidence.sha256 == kept.sha256
    fault = "it is not the file that the run wrote: its hash differs"
    result.judge([] if hashes else [fault], "The witness file")
    account = Stored({}, {}, {})
    _nearest(record, kept, evidence, account, result)
    _others(record, kept, evidence, account, result)
    known = {CLEAN, LABELS, *(entry.tensor for entry in kept.entries)}
    known |= {win.tensor for win in kept.wins} | {rounded.tensor for rounded in kept.rounded}
    extra = sorted(evidence.tensors.keys() - known)
    if extra:
        result.judge([f"it holds {', '.join(extra[:5])}, which the record does not mention"], "The witness file")
    return account


def _fits(tensor: Array | None, record: Record) -> bool:
    return tensor is not None and tensor.dtype == np.float32 and tensor.shape[1:] == tuple(record.model.input_shape)


def _nearest(record: Record, kept: Witnesses, evidence: Evidence, account: Stored, result: Verification) -> None:
    """The worst case of every pipeline and norm: an entry for each sample, as the columns have it."""
    entries = {Key(entry.cell, entry.sample): entry for entry in kept.entries}
    order = [Key(cell.id, sample) for places in proof.nearest(record).values() for sample, cell in places]
    if list(entries) != order and entries.keys() == set(order):
        result.judge(["they are in another order than the run writes"], "witnesses.entries")
    needed: set[Key] = set()
    for tensor, places in proof.nearest(record).items():
        rows = evidence.tensors.get(tensor)
        for number, (sample, cell) in enumerate(places):
            key = Key(cell.id, sample)
            needed.add(key)
            entry = entries.get(key)
            whole = rows if rows is not None and _fits(rows, record) and number < len(rows) else None
            if entry is None or whole is None:
                result.judge(
                    [f"the nearest adversarial in {cell.norm} is not there as the columns need it"], _name(key)
                )
                continue
            account.images[key] = whole[number]
            account.faults[key] = _entry(entry, record, cell, tensor, number, whole[number])
        if rows is not None and len(rows) != len(places):
            result.judge([f"it has {len(rows)} rows for {len(places)} lost samples"], f"Tensor {tensor}")
    surplus = [key for key in entries if key not in needed]
    if surplus or len(kept.entries) != len(entries):
        who = ", ".join(_name(key) for key in surplus[:3]) or "one of them twice"
        result.judge([f"there are entries that no column needs ({who})"], "witnesses.entries")


def _entry(entry: Witness, record: Record, cell: Cell, tensor: str, row: int, image: Array) -> list[str]:
    """What an entry says against the columns and the bytes."""
    faults = []
    if hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() != entry.sha256:
        faults.append("its bytes changed")
    if (entry.tensor, entry.row) != (tensor, row):
        faults.append(f"it is said to be row {entry.row} of {entry.tensor}, and is row {row} of {tensor}")
    if (entry.defense, entry.norm) != (cell.defense, cell.norm):
        faults.append("its entry names another pipeline or norm")
    if entry.distance != cell.distance[entry.sample]:
        faults.append(
            f"its distance is {cell.distance[entry.sample]:.8g} in its column, and its entry says distance "
            f"{entry.distance:.8g}"
        )
    if entry.label != record.data.labels[entry.sample]:
        faults.append(f"its label is {record.data.labels[entry.sample]}, not {entry.label}")
    if entry.prediction != cell.prediction[entry.sample]:
        faults.append("its entry and its column have another answer")
    return faults


def _others(record: Record, kept: Witnesses, evidence: Evidence, account: Stored, result: Verification) -> None:
    """Every other win, cell by cell."""
    if kept.limit != proof.LIMIT and not (kept.limit == 0 and record.schema == TITLES_ONLY):  # 0: before there was one
        result.judge([f"the rule is {proof.LIMIT} bytes"], f"witnesses.limit is {kept.limit}")
    expected, left = proof.wins(record, kept.limit)
    account.left.update(left)
    tensors = {win.cell: win.tensor for win in kept.wins}
    if len(tensors) != len(kept.wins) or list(tensors) != list(expected):
        result.judge(["they are not of the cells that have such wins, in their order"], "witnesses.wins")
    for cell, samples in expected.items():
        rows = evidence.tensors.get(tensors.get(cell, ""))
        if rows is None or not _fits(rows, record) or len(rows) != len(samples):
            found = 0 if rows is None else len(rows)
            result.judge([f"{found} stored adversarials for {len(samples)} distances above 0"], cell, len(samples))
            continue
        for number, sample in enumerate(samples):
            account.images[Key(cell, sample)] = rows[number]


def _name(key: Key) -> str:
    return f"{key.cell}, sample {key.sample}"


def towards(record: Record, evidence: Evidence, sample: int, norm: str, radius: float) -> list[Array]:
    """Points [4, pixels] of a ball on the line to the sample's nearest adversarial, where another answer is near; none
    where there is none."""
    name = proof.tensor_name("none", norm)
    rows = [place for place, (lost, _) in enumerate(proof.nearest(record).get(name, [])) if lost == sample]
    stored = evidence.tensors.get(name)
    if not rows or stored is None or len(stored) <= rows[0]:
        return []
    clean, far = evidence.tensors[CLEAN][sample], stored[rows[0]]
    length = distance_of(clean, far, norm)
    x, away = clean.astype(np.float64).reshape(-1), (far.astype(np.float64) - clean).reshape(-1)
    return [np.stack([x + share * radius / length * away for share in ALONG])] if length > 0 else []


def everywhere(record: Record, evidence: Evidence) -> Array:
    """Points [n, pixels] of the whole box: some of the clean samples and adversarials, mixtures of these, and noise.
    Others each time, so that nobody can make a graph that is the model at those alone."""
    rng = np.random.default_rng()
    known = [evidence.tensors[CLEAN], *(evidence.tensors.get(name) for name in proof.nearest(record))]
    images = [part.astype(np.float64).reshape(len(part), -1) for part in known if part is not None and len(part)]
    pool = np.concatenate([part[rng.integers(len(part), size=FEW)] for part in images])
    pairs, share = rng.integers(len(pool), size=(2, FEW)), rng.random((FEW, 1))
    low, high = record.model.bounds
    noise = rng.uniform(low, high, (FEW, pool.shape[1]))
    return np.concatenate([pool, share * pool[pairs[0]] + (1 - share) * pool[pairs[1]], noise])
