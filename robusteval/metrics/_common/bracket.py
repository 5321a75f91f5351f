"""Proved, broken, unknown: the two edges between which the accuracy of a pipeline lies, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robusteval.metrics._common import columns
from robusteval.record.run import Certificate, Record

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Edges:
    """Of the samples that certifiers were asked about, [n]: rows, their places in the data; proved, the largest radius
    that is proved, 0 for none; broken, the smallest distance of a win, inf for none, 0 for wrong when clean; by, the
    certifier of each radius."""

    rows: NDArray[np.int64]
    proved: Floats
    broken: Floats
    by: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many samples there are."""
        return int(self.rows.size)


@dataclass(frozen=True)
class Shares:
    """Shares of the samples at one budget, which sum to 1."""

    proved: float
    unknown: float
    broken: float


def edges_of(record: Record, norm: str, defense: str = columns.BARE) -> Edges | None:
    """The edges in a norm, over all certifiers that finished; None where none did, or no attack was made there.

    defense: whose, the bare model's unless said otherwise; behind a defence the attacks are those that go through it.
    """
    done = [row for row in _proofs(record, defense) if row.norm == norm and row.status == "done" and row.samples]
    pipeline = next((row for row in columns.pipelines(record) if row.defense == defense), None)
    if not done or pipeline is None:
        return None
    right = columns.right_when_clean(record, pipeline)
    worst = columns.worst_case(columns.attack_cells(record, norm, defense), right)
    if worst is None:
        return None
    rows = sorted({sample for row in done for sample in row.samples if 0 <= sample < record.data.samples})
    radius, by = dict.fromkeys(rows, 0.0), dict.fromkeys(rows, "")
    for row in done:
        for sample, value in zip(row.samples, row.radius, strict=True):
            if sample in radius and value > radius[sample]:
                radius[sample], by[sample] = value, row.certifier
    index = np.asarray(rows, dtype=np.int64)
    proved = np.where(right[index], np.asarray([radius[sample] for sample in rows], dtype=np.float64), 0.0)
    return Edges(index, proved, worst.distance[index], tuple(by[sample] for sample in rows))


def certified_pipelines(record: Record) -> list[tuple[str, str]]:
    """(defence, norm) of all that certifiers were asked about, the bare model first."""
    bare = [(columns.BARE, row.norm) for row in record.certificates]
    return list(dict.fromkeys([*bare, *((row.defense, row.norm) for row in record.certificates_behind)]))


def _proofs(record: Record, defense: str) -> Sequence[Certificate]:
    if defense == columns.BARE:
        return record.certificates
    return [row for row in record.certificates_behind if row.defense == defense]


def contradicted(edges: Edges) -> NDArray[np.bool_]:
    """Samples with a win inside the proved ball, [n]. Balls are closed, so a win on the sphere counts as well."""
    inside: NDArray[np.bool_] = (edges.broken <= edges.proved) & (edges.proved > 0)
    return inside


def known_at(edges: Edges, eps: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(proved, broken) of each sample at a budget, [n]: broken by a win within it, or else proved up to it, or else
    neither. A contradicted proof proves nothing."""
    broken: NDArray[np.bool_] = edges.broken <= eps
    proved: NDArray[np.bool_] = (edges.proved >= eps) & ~broken & ~contradicted(edges) & (edges.broken > 0)
    return proved, broken


def shares_at(edges: Edges, eps: float) -> Shares:
    """What is known of the samples at a budget, as `known_at` has it."""
    proved, broken = known_at(edges, eps)
    total = max(edges.count, 1)
    first, second = int(proved.sum()) / total, int(broken.sum()) / total
    return Shares(first, 1 - first - second, second)


def lower_edge(record: Record, norm: str) -> tuple[Floats, Floats]:
    """The lower edge of accuracy against distance: (distances, shares), both [m] and falling in steps: at a distance up
    to distances[i] at least the share shares[i] of the samples that certifiers were asked about is proved to be right.

    Empty arrays where nothing is known. The worst case over attacks on the same samples is the upper edge.
    """
    edges = edges_of(record, norm)
    if edges is None:
        return np.empty(0), np.empty(0)
    proved = np.where(contradicted(edges), 0.0, edges.proved)
    distances = np.unique(proved[proved > 0])
    shares = np.asarray([(proved >= value).mean() for value in distances], dtype=np.float64)
    return distances, shares
