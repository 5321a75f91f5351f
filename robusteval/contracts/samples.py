"""Labelled samples: what is attacked, and what a defence may learn from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from robusteval.text import as_name

_ROWS = 16  # samples whose values are turned together


@dataclass(frozen=True)
class Samples:
    """Images with labels, in the model's canonical layout and stated range.

    x: float32 [N, *shape] with values in `bounds`; y: int64 [N], 0 <= y < K. grid: as in ModelInfo, of a model whose
    file takes whole numbers; x lies on it.
    """

    x: Float[Tensor, " n *shape"]
    y: Int64[Tensor, " n"]
    bounds: tuple[float, float] = (0.0, 1.0)
    name: str = ""
    class_names: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # of each sample's file, where each has one
    grid: tuple[float, float, int] | tuple[()] = ()

    def __post_init__(self) -> None:
        """Names come from files: of a bounded length, and without controls. Of ordinary ones nothing changes."""
        object.__setattr__(self, "name", as_name(self.name))
        for field_name in ("class_names", "names"):
            object.__setattr__(self, field_name, tuple(map(as_name, getattr(self, field_name))))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | Tensor) -> Samples:
        chosen: tuple[str, ...] = ()
        if isinstance(rows, Tensor):
            rows = rows.to(self.x.device)
        if self.names:
            places = torch.arange(len(self.x), device="cpu")[rows.cpu() if isinstance(rows, Tensor) else rows]
            chosen = tuple(self.names[index] for index in places.tolist())
        return Samples(self.x[rows], self.y[rows], self.bounds, self.name, self.class_names, chosen, self.grid)

    def to(self, device: torch.device) -> Samples:
        """The same samples on a device."""
        return replace(self, x=self.x.to(device), y=self.y.to(device))

    def copy(self) -> Samples:
        """The same samples in tensors of their own."""
        return Samples(self.x.clone(), self.y.clone(), self.bounds, self.name, self.class_names)

    def hashes(self) -> list[str]:
        """sha256 of each sample's pixels, to prove that two sets do not overlap."""
        pixels = self.x.detach().cpu().contiguous()
        return [hashlib.sha256(row.numpy().tobytes()).hexdigest() for row in pixels]

    def contents(self) -> list[str]:
        """128 bits of the sha256 of each sample with its label, the same whatever the pixel range: values count as
        shares of it, to 16 bits. So a run can be compared with another's samples one by one."""
        low, high = self.bounds
        digests = []
        for x, y in zip(torch.split(self.x.detach().cpu(), _ROWS), torch.split(self.y, _ROWS), strict=True):
            steps = ((x.double() - low) / (high - low) * 65535).round().clamp(0, 65535).to(torch.int32)
            for row, label in zip(steps.contiguous().numpy().astype("<u2"), y.tolist(), strict=True):
                digest = hashlib.sha256(row.tobytes())
                digest.update(int(label).to_bytes(8, "little", signed=True))
                digests.append(digest.hexdigest()[:32])
        return digests

    def sha256(self) -> str:
        """Hash of all pixels, labels and the range, in order."""
        digest = hashlib.sha256(repr((tuple(self.x.shape), self.bounds)).encode())
        digest.update(self.x.detach().cpu().contiguous().numpy().tobytes())
        digest.update(self.y.detach().cpu().to(torch.int64).contiguous().numpy().tobytes())
        return digest.hexdigest()
