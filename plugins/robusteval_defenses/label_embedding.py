"""Label embedding: the model learns targets that say which classes resemble the true one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, DefenseInfo, Samples, hookimpl, param, trainable
from robusteval_defenses._common.input_transform import fresh_seed
from robusteval_defenses._common.soft_targets import cross_entropy_to, softened
from robusteval_defenses._common.training import Said, Schedule, Training, learnable, model_facts, retrained, silent


@dataclass(frozen=True)
class LabelEmbedding:
    """Targets are (1 - weight) of the true class and `weight` of its resemblance to the others."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="label-embedding",
        version="1",
        kind="retrained",
        needs_data=True,
        summary="Trains the model on soft targets that carry how much classes resemble each other, or on smoothed "
        "labels.",
        reference="Szegedy et al.: Rethinking the inception architecture, 2016 (smoothing); Warde-Farley, Goodfellow: "
        "Adversarial perturbations of deep neural networks, 2016 (as a defence); class similarity as in distillation",
        known_breaks="It lowers the confidence, and with it the gradient that one-step attacks follow; attacks on the "
        "margin of the scores need about the distance that they need without, or less.",
    )
    similarity: str = param(
        "model",
        "What the other classes get: their mean softened probability by the model, or equal shares (smoothing).",
        choices=("model", "uniform"),
    )  # fmt: skip
    weight: float = param(0.3, "Share of a target that goes to the other classes.", minimum=0.0, maximum=0.9)
    temperature: float = param(
        4.0, "Softens the model's answers before they are averaged.", minimum=0.1, maximum=1000.0
    )
    epochs: int = param(10, "Passes over the samples.", minimum=1, maximum=10000)
    rate: float = param(1e-3, "Learning rate at the start; it falls to 0 along a cosine.", minimum=1e-9, maximum=10.0)
    batch: int = param(64, "Samples a step.", minimum=1)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return self.train(model, data, rng, silent)

    def train(self, model: Classifier, data: Samples | None, rng: Generator, on_epoch: Said) -> Defended:
        """As fit; `said` is told of every epoch. Raises RobustEvalError."""
        samples = learnable(data, self.info.name)
        targets = self.targets(model, samples)[samples.y]
        schedule = Schedule(self.epochs, self.rate, self.batch)
        facts = model_facts(model, self.info, asdict(self))
        training = Training(samples, schedule, facts, fresh_seed(rng), on_epoch)
        module = training.run(trainable(model), cross_entropy_to(targets))
        kind = "smoothed labels" if self.similarity == "uniform" else "labels that carry the resemblance of classes"
        note = f"Trained for {self.epochs} epochs on {len(samples)} samples with {kind} (weight {self.weight:g})."
        return Defended(retrained(model, module, note), notes=(note,))

    def targets(self, model: Classifier, samples: Samples) -> Tensor:
        """The target of each class, [K, K]; rows sum to 1, and the diagonal is at least 1 - weight."""
        classes = model.info.classes
        alike = torch.ones(classes, classes, device="cpu")
        if self.similarity == "model":
            answers = softened(model.logits, samples.x, self.temperature).cpu()
            for label in range(classes):
                own = answers[samples.y.cpu() == label]
                if len(own):
                    alike[label] = own.mean(0)
        alike.fill_diagonal_(0.0)
        shares = alike / alike.sum(1, keepdim=True).clamp_min(1e-12)
        return (1 - self.weight * shares.sum(1, keepdim=True)) * torch.eye(classes, device="cpu") + self.weight * shares


@hookimpl
def robusteval_defenses() -> list[type[LabelEmbedding]]:
    return [LabelEmbedding]
