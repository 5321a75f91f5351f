"""Trainings on disk: the state after the last finished epoch, so that an interruption costs at most one. No pickle."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor


def key_of(facts: Mapping[str, Any]) -> str:
    """The name of a training: sha256 over everything that decides its result."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class State:
    """After `epoch` epochs: named tensors (weights and the optimiser's), and the mean loss of each epoch."""

    epoch: int
    tensors: dict[str, Tensor]
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Store:
    """The checkpoints of one training: KEY-EPOCH.safetensors, and KEY.json, which names the one that counts."""

    folder: Path | None
    key: str

    def load(self) -> State | None:
        """The last finished epoch, or None where there is none that is whole."""
        if self.folder is None:
            return None
        try:
            facts = json.loads((self.folder / f"{self.key}.json").read_text(encoding="utf-8"))
            content = (self.folder / self._name(int(facts["epoch"]))).read_bytes()
            if hashlib.sha256(content).hexdigest() != facts["sha256"]:
                return None
            losses = tuple(float(loss) for loss in facts["losses"])
            return State(int(facts["epoch"]), load(content), losses)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return None  # absent or broken: the training starts anew, which costs time and nothing else

    def save(self, state: State) -> None:
        """Keeps this epoch and drops the one before it. A full or read-only disk costs the cache, not the training."""
        folder = self.folder
        if folder is None:
            return
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            content = save({name: value.detach().cpu().contiguous() for name, value in state.tensors.items()})
            _write(folder / self._name(state.epoch), content)
            facts = {
                "epoch": state.epoch,
                "sha256": hashlib.sha256(content).hexdigest(),
                "losses": state.losses,
                "torch": torch.__version__,
            }
            _write(folder / f"{self.key}.json", json.dumps(facts, indent=1).encode())
            for old in folder.glob(f"{self.key}-*.safetensors"):
                if old.name != self._name(state.epoch):
                    old.unlink()

    def _name(self, epoch: int) -> str:
        return f"{self.key}-{epoch}.safetensors"


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, also when several processes write."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_bytes(content)
    partial.replace(path)
