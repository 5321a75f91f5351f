"""Labelled samples: what is attacked, and what a defence may learn from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """Images with labels, in the model's canonical layout and stated range.

    x: float32 [N, *shape] with values in `bounds`; y: int64 [N], 0 <= y < K.
    """

    x: Tensor
    y: Tensor
    bounds: tuple[float, float] = (0.0, 1.0)
    name: str = ""
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | Tensor) -> Samples:
        return Samples(self.x[rows], self.y[rows], self.bounds, self.name, self.class_names)

    def hashes(self) -> list[str]:
        """sha256 of each sample's pixels, to prove that two sets do not overlap."""
        pixels = self.x.detach().cpu().contiguous()
        return [hashlib.sha256(row.numpy().tobytes()).hexdigest() for row in pixels]

    def sha256(self) -> str:
        """Hash of all pixels, labels and the range, in order."""
        digest = hashlib.sha256(repr((tuple(self.x.shape), self.bounds)).encode())
        digest.update(self.x.detach().cpu().contiguous().numpy().tobytes())
        digest.update(self.y.detach().cpu().to(torch.int64).contiguous().numpy().tobytes())
        return digest.hexdigest()
