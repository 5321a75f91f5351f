"""Samples that are read, put into the model's range and layout, and dropped, each time that somebody asks for them.

Where they lie travels to workers, not the images: some sixty bytes for each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robusteval.contracts.samples import Samples
from robusteval.engine.data.images import CHANGED, Array, Held, Images, places_of
from robusteval.engine.data.pixels import Scale, ordered
from robusteval.errors import DataError

SEAL = 16  # bytes of an image's hash that workers hold against what they read

Grid = tuple[float, float, int] | tuple[()]


@dataclass(frozen=True, eq=False)
class Facts:
    """What going through all images has shown. sha256: as Samples.sha256; hashes: uint8 [N, 32], as Samples.hashes;
    contents: uint8 [N, 16], as Samples.contents; l2: float64 [N]; span: the least and the largest value."""

    sha256: str
    hashes: NDArray[np.uint8]
    contents: NDArray[np.uint8]
    l2: NDArray[np.float64]
    span: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Pixels:
    """float32 [N, *shape] made of stored images on demand.

    places: int64 [N], where they stand among the stored ones; order: as `pixels.order_of` has it; finish: what a file
    that takes whole numbers does to them; seals: uint8 [N, SEAL], what their hashes begin with, where they are held
    against what is read.
    """

    images: Images
    places: NDArray[np.int64]
    order: NDArray[np.int64] | None
    image_shape: tuple[int, ...]
    scale: Scale
    name: str = ""
    finish: Callable[[Tensor], Tensor] | None = None
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - it cannot be changed
    seals: NDArray[np.uint8] | None = None

    @property
    def shape(self) -> torch.Size:
        """(N, *shape)."""
        return torch.Size((len(self.places), *self.image_shape))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any, /) -> Tensor:
        if isinstance(rows, int):
            return self[[rows]][0]
        chosen = rows_of(rows, len(self))
        x = self.finished(self.stored(chosen))
        self._check(x, chosen)
        return x.to(self.device)

    def stored(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 [n, *shape], in the model's layout and the data's range; a fresh array. Raises DataError."""
        found: Array = ordered(self.images[self.places[rows]], self.order, self.image_shape)
        return found.astype(np.float32)

    def scaled(self, stored: NDArray[np.float32]) -> Tensor:
        """The same in the model's range, in its place."""
        return torch.from_numpy(np.ascontiguousarray(self.scale.mapped(stored)))

    def finished(self, stored: NDArray[np.float32]) -> Tensor:
        """The same as the model's file takes them."""
        x = self.scaled(stored)
        return x if self.finish is None else self.finish(x)

    def _check(self, x: Tensor, rows: NDArray[np.int64]) -> None:
        """Raises DataError where an image is another than it was when all were gone through."""
        if self.seals is None:
            return
        for row, image in zip(rows.tolist(), x.numpy(), strict=True):
            if hashlib.sha256(image.tobytes()).digest()[:SEAL] != self.seals[row].tobytes():
                raise DataError(
                    f"The data {self.name} were changed while the run was at work: image {row} is another than at its "
                    "beginning.",
                    CHANGED,
                )


def rows_of(rows: Any, count: int) -> NDArray[np.int64]:
    """int64 [n] of a slice, a tensor of whole numbers or of booleans, or a list of numbers."""
    return places_of(rows.cpu().numpy() if isinstance(rows, Tensor) else rows, count)


@dataclass(frozen=True, eq=False)
class OnDemand:
    """A source of samples, as `engine/source.py` has it. facts: once `survey` has gone through the images."""

    x: Pixels
    y: Tensor
    bounds: tuple[float, float]
    name: str = ""
    class_names: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    grid: Grid = ()
    facts: Facts | None = None

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: slice | Tensor, /) -> Samples:
        names = tuple(self.names[row] for row in rows_of(rows, len(self)).tolist()) if self.names else ()
        return Samples(self.x[rows], self.y[rows], self.bounds, self.name, self.class_names, names, self.grid)

    def __getstate__(self) -> dict[str, Any]:
        """For workers, which need no names and no facts but the seals."""
        return dict(self.__dict__) | {"names": (), "facts": None}

    def copy(self) -> Samples:
        """All of them in memory, as Samples.copy."""
        return Samples(self.x[:], self.y.clone(), self.bounds, self.name, self.class_names)

    def to(self, device: torch.device) -> OnDemand:
        """The same samples, on a device when they are asked for."""
        return replace(self, x=replace(self.x, device=device), y=self.y.to(device))

    def rounded(self, finish: Callable[[Tensor], Tensor], grid: Grid) -> OnDemand:
        """The samples as a file that takes whole numbers receives them."""
        return replace(self, x=replace(self.x, finish=finish), grid=grid)

    def known(self, facts: Facts, y: Tensor, rows: NDArray[np.int64]) -> OnDemand:
        """Only these rows, with their labels, of which this is known; from now on they have to stay what they are."""
        changeable = not isinstance(self.x.images, Held)
        seals = np.ascontiguousarray(facts.hashes[:, :SEAL]) if changeable else None
        names = tuple(self.names[row] for row in rows.tolist()) if self.names else ()
        x = replace(self.x, places=self.x.places[rows], seals=seals)
        return replace(self, x=x, y=y, names=names, facts=facts)

    def hashes(self) -> list[str]:
        """As Samples.hashes."""
        return [row.tobytes().hex() for row in self._facts.hashes]

    def contents(self) -> list[str]:
        """As Samples.contents."""
        return [row.tobytes().hex() for row in self._facts.contents]

    def sha256(self) -> str:
        """As Samples.sha256."""
        return self._facts.sha256

    def l2(self) -> list[float]:
        """The L2 norm of each sample."""
        return [float(size) for size in self._facts.l2]

    def span(self) -> tuple[float, float]:
        """The least and the largest value of all pixels."""
        return self._facts.span

    @property
    def _facts(self) -> Facts:
        if self.facts is None:
            raise ValueError("nobody has gone through these images yet")
        return self.facts
