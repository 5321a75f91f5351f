"""Where a run computes: which device is meant, and kernels there that are exact and the same each time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from robusteval.errors import SuiteError

AUTO = "auto"
_NAMES = re.compile(r"auto|cpu|cuda(:\d{1,3})?|mps")


def resolve(name: str) -> torch.device:
    """The device that a name means: "auto" (a CUDA GPU where torch can use one), "cpu", "cuda", "cuda:1", "mps".

    Raises SuiteError for an unknown name, and for a device that is not there or that has no memory left.
    """
    if not isinstance(name, str) or _NAMES.fullmatch(name) is None:
        raise SuiteError(f"{name!r} is not a device.", "Give auto, cpu, mps, cuda, or cuda: with the number of a GPU.")
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise SuiteError("There is no mps that torch can use.", "Run with --device cpu.")
        return torch.device("mps")
    if name == "cpu" or (name == AUTO and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SuiteError(
            "There is no GPU that torch can use.",
            "Run with --device cpu, or install a build of torch for CUDA and a driver that fits it.",
        )
    number = int(name.partition(":")[2] or torch.cuda.current_device()) if name != AUTO else torch.cuda.current_device()
    count = torch.cuda.device_count()
    if number >= count:
        raise SuiteError(f"There is no GPU {number}, but {count}: cuda:0 to cuda:{count - 1}.", "Give one of these.")
    device = torch.device("cuda", number)
    try:
        torch.zeros(1, device=device)
    except RuntimeError as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise SuiteError(
            f"The GPU {device} cannot be used: {lines[0][:200]}.", "Wait until it is free, or run with --device cpu."
        ) from error
    return device


def home(device: torch.device) -> torch.device:
    """Where samples, attacks and answers are: on the device itself; on the processor where that has no float64, in
    which distances are measured, so that it does a model's passes alone (`engine/carried.py`)."""
    return torch.device("cpu") if device.type == "mps" else device


def in_words(device: torch.device) -> str:
    """For people: the card's name with the device."""
    if device.type == "mps":
        return "mps, for gradients alone: answers and distances are the processor's"
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Inside, a GPU multiplies in full precision (no TF32) and by the same kernels each time; back to what it was
    after.

    A processor does so anyway.
    """
    if device.type != "cuda":
        yield
        return
    products = torch.backends.cuda.matmul.allow_tf32
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = products
