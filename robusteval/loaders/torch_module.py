"""PyTorch modules as classifiers: truth and twin are the same module, a frozen copy in evaluation mode."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ..contracts.classifier import LoadOptions, ModelInfo
from ..contracts.sharing import shared
from ..errors import AccessError, ModelError
from .head import Head
from .parameters import parameter_sha256
from .pixel import PixelSpace, pixel_space
from .torch_answers import ask_module, device_of, dtype_of, log_scores, raw_scores
from .torch_features import TorchFeatures, penultimate


class TorchClassifier:
    """An nn.Module as a `Classifier`. Picklable where the module is."""

    def __init__(self, module: nn.Module, space: PixelSpace, head: Head, info: ModelInfo) -> None:
        self.module, self.space, self.head, self.info = module, space, head, info

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        input_shape: tuple[int, ...],
        options: LoadOptions | None = None,
        name: str = "module",
        sha256: str = "",
        notes: tuple[str, ...] = (),
    ) -> TorchClassifier:
        """Takes a deep copy in evaluation mode and asks it a few questions; the given module is not changed.

        input_shape: canonical, (C, H, W) or (D,). sha256: of the file, where there is one; else of the parameters.
        Raises ModelError when the module does not answer such inputs with class scores.
        """
        options = options or LoadOptions()
        shape = tuple(int(n) for n in input_shape)
        if len(shape) not in (1, 3) or min(shape) <= 0:
            raise ModelError(f"The input shape {shape} is neither (C, H, W) nor (D,).", "Correct --shape.")
        nhwc = options.layout.upper() == "NHWC" and len(shape) == 3
        file_shape = (shape[1], shape[2], shape[0]) if nhwc else shape
        layout = "flat" if len(shape) == 1 else "NHWC" if nhwc else "NCHW"
        space = pixel_space(options, shape, file_shape, layout)
        notes = (*notes, *_modes(module))
        frozen = _frozen(module)
        asked = ask_module(frozen, space)
        info = ModelInfo(
            name=name,
            format="torch",
            sha256=sha256 or parameter_sha256(frozen),
            input_shape=shape,
            classes=asked.head.classes,
            bounds=space.bounds,
            mean=space.mean,
            std=space.std,
            layout=layout,
            gradients=asked.gradients,
            gradients_reason=asked.reason,
            rung="E" if asked.gradients == "none" else "C" if asked.reason else "A",
            output=asked.head.output,
            provider=f"torch {device_of(frozen).type}",
            precision=str(dtype_of(frozen)).removeprefix("torch."),
            batch=asked.batch,
            notes=(*notes, *asked.notes),
        )
        return cls(frozen, space, asked.head, info)

    def logits(self, x: Tensor) -> Tensor:
        """Scores: float32 [B, *input_shape] -> float32 [B, K] on x's device, without gradient."""
        return shared(self, "logits", x, self._logits)

    def _logits(self, x: Tensor) -> Tensor:
        self.space.check(x)
        if not len(x):
            return x.new_zeros((0, self.info.classes), dtype=torch.float32)
        with torch.no_grad():
            raw = self._rows(x, lambda part: raw_scores(self.module, self.space, part))
            return self.head.of_file(raw).float().to(x.device)

    def twin(self, x: Tensor) -> Tensor:
        """Differentiable scores: [B, *input_shape] -> [B, K]. Raises AccessError where there is no gradient."""
        return shared(self, "twin", x, self._twin)

    def _twin(self, x: Tensor) -> Tensor:
        if self.info.gradients == "none":
            raise AccessError(
                f"The model {self.info.name!r} gives no gradients. {self.info.gradients_reason}",
                "Use attacks that need scores or decisions only.",
            )
        self.space.check(x)
        if not len(x):
            return x.new_zeros((0, self.info.classes))
        if self.head.output != "probabilities":
            return self.head.of_file(self._rows(x, lambda part: raw_scores(self.module, self.space, part))).to(x)
        return self._rows(x, lambda part: log_scores(self.module, self.space, self.head, part)).to(x)

    def features(self) -> TorchFeatures:
        """What the last linear layer reads, [B, D]. Raises AccessError where none is seen."""
        return penultimate(partial(raw_scores, self.module, self.space), self._rows, self.info)

    def _rows(self, x: Tensor, ask: Callable[[Tensor], Tensor]) -> Tensor:
        if self.info.batch is None:
            return ask(x)
        return torch.cat([ask(x[i : i + 1]) for i in range(len(x))])


def load_torch(path: Path, options: LoadOptions) -> TorchClassifier:
    """Opens a PyTorch file: weights with --arch, or, behind --trust, TorchScript and .pt2. Raises ModelError."""
    from .torch_file import open_torch_file

    if not options.input_shape:
        raise ModelError(
            "A PyTorch file does not say what shape its input has.",
            "Give it with --shape, for example --shape 3,32,32.",
        )
    opened = open_torch_file(Path(path), options)
    name = Path(path).stem
    return TorchClassifier.from_module(opened.module, options.input_shape, options, name, opened.sha256, opened.notes)


def _modes(module: nn.Module) -> tuple[str, ...]:
    live = [m for m in module.modules() if m.training]
    kinds = sorted({type(m).__name__ for m in live if isinstance(m, (nn.modules.batchnorm._BatchNorm, nn.Dropout))})
    if not live:
        return ()
    tail = f" ({', '.join(kinds)})" if kinds else ""
    return (f"The module was in training mode{tail}; a copy in evaluation mode is evaluated.",)


def _frozen(module: nn.Module) -> nn.Module:
    if not isinstance(module, nn.Module):
        raise ModelError(f"A {type(module).__name__} is not a torch.nn.Module.", "Give an nn.Module.")
    try:
        frozen = copy.deepcopy(module)
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f"The module cannot be copied: {error}", "Detach its tensors before handing it over."
        ) from error
    frozen.train(False)
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
    return frozen
