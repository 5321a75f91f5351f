"""What is global in a process: put back after each unit, so that a plugin which sets it hurts its own cell alone."""

from __future__ import annotations

import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from robusteval.cage.page import calling


@dataclass(frozen=True)
class State:
    """Torch's, numpy's and Python's settings that any code may change for all others."""

    dtype: torch.dtype
    device: torch.device
    grad: bool
    anomaly: tuple[bool, bool]
    autocast: bool
    threads: int
    deterministic: tuple[bool, bool]
    matmul: str
    mkldnn: bool
    cudnn: tuple[bool, bool, bool, bool]
    tf32: bool
    generators: tuple[torch.Tensor, Any, Any]  # torch's, numpy's and Python's
    floats: dict[str, Any]  # numpy: what becomes of overflows
    filters: list[Any]  # of warnings
    recursion: int
    folder: str
    environment: dict[str, str]

    def restore(self) -> None:
        """Sets all of it; what cannot be set any more, such as a folder that is gone, is left."""
        torch.set_default_dtype(self.dtype)
        if torch.get_default_device() != self.device:
            torch.set_default_device(None if self.device.type == "cpu" else self.device)
        torch.set_grad_enabled(self.grad)
        torch.autograd.set_detect_anomaly(*self.anomaly)
        torch.set_autocast_enabled("cpu", self.autocast)
        torch.set_num_threads(self.threads)
        _kernels(self)
        torch.set_flush_denormal(False)
        torch.random.set_rng_state(self.generators[0])
        np.random.set_state(self.generators[1])  # noqa: NPY002 - the global generator is what others may have moved
        random.setstate(self.generators[2])
        np.seterr(**self.floats)
        warnings.filters[:] = self.filters  # type: ignore[index]
        getattr(warnings, "_filters_mutated", _nothing)()  # the interpreter keeps what was decided by the old ones
        sys.setrecursionlimit(self.recursion)
        with suppress(OSError):
            if os.getcwd() != self.folder:  # noqa: PTH109 - a folder that is gone has no Path
                os.chdir(self.folder)
        if dict(os.environ) != self.environment:
            os.environ.clear()
            os.environ.update(self.environment)


def _nothing() -> None:
    """Where the interpreter keeps nothing."""


def _kernels(state: State) -> None:
    """Which kernels torch takes. By its own functions, as setting one of these by the module's names warns."""
    # torch's public name for this one imports its compiler, which takes seconds
    torch._C._set_deterministic_algorithms(state.deterministic[0], warn_only=state.deterministic[1])  # noqa: SLF001
    torch._C._set_mkldnn_enabled(state.mkldnn)  # noqa: SLF001
    torch._C._set_float32_matmul_precision(state.matmul)  # noqa: SLF001
    enabled, benchmark, deterministic, allow_tf32 = state.cudnn
    torch._C._set_cudnn_enabled(enabled)  # noqa: SLF001
    torch._C._set_cudnn_benchmark(benchmark)  # noqa: SLF001
    torch._C._set_cudnn_deterministic(deterministic)  # noqa: SLF001
    torch._C._set_cudnn_allow_tf32(allow_tf32)  # noqa: SLF001
    torch._C._set_cublas_allow_tf32(state.tf32)  # noqa: SLF001


def now() -> State:
    """What is set just now."""
    own = torch._C  # noqa: SLF001 - the same names as those that set it
    return State(
        dtype=torch.get_default_dtype(),
        device=torch.get_default_device(),
        grad=torch.is_grad_enabled(),
        anomaly=(torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        autocast=torch.is_autocast_enabled("cpu"),
        threads=torch.get_num_threads(),
        deterministic=(
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        matmul=own._get_float32_matmul_precision(),  # noqa: SLF001
        mkldnn=own._get_mkldnn_enabled(),  # noqa: SLF001
        cudnn=(
            own._get_cudnn_enabled(),  # noqa: SLF001
            own._get_cudnn_benchmark(),  # noqa: SLF001
            own._get_cudnn_deterministic(),  # noqa: SLF001
            own._get_cudnn_allow_tf32(),  # noqa: SLF001
        ),
        tf32=own._get_cublas_allow_tf32(),  # noqa: SLF001
        generators=(torch.random.get_rng_state(), np.random.get_state(), random.getstate()),  # noqa: NPY002 - as above
        floats=dict(np.geterr()),
        filters=[*warnings.filters],
        recursion=sys.getrecursionlimit(),
        folder=os.getcwd(),  # noqa: PTH109 - text, as it is set again
        environment=dict(os.environ),
    )


@contextmanager
def put_back() -> Iterator[None]:
    """Whatever is set inside, is afterwards as it was."""
    before = now()
    try:
        yield
    finally:
        before.restore()


@contextmanager
def guest(words: str, least: float = 0.0) -> Iterator[None]:
    """Around a call of a plugin's in the command's own process: it is ended where it stands still, as
    `cage.page.calling` has it, and what it sets is afterwards as it was."""
    with calling(words, least), put_back():
        yield
