"""MAITE's protocols for image classification, in and out. maite itself is not imported: its protocols are structural.

`model_from_maite` and `samples_from_maite` make what `robusteval.evaluate` takes; `Attacked` is an augmentation and
`Accuracy` a metric for `maite.tasks.evaluate`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robusteval.api import AccessError, Classifier, ModelInfo, statistics


@dataclass(frozen=True)
class _OfMaite:
    """A MAITE model as a classifier that tells its scores and has no gradient. kind: what its outputs are."""

    model: Any
    info: ModelInfo

    def logits(self, x: Tensor) -> Tensor:
        given = list(x.detach().cpu().numpy())
        scores = [np.asarray(answer, dtype=np.float32) for answer in self.model(given)]
        found = torch.from_numpy(np.stack(scores)) if scores else torch.zeros((0, self.info.classes), device="cpu")
        if self.info.output == "probabilities":
            found = found.clamp_min(1e-30).log()
        return found.to(x.device)

    def twin(self, x: Tensor) -> Tensor:  # noqa: ARG002 - as the contract has it
        raise AccessError("A MAITE model has no gradients.", "Use attacks that need scores or decisions only.")


def model_from_maite(
    model: Callable[[Sequence[Any]], Sequence[Any]],
    input_shape: tuple[int, int, int],
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    output: str = "logits",
) -> Classifier:
    """A MAITE model, (C, H, W) images to (Cl,) scores, as what `robusteval.evaluate` takes.

    bounds: the pixel range that it expects. output: "logits" or "probabilities". It is asked as it is, so only attacks
    that need no gradient can be run; of a PyTorch model give the module itself.
    """
    metadata = getattr(model, "metadata", {}) or {}
    low, high = bounds
    scores = np.asarray(model([np.full(input_shape, (low + high) / 2, np.float32)])[0])
    classes = int(scores.shape[0])
    labels = metadata.get("index2label", {})
    info = ModelInfo(
        name=str(metadata.get("id", type(model).__name__)),
        format="maite",
        sha256=hashlib.sha256(
            repr((type(model).__qualname__, sorted(map(str, metadata.items())))).encode()
        ).hexdigest(),
        input_shape=tuple(input_shape),
        classes=classes,
        bounds=bounds,
        gradients="none",
        gradients_reason="MAITE's protocol has no gradients.",
        rung="E",
        output=output,
        provider="MAITE",
        class_names=tuple(str(labels[index]) for index in range(classes)) if set(range(classes)) <= set(labels) else (),
        notes=("The hash is of the model's class and metadata, as MAITE gives no parameters.",),
    )
    return _OfMaite(model, info)


def samples_from_maite(dataset: Any) -> tuple[Any, Any]:
    """(x [N, C, H, W], y [N]) of a MAITE data set, whose targets are one-hot or pseudo-probabilities."""
    data = [dataset[index] for index in range(len(dataset))]
    images = np.stack([np.asarray(image) for image, _, _ in data])
    return images, np.array([int(np.asarray(target).argmax()) for _, target, _ in data])


@dataclass
class Attacked:
    """An attack as a MAITE augmentation: each batch becomes what the attack makes of it.

    attack: of `robusteval.attacks`, such as attacks.PGD(steps=20); model: what it attacks, a module, a file or a
    classifier; options: norm, eps, bounds, ... of the attack's call. Samples that are not lost stay as they are.
    """

    attack: Callable[..., Any]
    model: Any
    options: dict[str, Any]
    metadata: dict[str, str] = field(default_factory=lambda: {"id": "robusteval.attacked"})

    def __init__(self, attack: Callable[..., Any], model: Any, **options: Any) -> None:
        self.attack, self.model, self.options = attack, model, options
        self.metadata = {"id": f"robusteval.attacked: {attack!r}"}

    def __call__(self, batch: tuple[Sequence[Any], Sequence[Any], Sequence[Any]]) -> tuple[Any, Any, Any]:
        inputs, targets, metadata = batch
        x = np.stack([np.asarray(image) for image in inputs])
        y = np.array([int(np.asarray(target).argmax()) for target in targets])
        return list(self.attack(self.model, x, y, **self.options).x), targets, metadata


class Accuracy:
    """Accuracy with its exact 95 % interval, as a MAITE metric; behind `Attacked` that of a model under attack."""

    metadata: dict[str, str]

    def __init__(self) -> None:
        self.metadata = {"id": "robusteval.accuracy"}
        self.reset()

    def reset(self) -> None:
        """Forgets all batches."""
        self._hits = self._count = 0

    def update(self, predictions: Sequence[Any], targets: Sequence[Any], metadata: Sequence[Any] = ()) -> None:  # noqa: ARG002 - as MAITE has it
        """Counts a batch of (Cl,) predictions and targets."""
        for prediction, target in zip(predictions, targets, strict=True):
            self._hits += int(np.asarray(prediction).argmax() == np.asarray(target).argmax())
            self._count += 1

    def compute(self) -> dict[str, Any]:
        """accuracy, its bounds low and high, and samples. Without any sample there is no figure, but samples 0."""
        bounds = statistics.clopper_pearson(self._hits, self._count)
        if not self._count or bounds is None:
            return {"samples": 0}
        return {"accuracy": self._hits / self._count, "low": bounds[0], "high": bounds[1], "samples": self._count}
