"""Hidden-space restriction: features of a class are drawn to a prototype, and prototypes are kept apart."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from robusteval.api import Classifier, Defended, DefenseInfo, Samples, hookimpl, param, trainable
from robusteval_defenses._common.input_transform import fresh_seed
from robusteval_defenses._common.training import (
    Batch,
    Said,
    Schedule,
    Training,
    learnable,
    model_facts,
    retrained,
    silent,
)

_LINEAR = (F.linear, torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, torch.addmm)


class _Features(TorchFunctionMode):
    """Remembers what went into the last linear layer with K outputs: the penultimate features [B, D]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.seen: Tensor | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in _LINEAR and isinstance(out, Tensor) and out.dim() == 2 and out.shape[1] == self.classes:
            self.seen = args[1 if func is torch.addmm else 0]
        return out


def features(net: nn.Module, x: Tensor, classes: int) -> tuple[Tensor, Tensor, bool]:
    """(scores [B, K], features [B, D], whether a last linear layer was seen; otherwise features are the scores)."""
    with _Features(classes) as mode:
        scores = net(x)
    if mode.seen is None or mode.seen.dim() != 2:
        return scores, scores, False
    return scores, mode.seen, True


class _WithPrototypes(nn.Module):
    """The network, and one prototype a class that learns beside it, [K, D], in units of `scale`."""

    def __init__(self, net: nn.Module, prototypes: Tensor, scale: float) -> None:
        super().__init__()
        self.net, self.prototypes, self.scale = net, nn.Parameter(prototypes), scale

    @property
    def classes(self) -> int:
        return len(self.prototypes)


@dataclass(frozen=True)
class HiddenSpace:
    """Cross-entropy, plus the prototype conformity loss on the features before the last linear layer."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="hidden-space",
        version="1",
        kind="retrained",
        needs_data=True,
        summary="Trains the model so that features of a class gather at a prototype, far from those of the other "
        "classes.",
        reference="Mustafa, Khan, Hayat, Goecke, Shen, Shao: Adversarial defense by restricting the hidden space of "
        "deep neural networks, 2019",
        known_breaks="Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse "
        "parameter-free attacks, 2020: next to nothing of the published robustness on CIFAR-10 is left.",
    )
    pull: float = param(1.0, "Weight of the distance to the own prototype.", minimum=0.0, maximum=1000.0)
    push: float = param(1.0, "Weight of the nearness to others.", minimum=0.0, maximum=1000.0)
    reach: float = param(
        4.0, "Squared distance, in units of the features' mean square, beyond which nothing is pushed.", minimum=0.0
    )
    epochs: int = param(10, "Passes over the samples.", minimum=1, maximum=10000)
    rate: float = param(1e-3, "Learning rate at the start; it falls to 0 along a cosine.", minimum=1e-9, maximum=10.0)
    batch: int = param(64, "Samples a step.", minimum=1)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return self.train(model, data, rng, silent)

    def train(self, model: Classifier, data: Samples | None, rng: Generator, on_epoch: Said) -> Defended:
        """As fit; `said` is told of every epoch. Raises RobustEvalError."""
        samples = learnable(data, self.info.name)
        both, seen = self._start(trainable(model), samples, model.info.classes)
        facts = model_facts(model, self.info, asdict(self))
        schedule = Schedule(self.epochs, self.rate, self.batch)
        Training(samples, schedule, facts, fresh_seed(rng), on_epoch).run(both, self.loss)
        where = "before its last linear layer" if seen else "that are its scores, as no last linear layer was seen"
        note = (
            f"Trained for {self.epochs} epochs on {len(samples)} samples to gather the features {where} at a prototype "
            "a class."
        )
        return Defended(retrained(model, both.net, note), notes=(note,))

    def _start(self, net: nn.Module, samples: Samples, classes: int) -> tuple[_WithPrototypes, bool]:
        """Prototypes start at the mean features of their class; the unit of length is the features' mean norm."""
        with torch.no_grad():
            parts = [features(net, part, classes) for part in torch.split(samples.x, 256)]
        found = torch.cat([part[1] for part in parts])
        scale = max(float(found.square().sum(1).mean().sqrt()), 1e-12)
        means = found.new_zeros(classes, found.shape[1])
        for label in range(classes):
            own = found[samples.y == label]
            if len(own):
                means[label] = own.mean(0) / scale
        return _WithPrototypes(net, means, scale), parts[0][2]

    def loss(self, both: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy + pull ||f - w_y||^2 - push mean_j (||f - w_j||^2 + ||w_y - w_j||^2), the latter up to `reach`.

        The published loss has no bound from below; the bound keeps features from running away.
        """
        if not isinstance(both, _WithPrototypes):
            raise TypeError("the prototypes are missing")
        scores, found, _ = features(both.net, batch.x, both.classes)
        away = _squared(found / both.scale, both.prototypes)
        apart = _squared(both.prototypes, both.prototypes)[batch.y]
        own = F.one_hot(batch.y, both.classes).bool()
        near = (away.clamp(max=self.reach) + apart.clamp(max=self.reach)).masked_fill(own, 0.0)
        pulled = away[own].mean()
        pushed = near.sum(1).mean() / max(both.classes - 1, 1)
        return F.cross_entropy(scores, batch.y) + self.pull * pulled - self.push * pushed


def _squared(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances [A, B]; torch.cdist has no finite gradient where two points coincide."""
    return (a[:, None] - b[None]).square().sum(2)


@hookimpl
def robusteval_defenses() -> list[type[HiddenSpace]]:
    return [HiddenSpace]
