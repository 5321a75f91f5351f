"""Seconds and passes of one call, counted at the model whoever calls it, and the best cost of a pass."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class Passes:
    """Passes counted at a module: samples that went forward, and samples whose gradient came back to its output."""

    forwards: int = 0
    backwards: int = 0

    def watch(self, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        """Counts every call of the module from now on."""

        def count_back(grad: Tensor) -> None:
            self.backwards += len(grad)

        def count(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self.forwards += len(inputs[0])
            if output.requires_grad:
                output.register_hook(count_back)

        return module.register_forward_hook(count)


@dataclass(frozen=True)
class Timed:
    """One call. seconds: CPU time of the process; passes: over all samples."""

    result: Tensor
    seconds: float
    passes: Passes


def timed(call: Callable[[], Tensor], module: nn.Module) -> Timed:
    """Runs `call` once, with its passes counted at `module`."""
    passes = Passes()
    handle = passes.watch(module)
    started = time.process_time()
    try:
        result = call()
    finally:
        seconds = time.process_time() - started
        handle.remove()
    return Timed(result.detach(), seconds, passes)


@dataclass(frozen=True)
class PassCost:
    """Best CPU seconds of a pass for one sample, and how it was reached."""

    forward: float
    backward: float
    how: str

    def of(self, forwards: float, backwards: float) -> float:
        """Seconds that so many passes take at best."""
        return forwards * self.forward + backwards * self.backward


def best_cost(module: nn.Module, x: Tensor) -> PassCost:
    """The cheapest forward and forward-and-backward pass over batch sizes, memory layouts and oneDNN on and off."""
    found: dict[str, tuple[float, float]] = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        model = copy.deepcopy(module).to(memory_format=layout)  # type: ignore[call-overload]
        for onednn in (True, False):
            with torch.backends.mkldnn.flags(enabled=onednn, allow_tf32=None):
                for batch in (16, 64, min(128, len(x))):
                    name = f"batch {batch}, {str(layout).removeprefix('torch.')}, oneDNN {'on' if onednn else 'off'}"
                    found[name] = (_seconds(model, x[:batch], False), _seconds(model, x[:batch], True))
    forward = min(seconds for seconds, _ in found.values())
    how = min(found, key=lambda name: found[name][1])
    return PassCost(forward, found[how][1] - forward, how)


def _seconds(model: nn.Module, x: Tensor, back: bool) -> float:
    """Best of some runs, for one sample."""
    best = float("inf")
    for _ in range(6):
        leaf = x.detach().requires_grad_(back)
        started = time.process_time()
        with torch.set_grad_enabled(back):
            scores = model(leaf)
        if back:
            torch.autograd.grad(scores.sum(), leaf)
        best = min(best, time.process_time() - started)
    return best / len(x)
