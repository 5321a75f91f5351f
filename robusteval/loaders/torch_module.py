"""PyTorch modules as classifiers: truth and twin are the same module, a frozen copy in evaluation mode."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..contracts.classifier import LoadOptions, ModelInfo
from ..contracts.sharing import shared
from ..errors import AccessError, ModelError
from .head import Head, flat_rows, read_head
from .parameters import parameter_sha256
from .pixel import PixelSpace, pixel_space
from .torch_features import TorchFeatures, penultimate

SOFTMAXES = (torch.softmax, torch.nn.functional.softmax, Tensor.softmax)
SIGMOIDS = (torch.sigmoid, torch.nn.functional.sigmoid, Tensor.sigmoid)


class _LastSoft(TorchFunctionMode):
    """Remembers what went into every softmax and sigmoid, so that the last one can be taken in logarithms."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, str, Tensor]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if args and isinstance(out, Tensor) and (func in SOFTMAXES or func in SIGMOIDS):
            self.seen.append((out, "Softmax" if func in SOFTMAXES else "Sigmoid", args[0]))
        return out

    def before(self, out: Tensor) -> tuple[str, Tensor] | None:
        """The operator that made `out`, and what went into it."""
        return next(((kind, x) for made, kind, x in reversed(self.seen) if made is out), None)


@dataclass(frozen=True)
class _Asked:
    """What a few questions tell about a module."""

    head: Head
    batch: int | None
    notes: tuple[str, ...]
    gradients: str
    reason: str


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
        asked = _ask(frozen, space)
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
            provider=f"torch {_device(frozen).type}",
            precision=str(_dtype(frozen)).removeprefix("torch."),
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
            raw = self._rows(x, lambda part: _raw(self.module, self.space, part))
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
            return self.head.of_file(self._rows(x, lambda part: _raw(self.module, self.space, part))).to(x)
        return self._rows(x, lambda part: _log_scores(self.module, self.space, self.head, part)).to(x)

    def features(self) -> TorchFeatures:
        """What the last linear layer reads, [B, D]. Raises AccessError where none is seen."""
        return penultimate(partial(_raw, self.module, self.space), self._rows, self.info)

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
            "Give it with --shape, for example --shape 3 32 32.",
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


def _tensors(module: nn.Module) -> Iterable[Tensor]:
    # one after the other: every pass asks for the first of them
    yield from (t for t in chain(module.parameters(), module.buffers()) if t.is_floating_point())


def _dtype(module: nn.Module) -> torch.dtype:
    return next((t.dtype for t in _tensors(module)), torch.float32)


def _device(module: nn.Module) -> torch.device:
    return next((t.device for t in _tensors(module)), torch.device("cpu"))


def _scores_in(result: Any) -> Tensor:
    """The class scores in whatever a module returns. Raises ModelError."""
    if isinstance(result, Tensor):
        return result
    if hasattr(result, "logits") and isinstance(result.logits, Tensor):
        return result.logits
    values = list(result.values()) if isinstance(result, dict) else result if isinstance(result, (list, tuple)) else []
    found = [v for v in values if isinstance(v, Tensor) and v.is_floating_point() and v.dim() in (1, 2)]
    if not found:
        raise ModelError(f"The module returns a {type(result).__name__} without class scores.", "Return a tensor.")
    return found[0]


def _raw(module: nn.Module, space: PixelSpace, x: Tensor) -> Tensor:
    """The module's own output for canonical x. The module follows x to its device."""
    if _device(module) != x.device:
        module.to(x.device)
    return _scores_in(module(space.to_file(x).to(_dtype(module))))


def _log_scores(module: nn.Module, space: PixelSpace, head: Head, x: Tensor) -> Tensor:
    """Log-probabilities without the detour over saturated probabilities, where the last operator can be seen."""
    with _LastSoft() as watch:
        raw = _raw(module, space, x)
    found = watch.before(raw)
    if found is None:
        return head.of_file(raw)
    kind, before = found
    before = flat_rows(before)
    if kind == "Softmax":
        return F.log_softmax(before, 1)
    if head.one_score:
        return torch.cat([F.logsigmoid(-before), F.logsigmoid(before)], 1)
    return F.logsigmoid(before)


def _ask(module: nn.Module, space: PixelSpace) -> _Asked:
    """Some answers: classes, scale of the scores, randomness, dependence between rows, gradients."""
    low, high = space.bounds
    rng = np.random.default_rng(11)
    noise = torch.from_numpy(rng.random((4, *space.input_shape), dtype=np.float32))
    x = low + (high - low) * noise
    x = x.to(_device(module))
    with torch.random.fork_rng(devices=[]), torch.no_grad():  # a random module must not disturb the caller's numbers
        try:
            with _LastSoft() as watch:
                together = _raw(module, space, x)
            again = _raw(module, space, x)
            alone = torch.cat([flat_rows(_raw(module, space, x[i : i + 1])) for i in range(len(x))])
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(
                f"The module does not take inputs of shape {space.file_shape}: {reason}", "Correct --shape or --layout."
            ) from error
    found = watch.before(together)
    rows = flat_rows(together)
    if rows.shape[0] != len(x):
        raise ModelError(
            f"The module answers 4 inputs with a result of shape {tuple(together.shape)}.", "Keep the batch."
        )
    kind = found[0] if found else ""
    head = read_head(rows.float(), kind)
    if head.classes < 2:
        raise ModelError("The module has a single class.", "Give a classifier with at least two.")
    notes, batch = [], None
    scale = max(1e-12, float(rows.abs().max()))
    if float((rows - flat_rows(again)).abs().max()) > 1e-6 * scale:
        notes.append("The module's answers differ from call to call: it draws random numbers.")
    elif float((rows - alone).abs().max()) > 1e-3 * scale:
        notes.append("The module's answers depend on the other rows of a batch: every input is asked alone.")
        batch = 1
    gradients, reason = _gradients(module, space, head, x)
    if gradients == "exact" and head.output == "probabilities" and _saturated(module, space, head, x):
        reason = "The module's probabilities saturate: gradients are taken before its last softmax or sigmoid."
        reason = reason if found else "The module's probabilities saturate, and what they are made from cannot be seen."
    return _Asked(head, batch, tuple(notes), gradients, reason)


def _gradients(module: nn.Module, space: PixelSpace, head: Head, x: Tensor) -> tuple[str, str]:
    leaf = x.clone().requires_grad_(True)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            if head.output == "probabilities":
                scores = _log_scores(module, space, head, leaf)
            else:
                scores = head.of_file(_raw(module, space, leaf))
            if not scores.requires_grad:
                return "none", "Its output does not depend on its input in a way that torch can differentiate."
            pair = scores.topk(2, 1).values
            grad = torch.autograd.grad((pair[:, 0] - pair[:, 1]).sum(), leaf)[0]
    except RuntimeError as error:
        return "none", f"Torch cannot differentiate it: {str(error).splitlines()[0]}."
    if not math.isfinite(float(grad.abs().max())):
        return "none", "Its gradients are not finite."
    if float(grad.abs().max()) == 0.0:
        return "none", "Its gradients are zero."
    return "exact", ""


def _saturated(module: nn.Module, space: PixelSpace, head: Head, x: Tensor) -> bool:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        top = _log_scores(module, space, head, x).topk(2, 1).values
    return bool(((top[:, 0] - top[:, 1]) > 15).double().mean() > 0.1)
