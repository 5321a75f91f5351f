"""Defensive distillation: a student learns the softened answers of a teacher, and is used without softening."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

from torch import Generator, Tensor, nn
from torch.nn import functional as F

from robusteval.api import Classifier, Defended, DefenseInfo, Samples, hookimpl, param, trainable
from robusteval_defenses._common.input_transform import fresh_seed
from robusteval_defenses._common.soft_targets import cross_entropy_to, softened
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


@dataclass(frozen=True)
class Distillation:
    """Teacher and student are copies of the model, both trained at temperature T; the student answers at 1."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="distillation",
        version="1",
        kind="retrained",
        needs_data=True,
        summary="Trains a copy at a high temperature on the softened answers of another one, and uses it at "
        "temperature 1.",
        reference="Papernot, McDaniel, Wu, Jha, Swami: Distillation as a defense to adversarial perturbations, 2016",
        known_breaks="Carlini, Wagner: Towards evaluating the robustness of neural networks, 2017. It makes scores "
        "large, so that the cross-entropy's gradient vanishes; attacks on the scores themselves are not slowed.",
    )
    temperature: float = param(20.0, "Temperature of teacher and student.", minimum=1.0, maximum=1000.0)
    epochs: int = param(
        10, "Passes over the samples, of the teacher and of the student each.", minimum=1, maximum=10000
    )
    rate: float = param(1e-3, "Learning rate at the start; it falls to 0 along a cosine.", minimum=1e-9, maximum=10.0)
    batch: int = param(64, "Samples a step.", minimum=1)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return self.train(model, data, rng, silent)

    def train(self, model: Classifier, data: Samples | None, rng: Generator, on_epoch: Said) -> Defended:
        """As fit; `said` is told of every epoch. Raises RobustEvalError."""
        samples = learnable(data, self.info.name)
        schedule = Schedule(self.epochs, self.rate, self.batch)
        facts = model_facts(model, self.info, asdict(self))
        seed = fresh_seed(rng)
        teacher = Training(samples, schedule, facts, seed, on_epoch, "teacher").run(trainable(model), self._hard)
        targets = softened(teacher, samples.x, self.temperature)
        loss = cross_entropy_to(targets, self.temperature)
        student = Training(samples, schedule, facts, seed + 1, on_epoch, "student").run(trainable(model), loss)
        note = (
            f"Distilled at temperature {self.temperature:g} on {len(samples)} samples, {self.epochs} epochs for the "
            "teacher and for the student; both start from the model's weights, and answers come from the student at "
            "temperature 1."
        )
        return Defended(retrained(model, student, note), notes=(note,))

    def _hard(self, net: nn.Module, batch: Batch) -> Tensor:
        return F.cross_entropy(net(batch.x) / self.temperature, batch.y)


@hookimpl
def robusteval_defenses() -> list[type[Distillation]]:
    return [Distillation]
