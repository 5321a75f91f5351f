"""Where tests compute: on the processor, or on what ROBUSTEVAL_TEST_DEVICE names, such as cuda. There is no second copy
of them.

Tensors that a test makes without a word of their device are made there, random ones on the processor, whose generators
tests seed, and carried over. What a test itself compares, picks or hands to numpy is brought together first, since it
looks at values and not at where they lie. What robusteval does is untouched: it names its devices
(tests/test_architecture.py), and what it mixes up fails.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

NAME = "ROBUSTEVAL_TEST_DEVICE"
DEVICE = torch.device(os.environ.get(NAME) or "cpu")
_MADE = {
    *(
        torch.arange,
        torch.as_tensor,
        torch.empty,
        torch.eye,
        torch.full,
        torch.linspace,
        torch.ones,
        torch.scalar_tensor,
    ),
    *(torch.tensor, torch.zeros),
}
_DRAWN = {torch.rand, torch.randint, torch.randn, torch.randperm, torch.normal}
_FOR_NUMPY: set[Any] = {Tensor.numpy, Tensor.__array__}
_HERE = str(Path(__file__).parent)
_BETWEEN = tuple(f"{os.sep}{package}{os.sep}" for package in ("torch", "_pytest", "numpy"))  # who only passes it on


def compute_there() -> None:
    """From now on, tensors of tests are made on DEVICE. Nothing changes where that is the processor."""
    if DEVICE.type != "cpu":
        mode: TorchFunctionMode = Made()
        mode.__enter__()


@contextmanager
def on_the_processor() -> Iterator[None]:
    """Inside, nothing is made elsewhere: exporters trace a network through whatever looks at its calls, and may die."""
    with torch._C.DisableTorchFunction() if DEVICE.type != "cpu" else nullcontext():  # what looks at all calls, too
        yield


class Made(TorchFunctionMode):
    """Inside, factories that are told no device use DEVICE."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if given.get("device") is not None:
            return func(*args, **given)
        if func in _MADE:
            return func(*args, **{**given, "device": DEVICE})
        if func in _DRAWN:
            return func(*args, **given).to(DEVICE)
        if _of_a_test():
            if func in _FOR_NUMPY:
                return func(args[0].cpu(), *args[1:], **given)
            places = {leaf.device.type for leaf in tree_leaves((args, given)) if isinstance(leaf, Tensor)}
            if len(places) > 1:
                args, given = tree_map_only(Tensor, lambda tensor: tensor.to(DEVICE), (args, given))
        return func(*args, **given)


def _of_a_test() -> bool:
    """Whether what is under way was asked for in a file of tests/."""
    frame = sys._getframe(2)
    while frame.f_back is not None and any(package in frame.f_code.co_filename for package in _BETWEEN):
        frame = frame.f_back
    return frame.f_code.co_filename.startswith(_HERE)
