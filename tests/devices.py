"""Where tests compute: on the processor, or on what ROBUSTEVAL_TEST_DEVICE names, such as cuda. There is no second copy
of them.

Tensors that a test makes without a word of their device are made there, random ones on the processor, whose generators
tests seed, and carried over. What robusteval itself makes is untouched: it names its devices
(tests/test_architecture.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

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


def compute_there() -> None:
    """From now on, tensors of tests are made on DEVICE. Nothing changes where that is the processor."""
    if DEVICE.type != "cpu":
        mode: TorchFunctionMode = Made()
        mode.__enter__()


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
        return func(*args, **given)
