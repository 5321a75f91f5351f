"""The slopes that a certifier's bound of one image used, kept beside the graph: read, checked, and put into lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robusteval.errors import RecordError
from robusteval.verify.proofs.graph import Array
from robusteval.verify.proofs.lines import Lines

PREFIX = "slopes"
Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Turned:
    """Lower slopes [S, F] of an activation's ReLUs at the places free [F], in each of S rows."""

    free: NDArray[np.int64]
    slope: Array

    def instead_of(self, line: Lines) -> Array:
        """Lower slopes [S, n]: these where a ReLU is undecided, as far as they are sound there, else the line's own."""
        below = np.tile(line.below, (len(self.slope), 1))
        sound = np.clip(self.slope, line.bend[self.free], 1.0)
        below[:, self.free] = np.where(line.free[self.free], sound, below[:, self.free])
        return below


@dataclass(frozen=True)
class Kept:
    """Of one node: which functions of its value were bounded, rows [S] (2 i: +v[i], 2 i + 1: -v[i]; of the scores the
    rival class), and by place the slopes of the activations before it."""

    rows: NDArray[np.int64]
    low: Mapping[int, Turned]

    def part(self, some: slice) -> Kept:
        """Some of the rows."""
        return Kept(self.rows[some], {at: Turned(turned.free, turned.slope[some]) for at, turned in self.low.items()})


Slopes = Mapping[int, Kept]  # by place of the node, in the graph without maxima
NONE: Slopes = {}


def name_of(certifier: str, norm: str, sample: int) -> str:
    """What the names of an image's tensors begin with."""
    return f"{PREFIX}.{certifier}.{norm}.{sample}."


def has(tensors: Tensors, certifier: str, norm: str, sample: int) -> bool:
    """Whether slopes of an image were kept."""
    return any(name.startswith(name_of(certifier, norm, sample)) for name in tensors)


def read(tensors: Tensors, certifier: str, norm: str, sample: int) -> Slopes:
    """The slopes of one image; none where none were kept. Raises RecordError for what are no slopes."""
    start = name_of(certifier, norm, sample)
    own = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
    try:
        return {int(name.split(".")[0]): _kept(own, name.split(".")[0]) for name in own if name.endswith(".rows")}
    except (KeyError, ValueError, TypeError):
        raise RecordError(f"The slopes of sample {sample} are none.", "Run the evaluation again.") from None


def _kept(own: Tensors, node: str) -> Kept:
    (rows,) = own[f"{node}.rows"].astype(np.int64)
    low = {}
    for name in own:
        parts = name.split(".")
        if len(parts) == 3 and parts[0] == node and parts[2] == "slope":
            (free,) = own[f"{node}.{parts[1]}.free"].astype(np.int64)
            (slope,) = own[name].astype(np.float64)
            if slope.shape != (len(rows), len(free)) or not np.isfinite(slope).all():
                raise ValueError(name)
            low[int(parts[1])] = Turned(free, slope)
    return Kept(rows, low)
