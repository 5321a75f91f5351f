"""Labelled samples of which the engine asks for the rows that it needs, wherever they lie.

`Samples`, which plugins see, hold their images in memory and are such a source. What a run evaluates is one that reads
them when a unit needs them (`engine/data/on_demand.py`), so that memory does not grow with the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from robusteval.contracts.samples import Samples

BLOCK = 256  # rows that are looked at together where all are gone through


class Rows(Protocol):
    """float32 [N, *shape] whose rows are made when they are asked for; a tensor is one."""

    @property
    def shape(self) -> Sequence[int]:
        """(N, *shape)."""
        ...

    @property
    def device(self) -> torch.device:
        """Where rows are put."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Tensor:
        """rows: a number, for [*shape]; a slice, a tensor of whole numbers or of booleans, or a list of numbers. Raises
        DataError where they cannot be read, or are others than they were."""
        ...


class Source(Protocol):
    """Images with labels, as `Samples` has them. y: int64 [N], always in memory."""

    @property
    def x(self) -> Rows: ...
    @property
    def y(self) -> Tensor: ...
    @property
    def bounds(self) -> tuple[float, float]: ...
    @property
    def name(self) -> str: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def grid(self) -> tuple[float, float, int] | tuple[()]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | Tensor, /) -> Samples:
        """These rows, in memory. Raises DataError as `Rows` does."""
        ...

    def copy(self) -> Samples:
        """All of them, in tensors of their own."""
        ...

    def hashes(self) -> list[str]:
        """As Samples.hashes."""
        ...

    def contents(self) -> list[str]:
        """As Samples.contents."""
        ...

    def sha256(self) -> str:
        """As Samples.sha256."""
        ...


@runtime_checkable
class Known(Protocol):
    """A source that has gone through its images and kept what it saw."""

    def l2(self) -> list[float]:
        """The L2 norm of each sample."""
        ...

    def span(self) -> tuple[float, float]:
        """The least and the largest value of all pixels."""
        ...


def blocks(count: int, size: int = BLOCK) -> Iterator[slice]:
    """So many rows in order, a few at a time."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def l2_of(samples: Source) -> list[float]:
    """The L2 norm of each sample, in float64."""
    if isinstance(samples, Known):
        return samples.l2()
    return [float(size) for rows in blocks(len(samples)) for size in l2_norms(samples.x[rows])]


def l2_norms(x: Tensor) -> Tensor:
    """float64 [B] of images [B, *shape]."""
    found: Tensor = x.double().flatten(1).norm(dim=1)
    return found


def span_of(samples: Source) -> tuple[float, float]:
    """(least, largest) of all pixels."""
    if isinstance(samples, Known):
        return samples.span()
    parts = [samples.x[rows].aminmax() for rows in blocks(len(samples))]
    return min(float(part.min) for part in parts), max(float(part.max) for part in parts)


@dataclass(frozen=True)
class Window:
    """The samples of one chunk at their places among `total`, for a worker that cannot reach the data: what is asked of
    it has to lie inside. start: the place of its first."""

    part: Samples
    start: int
    total: int

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, rows: slice | Tensor, /) -> Samples:
        if not isinstance(rows, slice) or rows.start < self.start or rows.stop > self.start + len(self.part):
            raise IndexError("these samples were not sent along")
        return self.part[rows.start - self.start : rows.stop - self.start]

    @property
    def x(self) -> Rows:
        """Of the chunk alone: for its device and the shape of an image."""
        return self.part.x

    @property
    def y(self) -> Tensor:
        """Of the chunk alone."""
        return self.part.y

    @property
    def bounds(self) -> tuple[float, float]:
        """As the samples have them."""
        return self.part.bounds

    @property
    def grid(self) -> tuple[float, float, int] | tuple[()]:
        """As the samples have it."""
        return self.part.grid
