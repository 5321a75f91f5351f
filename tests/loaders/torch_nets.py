"""Little modules around one network, each of a kind that strangers hand in."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from robusteval.contracts.classifier import LoadOptions
from robusteval.loaders.pytorch.classifier import TorchClassifier

SHAPE = (1, 12, 12)
Forward = Callable[[Any, Tensor], Any]


class Around(nn.Module):
    """The network with something done around it."""

    def __init__(self, inner: nn.Module, forward: Forward) -> None:
        super().__init__()
        self.inner, self.way = inner, forward

    def forward(self, x: Tensor) -> Any:
        return self.way(self.inner, x)


def network(seed: int = 0) -> nn.Module:
    """A small CNN with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 5)).eval()


def samples(n: int = 48) -> Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(3))


def hot(net: nn.Module, x: Tensor) -> Tensor:
    """Probabilities that are one-hot in float32."""
    answer: Tensor = (3000 * net(x)).softmax(1)
    return answer


def written_out(net: nn.Module, x: Tensor) -> Tensor:
    scores = 3000 * net(x)
    e = torch.exp(scores - scores.amax(1, keepdim=True))
    return e / e.sum(dim=1, keepdim=True)


def renormalised(net: nn.Module, x: Tensor) -> Tensor:
    p = hot(net, x) + 1e-7
    return p / p.sum(1, keepdim=True)


SATURATED: dict[str, Forward] = {
    "softmax last": hot,
    "clamp": lambda net, x: hot(net, x).clamp(1e-6, 1 - 1e-6),
    "clamp in place": lambda net, x: hot(net, x).clamp_(1e-6, 1.0).mul_(1.0),
    "exp of log-softmax": lambda net, x: (3000 * net(x)).log_softmax(1).exp(),
    "written out": written_out,
    "mean": lambda net, x: (hot(net, x) + hot(net, x)) / 2,
    "mean of a stack": lambda net, x: torch.stack([hot(net, x), hot(net, x)]).mean(0),
    "weighted": lambda net, x: 0.3 * hot(net, x) + 0.7 * hot(net, x),
    "percentage": lambda net, x: 100 * hot(net, x),
    "split and cat": lambda net, x: torch.cat(hot(net, x).split([2, 3], 1), 1),
    "indexed": lambda net, x: hot(net, x)[:, [0, 1, 2, 3, 4]],
    "reshaped": lambda net, x: hot(net, x)[:, None, :].transpose(1, 2),
    "log of it": lambda net, x: torch.log(hot(net, x) + 1e-8),
    "renormalised": renormalised,
    "a constant less": lambda net, x: hot(net, x) - 0.1,
    "between -1 and 1": lambda net, x: 2 * hot(net, x) - 1,
    "minus what is missing": lambda net, x: -(1 - hot(net, x)),
    "times a negative number": lambda net, x: (1 - hot(net, x)) * -3.0,
    "less their mean": lambda net, x: hot(net, x) - hot(net, x).mean(1, keepdim=True),
    "of length 1": lambda net, x: nn.functional.normalize(hot(net, x), dim=1),
    "powers of two": lambda net, x: torch.pow(2.0, (3000 / math.log(2.0) * net(x)).log_softmax(1)) - 0.5,
    "multiplied": lambda net, x: torch.stack([hot(net, x), hot(net, x)]).prod(0).sqrt(),
    "a function of multiply": lambda net, x: torch.multiply(hot(net, x), 100.0),
    "blended": lambda net, x: torch.lerp(hot(net, x), hot(net, x), 0.3),
    "permuted by a matrix": lambda net, x: hot(net, x) @ torch.eye(5),
    "chosen": lambda net, x: torch.where(x.mean() > 0, hot(net, x), hot(net, x)),
}

STEPS: dict[str, Forward] = {
    "ge": lambda net, x: net((x >= 0.5).float()),
    "lt": lambda net, x: net(1.0 - (x < 0.5).to(x.dtype)),
    "sign": lambda net, x: net(torch.sign(x - 0.5)),
    "where": lambda net, x: net(torch.where(x > 0.5, 1.0, 0.0)),
    "round": lambda net, x: net(torch.round(x * 3) / 3),
    "floor in place": lambda net, x: net(x.mul_(4).floor_().div_(4)),
    "ceil": lambda net, x: net((x * 4).ceil() / 4),
    "whole numbers": lambda net, x: net((x * 4).int().float() / 4),
    "bytes": lambda net, x: net((x * 8).to(torch.uint8) / 8.0),
    "floor division": lambda net, x: net((x // 0.25) * 0.25),
    "remainder": lambda net, x: net(x - x % 0.25),
    "both": lambda net, x: net(((x > 0.2) & (x < 0.8)).float()),
    "not": lambda net, x: net((~(x > 0.5)).float()),
    "filled": lambda net, x: net(torch.zeros_like(x).masked_fill(x > 0.5, 1.0)),
    "heaviside": lambda net, x: net(torch.heaviside(x - 0.5, torch.zeros(()))),
    "detached": lambda net, x: net(x.detach()),
    "no_grad": torch.no_grad()(lambda net, x: net(x)),
    "inference mode": torch.inference_mode()(lambda net, x: net(x)),
}


def into_channel(net: nn.Module, x: Tensor) -> Tensor:
    x[:, 0] = (x[:, 0] - 0.1) / 0.5
    answer: Tensor = net(x)
    return answer


def through_view(net: nn.Module, x: Tensor) -> Tensor:
    x.view(len(x), -1).sub_(0.1).div_(0.5)
    answer: Tensor = net(x)
    return answer


def through_numpy(net: nn.Module, x: Tensor) -> Tensor:
    x.detach().numpy()[:] -= 0.1  # what no version counter notices
    answer: Tensor = net(x / 0.5)
    return answer


OUT_OF_PLACE: Forward = lambda net, x: net((x - 0.1) / 0.5)  # noqa: E731 - beside the other forms, one a line
IN_PLACE: dict[str, Forward] = {
    "sub_ and div_": lambda net, x: net(x.sub_(0.1).div_(0.5)),
    "one channel": into_channel,
    "a view": through_view,
}


NET, X = network(), samples()
with torch.no_grad():
    Y = NET(X).argmax(1)


def seen(x: Tensor = X, y: Tensor = Y, **more: Any) -> LoadOptions:
    return LoadOptions(peek=lambda shape, bounds, dataset: (x, y), **more)


def loaded(forward: Forward, options: LoadOptions | None = None) -> TorchClassifier:
    return TorchClassifier.from_module(Around(NET, forward).eval(), SHAPE, options or seen())


def gradient(model: TorchClassifier, x: Tensor = X[:6]) -> Tensor:
    leaf = x.clone().requires_grad_(True)
    top = model.twin(leaf).topk(2, 1).values
    return torch.autograd.grad((top[:, 0] - top[:, 1]).sum(), leaf)[0]
