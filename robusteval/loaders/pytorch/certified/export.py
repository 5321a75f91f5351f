"""The graph of a PyTorch module, for certifiers: exported to ONNX, and taken from there.

torch.export follows the module on one image and refuses whatever decides by values, so that what it wrote down holds
for all images; TorchScript programs are taken as they are written. The file is then held against the module.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path as File
from typing import Any

import torch
from torch import Tensor, nn

from robusteval.contracts.certificates.graph import Graph, NotCoveredError
from robusteval.contracts.classifier import LoadOptions, ModelInfo
from robusteval.errors import ModelError
from robusteval.loaders.onnx.classifier import OnnxClassifier, load_onnx
from robusteval.loaders.pytorch.answers import Reading, dtype_of, first_line
from robusteval.loaders.pytorch.file import FromBytes
from robusteval.loaders.pytorch.outputs import Path, picked

_OPSET = 17
_CLOSE = 1e-4  # of the answers of file and module, in float32, relative to the largest score
_DEEP = -20.0  # log-probabilities below are not compared
_POINTS = 8


class _Scores(nn.Module):
    """A module's class scores of one image, as one row. It is given a copy, which it may write into."""

    def __init__(self, module: nn.Module, path: Path) -> None:
        super().__init__()
        self.module, self.path = module, path

    def forward(self, x: Tensor) -> Tensor:
        return picked(self.module(x.clone()), self.path).reshape(1, -1)


def graph_of_module(module: nn.Module, reading: Reading, info: ModelInfo, logits: Callable[[Tensor], Tensor]) -> Graph:
    """What the module computes, with pixels and head around it. logits: of the classifier, [B, *input_shape] -> [B, K].
    Raises NotCoveredError, saying which node, or why."""
    if info.precision not in ("float32", "float64"):
        raise NotCoveredError(f"the module computes in {info.precision}")
    if info.output == "labels":
        raise NotCoveredError("the module gives labels alone")
    if "random-outputs" in info.traits:
        raise NotCoveredError("the module draws random numbers")
    if reading.batch not in (None, 1) or reading.least > 1:
        raise NotCoveredError(f"the module takes no single image, but {reading.batch or reading.least} at once")
    one = torch.zeros(1, *reading.space.file_shape, dtype=dtype_of(module), device="cpu")
    space = reading.space
    options = LoadOptions(space.bounds, space.mean, space.std, space.layout if space.turned else "", info.input_shape)
    with tempfile.TemporaryDirectory() as folder:
        file = File(folder) / "module.onnx"
        _write(copy.deepcopy(module).cpu().eval(), reading.path, one, file)
        try:
            model = load_onnx(file, options)
        except ModelError as error:
            raise NotCoveredError(f"the module's export cannot be read: {error.message}") from error
        graph = model.graph()
    _hold(model, info, logits)
    return graph


def _write(module: nn.Module, path: Path, one: Tensor, file: File) -> None:
    """Writes the module as an ONNX file. one: [1, *file_shape], of its own numbers. Raises NotCoveredError where that
    cannot be done."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes, which are fixed here, and of the exporter's own successor
        try:
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                torch.onnx.export(
                    _followed(module, path, one),
                    (one,),
                    str(file),
                    dynamo=False,
                    opset_version=_OPSET,
                    input_names=["pixels"],
                    output_names=["scores"],
                    do_constant_folding=False,
                    training=torch.onnx.TrainingMode.PRESERVE,  # else batch norms are folded, which rounds weights
                )
        except (KeyboardInterrupt, NotCoveredError):
            raise
        except BaseException as error:  # a stranger's code may raise anything, SystemExit too
            raise NotCoveredError(f"the module cannot be written down as a graph ({first_line(error)})") from error


def _followed(module: nn.Module, path: Path, one: Tensor) -> Any:
    """What is exported: a program that decides nothing by values, or TorchScript, whose decisions are nodes."""
    program = module.inner if isinstance(module, FromBytes) else module
    if isinstance(program, torch.jit.ScriptModule):
        if path:
            raise NotCoveredError("TorchScript with several outputs is not covered")
        return program
    return torch.export.export(_Scores(module, path).eval(), (one,), strict=False).module()


def _hold(model: OnnxClassifier, info: ModelInfo, logits: Callable[[Tensor], Tensor]) -> None:
    """Raises NotCoveredError where the exported file does not answer as the module does."""
    if model.info.output != info.output or model.info.classes != info.classes:
        found, asked = (f"{told.classes} {told.output}" for told in (model.info, info))
        raise NotCoveredError(f"the module's export gives {found}, the module {asked}")
    low, high = info.bounds
    rng = torch.Generator("cpu").manual_seed(0)
    x = torch.rand((_POINTS, *info.input_shape), generator=rng, device="cpu") * (high - low) + low
    x[0], x[1] = low, high
    own, theirs = model.logits(x), logits(x)
    if info.output != "logits":
        own, theirs = own.clamp_min(_DEEP), theirs.clamp_min(_DEEP)
    if not bool(((own - theirs).abs() <= _CLOSE * theirs.abs().amax().clamp_min(1.0)).all()):
        raise NotCoveredError("the module's export does not answer as it does")
