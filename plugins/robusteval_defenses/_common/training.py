"""Training the twin of any loaded model: deterministic, told of epoch by epoch, and taken up again where it stopped."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from robusteval.api import (
    Classifier,
    Epoch,
    ModelInfo,
    RobustEvalError,
    Samples,
    beat,
    cache_folder,
    parameters_of,
    trainable,
    with_parameters,
)
from robusteval_defenses._common.checkpoints import State, Store, key_of

Said = Callable[[Epoch], None]


def silent(epoch: Epoch) -> None:
    """Says nothing: for fits that nobody watches."""


@dataclass(frozen=True)
class Batch:
    """What a loss is told: x [B, *shape], y [B], rows [B] of the data, a generator, and the share of training done."""

    x: Tensor
    y: Tensor
    rows: Tensor
    rng: Generator
    progress: float


Loss = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. The rate falls to zero along a cosine; gradients are clipped to norm 10."""

    epochs: int
    rate: float
    batch: int = 128
    optimizer: str = "adam"  # or "sgd", with momentum 0.9


@dataclass(frozen=True)
class Training:
    """One training of one module. `facts` decide the result together with data and schedule, and name it in the
    cache."""

    data: Samples
    schedule: Schedule
    facts: Mapping[str, Any]
    seed: int
    said: Said = silent
    stage: str = ""

    def run(self, module: nn.Module, loss: Loss) -> nn.Module:
        """Trains the module's parameters in place on the mean of `loss`, and returns it without gradients.

        Raises RobustEvalError where the loss stops being finite.
        """
        store = Store(cache_folder("training"), self._key(module))
        module.to(self.data.x.device)  # what was made for it by a generator on the processor is there still
        optimizer = _optimizer(self.schedule, module)
        start, losses = self._resume(store, module, optimizer)
        if start:
            self.said(Epoch(self.stage, start, self.schedule.epochs, losses[-1], 0.0, resumed=True))
        for epoch in range(start, self.schedule.epochs):
            began = time.perf_counter()
            losses.append(self._epoch(module, loss, optimizer, epoch))
            last = epoch + 1 == self.schedule.epochs
            store.save(State(epoch + 1, _tensors(module, None if last else optimizer), tuple(losses)))
            self.said(Epoch(self.stage, epoch + 1, self.schedule.epochs, losses[-1], time.perf_counter() - began))
        return module.requires_grad_(False)

    def _epoch(self, module: nn.Module, loss: Loss, optimizer: torch.optim.Optimizer, epoch: int) -> float:
        """One pass over the data; everything random in it comes from the seed and the epoch's number alone."""
        rng = Generator().manual_seed(int(key_of({"seed": self.seed, "epoch": epoch})[:15], 16))
        order = torch.randperm(len(self.data), generator=rng, device=rng.device)
        parts = torch.split(order, self.schedule.batch)
        total, count = 0.0, self.schedule.epochs * len(parts)
        for index, rows in enumerate(parts):
            beat()  # an epoch may take longer than a fit may be silent
            progress = (epoch * len(parts) + index) / count
            for group in optimizer.param_groups:
                group["lr"] = self.schedule.rate * (1 + math.cos(math.pi * progress)) / 2
            optimizer.zero_grad(set_to_none=True)
            value = loss(module, Batch(self.data.x[rows], self.data.y[rows], rows, rng, progress))
            if not bool(torch.isfinite(value)):
                raise RobustEvalError(
                    f"The training went astray in epoch {epoch + 1}: its loss is not finite.", "Give a smaller rate."
                )
            torch.autograd.backward(value)
            nn.utils.clip_grad_norm_(module.parameters(), 10.0)
            optimizer.step()
            total += float(value.detach()) * len(rows)
        return total / len(self.data)

    def _resume(self, store: Store, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, list[float]]:
        """Puts the last finished epoch back; (epochs done, their losses)."""
        state = store.load()
        if state is None or not 0 < state.epoch <= self.schedule.epochs or len(state.losses) != state.epoch:
            return 0, []
        weights = {name[2:]: value for name, value in state.tensors.items() if name.startswith("w.")}
        try:
            with_parameters(module, weights)
        except ValueError:
            return 0, []
        if state.epoch < self.schedule.epochs:
            _restore(optimizer, state.tensors)
        return state.epoch, list(state.losses)

    def _key(self, module: nn.Module) -> str:
        return key_of(
            {
                "weights": weights_sha256(parameters_of(module)),
                "data": self.data.sha256(),
                "schedule": self.schedule.__dict__,
                "seed": self.seed,
                "stage": self.stage,
                "torch": torch.__version__,
                **self.facts,
            }
        )


def _optimizer(schedule: Schedule, module: nn.Module) -> torch.optim.Optimizer:
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(module.parameters(), lr=schedule.rate, momentum=0.9)
    return torch.optim.Adam(module.parameters(), lr=schedule.rate)


def _tensors(module: nn.Module, optimizer: torch.optim.Optimizer | None) -> dict[str, Tensor]:
    """All that goes on from here: weights as w.NAME, the optimiser's state of parameter N as o.N.NAME."""
    found = {f"w.{name}": value for name, value in parameters_of(module).items()}
    if optimizer is not None:
        for index, state in optimizer.state_dict()["state"].items():
            found |= {f"o.{index}.{name}": value.clone() for name, value in state.items() if value is not None}
    return found


def _restore(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("o."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """Hash over names, shapes and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def model_facts(model: Classifier, info: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """What names a training in the cache beside weights, data, schedule and seed."""
    read = model.info
    stated = {"bounds": read.bounds, "mean": read.mean, "std": read.std, "shape": read.input_shape}
    return {"model": read.sha256, "read": stated, "defence": info.name, "version": info.version, "params": dict(params)}


def learnable(data: Samples | None, name: str) -> Samples:
    """The samples to train on. Raises RobustEvalError where there are none."""
    if data is None or len(data) == 0:
        raise RobustEvalError(
            f"The defence {name} trains on samples, and none were given.",
            "Name some that are not evaluated with --fit-data.",
        )
    return data


@dataclass(frozen=True)
class Retrained:
    """A model with other weights in its twin. Truth and twin are both that twin. Travels as model and weights."""

    base: Classifier
    weights: dict[str, Tensor]
    info: ModelInfo
    built: list[nn.Module] = field(default_factory=list, compare=False, repr=False)

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.twin(x).float()

    def twin(self, x: Tensor) -> Tensor:
        if not self.built:
            self.built.append(self.trainable().requires_grad_(False))
        if next(self.built[0].parameters()).device != x.device:
            self.built[0].to(x.device)
        scores: Tensor = self.built[0](x)
        return scores

    def trainable(self) -> nn.Module:
        return with_parameters(trainable(self.base), self.weights)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "built": []}


def retrained(model: Classifier, module: nn.Module, note: str) -> Retrained:
    """The model with what its copy has learnt. note: one sentence for the report."""
    weights = parameters_of(module)
    info = replace(
        model.info,
        sha256=weights_sha256(weights),
        provider="torch cpu",
        parity={},
        batch=None,
        notes=(*model.info.notes, note),
    )
    return Retrained(model, weights, info)
