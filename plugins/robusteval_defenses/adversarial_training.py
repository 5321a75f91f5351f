"""Adversarial training: the model learns from adversarials that are made against it afresh for every batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from robusteval.api import (
    Classifier,
    Defended,
    DefenseInfo,
    LoadOptions,
    RobustEvalError,
    Samples,
    hookimpl,
    load_model,
    param,
    trainable,
)
from robusteval_defenses._common.adversarial_batches import fgsm, pgd
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
    weights_sha256,
)


@dataclass(frozen=True)
class AdversarialTraining:
    """Minimises alpha L(x) + (1 - alpha) L(x + delta); how delta is made is the mode."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="adversarial-training",
        version="1",
        kind="retrained",
        needs_data=True,
        summary="Trains the model on adversarials made afresh for every batch, by one step, by many, or on other "
        "models.",
        reference="Goodfellow, Shlens, Szegedy: Explaining and harnessing adversarial examples, 2014 (fgsm); Madry et "
        "al.: Towards deep learning models resistant to adversarial attacks, 2017 (pgd); Tramer et al.: Ensemble "
        "adversarial training, 2018 (ensemble)",
        known_breaks="pgd holds in the norm and up to the size that it was trained at, and pays in clean accuracy. "
        "fgsm may learn to mask the gradient (Kurakin et al. 2017: label leaking; Wong, Rice, Kolter 2020: "
        "catastrophic overfitting): then many steps undo it. ensemble is meant for transferred adversarials and does "
        "not hold against white-box steps.",
    )
    mode: str = param("pgd", "How adversarials are made.", choices=("fgsm", "pgd", "ensemble"))
    eps: float = param(0.1, "Size of the adversarials in Linf, as a share of the range.", minimum=0.0, maximum=1.0)
    alpha: float = param(
        0.0,
        "Weight of the loss on clean samples; Goodfellow et al. take 0.5, Madry et al. 0.",
        minimum=0.0,
        maximum=1.0,
    )
    steps: int = param(7, "Steps of an adversarial in mode pgd.", minimum=1, maximum=1000)
    step: float = param(0.25, "Length of a step in mode pgd, as a share of eps.", minimum=1e-6, maximum=2.0)
    epochs: int = param(15, "Passes over the samples.", minimum=1, maximum=10000)
    rate: float = param(2e-3, "Learning rate at the start; it falls to 0 along a cosine.", minimum=1e-9, maximum=10.0)
    batch: int = param(64, "Samples a step.", minimum=1)
    optimizer: str = param("adam", "Adam, or gradient descent with momentum 0.9.", choices=("adam", "sgd"))
    warm_up: float = param(0.3, "Share of the training in which eps grows from 0.", minimum=0.0, maximum=1.0)
    models: tuple[str, ...] = param(
        (), "Mode ensemble: files of models that adversarials are made on too; without any, the undefended model."
    )

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return self.train(model, data, rng, silent)

    def train(self, model: Classifier, data: Samples | None, rng: Generator, on_epoch: Said) -> Defended:
        """As fit; `said` is told of every epoch. Raises RobustEvalError."""
        samples = learnable(data, self.info.name)
        module = trainable(model)
        sources = self._sources(model) if self.mode == "ensemble" else []
        facts = model_facts(model, self.info, asdict(self))
        facts["sources"] = [weights_sha256(dict(source.named_parameters())) for source in sources]
        schedule = Schedule(self.epochs, self.rate, self.batch, self.optimizer)
        Training(samples, schedule, facts, fresh_seed(rng), on_epoch).run(module, self._loss(model, sources))
        note = (
            f"Trained for {self.epochs} epochs on {len(samples)} samples and their adversarials ({self.mode}, "
            f"eps {self.eps:g} of the range); answers come from the trained copy."
        )
        return Defended(retrained(model, module, note), notes=(note,))

    def _loss(self, model: Classifier, sources: list[nn.Module]) -> Callable[[nn.Module, Batch], Tensor]:
        bounds = model.info.bounds
        full = self.eps * (bounds[1] - bounds[0])

        def loss(net: nn.Module, batch: Batch) -> Tensor:
            eps = full * min(1.0, batch.progress / self.warm_up) if self.warm_up else full
            if self.mode == "pgd":
                found = pgd(net, batch.x, batch.y, eps, bounds, self.steps, self.step * eps, batch.rng)
            else:  # in mode ensemble each batch's are made on one of the models, the one in training among them
                pick = int(torch.randint(len(sources) + 1, (1,), generator=batch.rng, device=batch.rng.device))
                found = fgsm([net, *sources][pick], batch.x, batch.y, eps, bounds)
            total = (1 - self.alpha) * F.cross_entropy(net(found), batch.y)
            return total + self.alpha * F.cross_entropy(net(batch.x), batch.y) if self.alpha else total

        return loss

    def _sources(self, model: Classifier) -> list[nn.Module]:
        """Frozen twins that adversarials are made on. Raises RobustEvalError for models of another shape."""
        others = [load_model(Path(path), LoadOptions(bounds=model.info.bounds)) for path in self.models] or [model]
        for other in others:
            if (other.info.input_shape, other.info.classes) != (model.info.input_shape, model.info.classes):
                raise RobustEvalError(
                    f"Adversarials cannot be made on {other.info.name!r}: its input or its classes are other than the "
                    "model's.",
                    "Name models of the same task in the parameter models.",
                )
        return [trainable(other).requires_grad_(False) for other in others]


@hookimpl
def robusteval_defenses() -> list[type[AdversarialTraining]]:
    return [AdversarialTraining]
