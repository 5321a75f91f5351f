"""Interval bound propagation as training: the model learns to be right by interval bounds over the whole ball."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import ClassVar

from torch import Generator, Tensor, nn
from torch.nn import functional as F

from robusteval.api import (
    Aim,
    Classifier,
    Defended,
    DefenseInfo,
    NotCoveredError,
    RobustEvalError,
    Samples,
    graph_of,
    hookimpl,
    param,
    trainable,
)
from robusteval_defenses._common.input_transform import fresh_seed
from robusteval_defenses._common.interval_bounds import IntervalBounds
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
class Ibp:
    """Minimises kappa L(x) + (1 - kappa) L(worst), where worst are the scores that intervals allow in the ball."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="ibp",
        version="1",
        kind="retrained",
        needs_data=True,
        summary="Trains the model to be right for all that intervals allow in an Linf ball, so that certifiers can "
        "prove it.",
        reference="Gowal et al.: On the effectiveness of interval bound propagation for training verifiably robust "
        "models, 2018; first weights after Shi et al.: Fast certified robust training with short warmup, 2021",
        known_breaks="None within the ball and of what is proved. It pays in clean accuracy more than adversarial "
        "training does, and promises nothing beyond its eps or in other norms.",
    )
    eps: float = param(0.1, "Radius in Linf that is trained for, as a share of the range.", minimum=0.0, maximum=1.0)
    kappa: float = param(
        0.5, "Weight of the loss on clean samples at the end; it falls to it from 1.", minimum=0.0, maximum=1.0
    )
    epochs: int = param(20, "Passes over the samples.", minimum=1, maximum=10000)
    rate: float = param(5e-3, "Learning rate at the start; it falls to 0 along a cosine.", minimum=1e-9, maximum=10.0)
    batch: int = param(64, "Samples a step.", minimum=1)
    warm_up: float = param(
        0.05, "Share of the training before eps grows from 0 and kappa falls from 1.", minimum=0.0, maximum=1.0
    )
    ramp: float = param(0.5, "Share of the training in which they do so.", minimum=0.0, maximum=1.0)
    start: str = param(
        "fresh",
        "Weights to begin with: drawn anew so that intervals keep their width, or the model's own.",
        choices=("fresh", "model"),
    )

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return self.train(model, data, rng, silent)

    def aim(self, model: Classifier) -> Aim:
        """What is to be proved afterwards, in units of the pixels."""
        low, high = model.info.bounds
        return Aim("linf", self.eps * (high - low), "ibp")

    def train(self, model: Classifier, data: Samples | None, rng: Generator, on_epoch: Said) -> Defended:
        """As fit; `said` is told of every epoch. Raises RobustEvalError, also where a node has no intervals."""
        samples = learnable(data, self.info.name)
        _check_graph(model)
        module = trainable(model).to(samples.x.device)  # before it is traced: a twin that moves is made anew
        bounds = IntervalBounds(module, model.info.input_shape, self.info.name)
        seed = fresh_seed(rng)
        if self.start == "fresh":
            bounds.redraw(Generator().manual_seed(seed))
        facts = model_facts(model, self.info, asdict(self))
        schedule = Schedule(self.epochs, self.rate, self.batch)
        Training(samples, schedule, facts, seed, on_epoch).run(module, self._loss(bounds, model.info.bounds))
        note = (
            f"Trained for {self.epochs} epochs on {len(samples)} samples by interval bounds within Linf {self.eps:g} "
            "of the range; answers come from the trained copy."
        )
        return Defended(retrained(model, module, note), notes=(note,))

    def grown(self, progress: float) -> float:
        """How far eps has grown and kappa fallen, 0 to 1, when this share of the training is done."""
        if progress < self.warm_up:
            return 0.0
        return min(1.0, (progress - self.warm_up) / self.ramp) if self.ramp else 1.0

    def _loss(self, bounds: IntervalBounds, box: tuple[float, float]) -> Callable[[nn.Module, Batch], Tensor]:
        full = self.eps * (box[1] - box[0])

        def loss(net: nn.Module, batch: Batch) -> Tensor:
            grown = self.grown(batch.progress)
            eps, kappa = full * grown, 1 - grown * (1 - self.kappa)
            low, high = (batch.x - eps).clamp_min(box[0]), (batch.x + eps).clamp_max(box[1])
            worst = F.cross_entropy(bounds(low, high, batch.y), batch.y)
            return (1 - kappa) * worst + kappa * F.cross_entropy(net(batch.x), batch.y)

        return loss


def _check_graph(model: Classifier) -> None:
    """Raises RobustEvalError, naming the node, for a file of which nothing can be proved: it would be trained in
    vain."""
    try:
        graph = graph_of(model)
        rounding = next((node for node in graph.nodes if node.rounds), None)
        if rounding is not None:
            raise NotCoveredError(
                f"node {rounding.name} ({rounding.source or rounding.op}), which rounds to whole numbers"
            )
    except NotCoveredError as error:
        if model.info.format == "onnx":
            raise RobustEvalError(
                f"The defence ibp cannot bound this model, because of {error.message}.",
                "docs/certificates.md lists the operators that are covered.",
            ) from error


@hookimpl
def robusteval_defenses() -> list[type[Ibp]]:
    return [Ibp]
