"""Denoiser: a small auto-encoder in front of the model, which has learnt to undo noise and one-step adversarials."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from robusteval.api import Classifier, Defended, DefenseInfo, ModelInfo, Samples, clip, hookimpl, param, trainable
from robusteval_defenses._common.adversarial_batches import fgsm
from robusteval_defenses._common.input_transform import described, fresh_seed
from robusteval_defenses._common.training import Batch, Said, Schedule, Training, learnable, model_facts, silent


class AutoEncoder(nn.Module):
    """x + g(x), clipped to the bounds; g is convolutional for images (C, H, W) and an MLP for flat inputs (D,)."""

    def __init__(self, shape: tuple[int, ...], width: int, bounds: tuple[float, float], rng: Generator) -> None:
        super().__init__()
        self.shape, self.bounds = shape, bounds
        if len(shape) == 3:
            self.inward = nn.ModuleList([nn.Conv2d(shape[0], width, 3, padding=1), nn.Conv2d(width, width, 3, 2, 1)])
            self.outward = nn.ModuleList(
                [nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, shape[0], 3, padding=1)]
            )
        else:
            self.inward = nn.ModuleList([nn.Linear(shape[0], 4 * width), nn.Linear(4 * width, width)])
            self.outward = nn.ModuleList([nn.Linear(width, 4 * width), nn.Linear(4 * width, shape[0])])
        with torch.no_grad():  # the modules above drew from the global generator, so all is drawn again
            for value in self.parameters():
                spread = (2 / value[0].numel()) ** 0.5 if value.dim() > 1 else 0.0
                value.copy_(spread * torch.randn(value.shape, generator=rng, device=rng.device))
            self.outward[1].get_parameter("weight").mul_(0.01)  # it starts as nearly the identity

    def forward(self, x: Tensor) -> Tensor:
        low, high = self.bounds
        first = self.inward[0]((x - low) / (high - low)).relu()
        code = self.inward[1](first).relu()
        if len(self.shape) == 3:
            code = F.interpolate(code, size=self.shape[1:], mode="nearest")
            change = self.outward[1](self.outward[0](code).add(first).relu())
        else:
            change = self.outward[1](self.outward[0](code).relu())
        return clip(x + (high - low) * change, self.bounds)


class Chain(nn.Module):
    """The auto-encoder and the model's copy behind it."""

    def __init__(self, front: nn.Module, behind: nn.Module) -> None:
        super().__init__()
        self.front, self.behind = front, behind

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.behind(self.front(x))
        return scores


@dataclass(frozen=True)
class Denoised:
    """The model behind the auto-encoder: truth behind it on the true pipeline, twin through both."""

    base: Classifier
    front: AutoEncoder
    info: ModelInfo

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.base.logits(self.front.to(x.device)(x))

    def twin(self, x: Tensor) -> Tensor:
        return self.base.twin(self.front.to(x.device)(x))

    def trainable(self) -> nn.Module:
        return Chain(self.front, trainable(self.base))


@dataclass(frozen=True)
class Denoiser:
    """An auto-encoder learns to give clean samples back from noisy and from attacked ones."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="denoiser",
        version="1",
        kind="preprocessor",
        needs_data=True,
        summary="Puts a small auto-encoder in front, which was trained to undo noise and one-step adversarials.",
        reference="Gu, Rigazio: Towards deep neural network architectures robust to adversarial examples, 2015; Meng, "
        "Chen: MagNet, 2017; Liao et al.: Defense against adversarial attacks using high-level guided denoiser, 2018",
        known_breaks="Carlini, Wagner: MagNet and 'Efficient defenses against adversarial attacks' are not robust, "
        "2017; Athalye, Carlini: On the robustness of the CVPR 2018 white-box adversarial example defenses, 2018: "
        "attacks that differentiate through it need about the distance that they need without.",
    )
    eps: float = param(0.1, "Largest FGSM step in Linf, as a share of the range.", minimum=0.0, maximum=1.0)
    sigma: float = param(0.1, "Deviation of the Gaussian noise, as a share of the range.", minimum=0.0, maximum=1.0)
    guide: float = param(
        0.1, "Weight of the model's cross-entropy on what comes out, beside the mean squared error.", minimum=0.0
    )
    width: int = param(
        16, "Channels of the auto-encoder, or width of its code for flat inputs.", minimum=1, maximum=1024
    )
    epochs: int = param(10, "Passes over the samples.", minimum=1, maximum=10000)
    rate: float = param(2e-3, "Learning rate at the start; it falls to 0 along a cosine.", minimum=1e-9, maximum=10.0)
    batch: int = param(64, "Samples a step.", minimum=1)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return self.train(model, data, rng, silent)

    def train(self, model: Classifier, data: Samples | None, rng: Generator, on_epoch: Said) -> Defended:
        """As fit; `said` is told of every epoch. Raises RobustEvalError."""
        samples = learnable(data, self.info.name)
        target = trainable(model).requires_grad_(False)
        seed = fresh_seed(rng)
        with torch.random.fork_rng(devices=[]):
            front = AutoEncoder(model.info.input_shape, self.width, model.info.bounds, Generator().manual_seed(seed))
        facts = model_facts(model, self.info, asdict(self))
        schedule = Schedule(self.epochs, self.rate, self.batch)

        def loss(net: nn.Module, batch: Batch) -> Tensor:
            return self._loss(net, target, batch, model.info.bounds)

        Training(samples, schedule, facts, seed, on_epoch).run(front, loss)
        note = (
            f"An auto-encoder comes before the model, trained for {self.epochs} epochs on {len(samples)} samples with "
            f"noise (sigma {self.sigma:g}) and FGSM (eps up to {self.eps:g} of the range)."
        )
        info = described(replace(model.info, batch=None), note)
        return Defended(Denoised(model, front.eval(), info), notes=(note,))

    def _loss(self, net: nn.Module, target: nn.Module, batch: Batch, bounds: tuple[float, float]) -> Tensor:
        """Half of each batch is noisy and half attacked, by steps of random size on the bare model."""
        span, half = bounds[1] - bounds[0], len(batch.x) // 2
        noise = torch.randn(batch.x[:half].shape, generator=batch.rng, device=batch.rng.device).to(batch.x)
        size = torch.rand(
            (len(batch.x) - half, *[1] * (batch.x.dim() - 1)), generator=batch.rng, device=batch.rng.device
        ).to(batch.x)
        noisy = clip(batch.x[:half] + self.sigma * span * noise, bounds)
        full = fgsm(target, batch.x[half:], batch.y[half:], self.eps * span, bounds)
        spoilt = torch.cat([noisy, batch.x[half:] + size * (full - batch.x[half:])])
        denoised = net(spoilt)
        error: Tensor = ((denoised - batch.x) / span).square().mean()
        return error + self.guide * F.cross_entropy(target(denoised), batch.y) if self.guide else error


@hookimpl
def robusteval_defenses() -> list[type[Denoiser]]:
    return [Denoiser]
