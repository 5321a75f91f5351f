"""PyTorch modules as classifiers: truth and twin are the same module, a frozen copy in evaluation mode.

Truth is what the module answers; the twin asks the same module, or a copy with its batch norms folded (`folding`), with
probabilities in logarithms (`torch_logs`) or straight through its steps (`torch_straight`) where the ladder
(`torch_gradients`) found that to be needed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robusteval.contracts.certificates.graph import Graph
from robusteval.contracts.classifier import LoadOptions, ModelInfo
from robusteval.contracts.sharing import shared
from robusteval.errors import AccessError, ModelError
from robusteval.loaders.input_space import pixel_space
from robusteval.loaders.pytorch.answers import dtype_of
from robusteval.loaders.pytorch.folding import folded
from robusteval.loaders.pytorch.frozen import frozen_copy, parameter_sha256
from robusteval.loaders.pytorch.gradients import Twin
from robusteval.loaders.pytorch.interrogate import Asked, ask_module
from robusteval.loaders.pytorch.penultimate import TorchFeatures, penultimate
from robusteval.loaders.pytorch.straight_through import StraightThrough


class TorchClassifier:
    """An nn.Module as a `Classifier`. Picklable where the module is."""

    def __init__(self, module: nn.Module, asked: Asked, info: ModelInfo) -> None:
        self.module, self.info = module, info
        self.reading, self.head, self.way = asked.reading, asked.head, asked.ladder.way
        self.space = asked.reading.space
        self.folds, self._faster = asked.faster is not None, asked.faster

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_faster": None}  # made again where it is wanted: a traced module is not to be pickled

    def __deepcopy__(self, memo: dict[int, Any]) -> TorchClassifier:
        """A copy may be trained, or have its weights written into: it is asked as it is."""
        made = TorchClassifier.__new__(TorchClassifier)
        memo[id(self)] = made
        made.__dict__ = copy.deepcopy({**self.__dict__, "folds": False, "_faster": None}, memo)
        return made

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
        frozen, mode = frozen_copy(module)
        asked = ask_module(frozen, space, options)
        ladder = asked.ladder
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
            gradients=ladder.gradients,
            gradients_reason=ladder.reason,
            rung=ladder.rung,
            output=asked.head.output,
            provider=f"torch {options.device.partition(':')[0].replace('mps', 'cpu')}",  # mps gives gradients alone
            precision=str(dtype_of(frozen)).removeprefix("torch."),
            batch=asked.reading.batch,
            parity=ladder.parity,
            notes=(*notes, *mode, *asked.notes),
            traits=asked.traits | ({"training-mode": " ".join(mode)} if mode else {}),
        )
        return cls(frozen, asked, info)

    def logits(self, x: Tensor) -> Tensor:
        """Scores: float32 [B, *input_shape] -> float32 [B, K] on x's device, without gradient."""
        return shared(self, "logits", x, self._logits)

    def _logits(self, x: Tensor) -> Tensor:
        self.space.check(x)
        if not len(x):
            return x.new_zeros((0, self.info.classes), dtype=torch.float32)
        with torch.no_grad():
            scores = self.head.of_file(self._raw(x)).float().to(x.device)
        if tuple(scores.shape) != (len(x), self.info.classes):
            raise ModelError(
                f"The module's number of classes changes with the batch: {self.info.classes} at first, "
                f"{scores.shape[1]} when asked {len(x)} at a time.",
                "Return one row of scores for every input, whatever the batch.",
            )
        return scores

    def _raw(self, x: Tensor) -> Tensor:
        return self.reading.raw(self.module, x)

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
        module = self.faster
        return Twin(self.module if module is None else module, self.reading, self.head, self.way).scores(x).to(x)

    @property
    def faster(self) -> nn.Module | None:
        """The copy with batch norms folded that the twin asks, where there is one."""
        if self.folds and self._faster is None:
            self._faster = folded(self.module)
            self.folds = self._faster is not None
        return self._faster

    def graph(self) -> Graph:
        """The module as a graph for certifiers, in float64. Raises NotCoveredError, naming the node."""
        from robusteval.loaders.pytorch.certified.export import graph_of_module

        return graph_of_module(self.module, self.reading, self.info, self.logits)

    def features(self) -> TorchFeatures:
        """What the last linear layer reads, [B, D]. Raises AccessError where none is seen."""
        return penultimate(self._masked, self._rows, self.info)

    def _masked(self, x: Tensor) -> Tensor:
        """The module's own output, with gradients as the twin gives them."""
        one = replace(self.reading, batch=None, labels=0)
        if not self.way.straight:
            return one.raw(self.module, x)
        with StraightThrough():
            return one.raw(self.module, x)

    def _rows(self, x: Tensor, ask: Callable[[Tensor], Tensor]) -> Tensor:
        """Asks in batches that the module takes."""
        answers = [ask(self.reading.filled(part))[: len(part)] for part in self.reading.parts(x)]
        return answers[0] if len(answers) == 1 else torch.cat(answers)


def load_torch(path: Path, options: LoadOptions) -> TorchClassifier:
    """Opens a PyTorch file: weights with --arch, or, behind --trust, TorchScript and .pt2. Raises ModelError."""
    from robusteval.loaders.pytorch.file import open_torch_file

    if not options.input_shape:
        raise ModelError(
            "A PyTorch file does not say what shape its input has.",
            "Give it with --shape, for example --shape 3,32,32.",
        )
    opened = open_torch_file(Path(path), options)
    name = Path(path).stem
    return TorchClassifier.from_module(opened.module, options.input_shape, options, name, opened.sha256, opened.notes)
