"""The penultimate features of a PyTorch module: what the last linear layer of a forward pass reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from robusteval.contracts.classifier import ModelInfo
from robusteval.errors import AccessError
from robusteval.loaders.output_head import MAX_FEATURES, NO_FEATURES, flat_rows

_LINEAR = ("linear", "matmul", "__matmul__", "mm", "addmm", "conv1d", "conv2d", "conv3d", "convolution")
_PLAIN = (
    "flatten", "view", "reshape", "squeeze", "unsqueeze", "permute", "transpose", "contiguous", "to", "float", "double",
    "clone", "dropout", "add", "__add__", "__radd__", "sub", "__sub__", "mul", "__mul__", "__rmul__", "div",
    "__truediv__",
)  # fmt: skip
_AFTER = (  # what may stand between the last linear layer and the output
    *_PLAIN, "softmax", "_softmax", "log_softmax", "_log_softmax", "sigmoid", "logsigmoid", "relu", "neg", "mean",
    "avg_pool2d", "adaptive_avg_pool2d", "__getitem__",
)  # fmt: skip
_WRITES = ("__setitem__", "copy_", "index_copy_", "scatter_")


class LayerWatch(TorchFunctionMode):
    """Remembers the calls of one forward pass whose results depend on `x`."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x
        self.made: dict[int, tuple[Tensor, str, list[Tensor]]] = {}  # tensors are kept, so that their ids stay theirs

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        given = [*args, *(kwargs or {}).values()]
        given += [part for value in given if isinstance(value, tuple | list) for part in value]
        moving = [value for value in given if isinstance(value, Tensor) and self._depends(value)]
        name = getattr(func, "__name__", "").split(".")[0]
        written = args[0] if args and name in _WRITES and isinstance(args[0], Tensor) else None
        if moving and written is not None and not self._depends(written):  # a tensor that was empty before
            self.made[id(written)] = (written, name, moving)
        for result in out if isinstance(out, tuple | list) else (out,):
            if moving and isinstance(result, Tensor) and not self._depends(result):
                self.made[id(result)] = (result, name, moving)
        return out

    def _depends(self, value: Tensor) -> bool:
        return value is self.x or id(value) in self.made

    def read_by_last(self, out: Tensor) -> tuple[Tensor, str]:
        """What the last linear layer before `out` read, and the function that it is. Raises AccessError."""
        while id(out) in self.made:
            _, name, moving = self.made[id(out)]
            if name in _LINEAR and len(moving) == 1:
                if self._is_input(moving[0]):
                    raise AccessError("The module's last linear layer reads the input itself.", NO_FEATURES)
                return moving[0], name
            if len(moving) != 1 or name not in _AFTER:
                raise AccessError(
                    f"The scores come out of {name}, behind which no linear layer was found.", NO_FEATURES
                )
            out = moving[0]
        raise AccessError("No linear layer was seen before the module's scores.", NO_FEATURES)

    def _is_input(self, value: Tensor) -> bool:
        while id(value) in self.made:
            _, name, moving = self.made[id(value)]
            if len(moving) != 1 or name not in _PLAIN:
                return False
            value = moving[0]
        return True


@dataclass(frozen=True)
class TorchFeatures:
    """What the last linear layer of a module reads, as a classifier. `raw`: canonical x -> the module's own output;
    `rows`: asks it for a batch, or for one row after the other."""

    raw: Callable[[Tensor], Tensor]
    rows: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]
    info: ModelInfo

    def logits(self, x: Tensor) -> Tensor:
        """[B, *input_shape] -> float32 [B, D], without gradient."""
        if not len(x):
            return x.new_zeros((0, self.info.classes), dtype=torch.float32)
        with torch.no_grad():
            return self.rows(x, self._read).float()

    def twin(self, x: Tensor) -> Tensor:
        """[B, *input_shape] -> [B, D], differentiable. Raises AccessError where there is no gradient."""
        if self.info.gradients == "none":
            raise AccessError(f"There are no gradients. {self.info.gradients_reason}", "Use attacks that need none.")
        return self.rows(x, self._read).to(x) if len(x) else x.new_zeros((0, self.info.classes))

    def _read(self, x: Tensor) -> Tensor:
        return self.watched(x)[0]

    def watched(self, x: Tensor) -> tuple[Tensor, str]:
        """The features of one forward pass, [B, D], and the function that reads them. Raises AccessError."""
        with LayerWatch(x) as watch:
            out = self.raw(x)
        value, name = watch.read_by_last(out)
        if len(value) != len(x) or value[0].numel() > MAX_FEATURES:
            raise AccessError(f"The last {name} reads {tuple(value.shape)} for {len(x)} inputs.", NO_FEATURES)
        return flat_rows(value), name


def penultimate(
    raw: Callable[[Tensor], Tensor], rows: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor], info: ModelInfo
) -> TorchFeatures:
    """The features of a module, found by one pass of a grey image. Raises AccessError where there are none."""
    found = TorchFeatures(raw, rows, info)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        value, name = found.watched(torch.full((1, *info.input_shape), sum(info.bounds) / 2, device="cpu"))
    info = replace(info, name=f"what the last {name} reads", classes=value.shape[1], class_names=(), output="logits")
    return replace(found, info=info)
