"""ONNX files as classifiers: ONNX Runtime on the untouched file is the truth, our own twin gives the gradients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from robusteval.cage.page import Asking
from robusteval.contracts.certificates.graph import Graph, NotCoveredError
from robusteval.contracts.classifier import LoadOptions, ModelInfo
from robusteval.contracts.sharing import shared
from robusteval.errors import AccessError, ModelError
from robusteval.loaders.input_space import check_room
from robusteval.loaders.onnx.certified.export import export
from robusteval.loaders.onnx.gradients.climb import climb
from robusteval.loaders.onnx.gradients.ladder import Climb, TwinRunner
from robusteval.loaders.onnx.gradients.prepass import merge_opsets
from robusteval.loaders.onnx.penultimate import tap
from robusteval.loaders.onnx.reading.batches import try_input
from robusteval.loaders.onnx.reading.bound import GPU
from robusteval.loaders.onnx.reading.file import ModelFile, read_model
from robusteval.loaders.onnx.reading.inputs import InputReading, OutputReading, guesses, reading_of
from robusteval.loaders.onnx.reading.outputs import candidates, choose
from robusteval.loaders.onnx.reading.reference import Truth
from robusteval.loaders.onnx.reading.session import open_session
from robusteval.loaders.onnx.sandbox import probe_file
from robusteval.loaders.onnx.twin.node import Unsupported
from robusteval.loaders.output_head import Head


class OnnxClassifier:
    """An ONNX file as a `Classifier`. Travels as the model's bytes; session and twin are made when first used."""

    def __init__(
        self,
        file: ModelFile,
        input_reading: InputReading,
        output_reading: OutputReading,
        head: Head,
        climbed: Climb,
        info: ModelInfo,
        truth: Truth | None = None,
        device: str = "cpu",
    ) -> None:
        self.info = info
        self._file, self._input_reading, self._output_reading, self._head, self._climbed = (
            file,
            input_reading,
            output_reading,
            head,
            climbed,
        )
        self._truth, self._device = truth, device
        self._runner: TwinRunner | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_truth": None, "_runner": None}

    def logits(self, x: Tensor) -> Tensor:
        """Scores by ONNX Runtime: float32 [B, *input_shape] -> float32 [B, K] on x's device, without gradient."""
        return shared(self, "logits", x, self._logits)

    def _logits(self, x: Tensor) -> Tensor:
        self._input_reading.space.check(x)
        if not len(x):
            return x.new_zeros((0, self.info.classes), dtype=torch.float32)
        if self._truth is None:
            self._truth = self._opened()
        return self._truth.scores(x, self._head, self.info.batch).to(x.device)

    def _opened(self) -> Truth:
        """The file in another process than the one that loaded it. Raises ModelError where another provider answers
        there: numbers of two would meet in one record."""
        session = open_session(self._file.blob, device=self._device)
        truth = Truth(self._file.blob, self._input_reading, self._output_reading, session=session)
        if self._device != "cpu" and provider_of(truth) != self.info.provider:
            raise ModelError(
                f"The model was opened with {self.info.provider}, and {provider_of(truth)} answers in this process.",
                "See that the GPU has room for every process, or run with --device cpu.",
            )
        return truth

    def twin(self, x: Tensor) -> Tensor:
        """Differentiable scores: [B, *input_shape] -> [B, K]. Raises AccessError where there is no useful gradient."""
        return shared(self, "twin", x, self._twin)

    def _twin(self, x: Tensor) -> Tensor:
        if self.info.gradients == "none":
            raise AccessError(
                f"The model {self.info.name!r} gives no gradients. {self.info.gradients_reason}",
                "Use attacks that need scores or decisions only.",
            )
        self._input_reading.space.check(x)
        if self._runner is None:
            self._runner = self._climbed.runner(self._file, self._input_reading, self._output_reading, self._head)
        if not len(x):
            return x.new_zeros((0, self.info.classes))
        with Asking("the differentiable twin", self._runner, len(x)):
            return self._runner.scores(x)

    def features(self) -> OnnxClassifier:
        """What the last linear layer reads, [B, D], on a copy of the file with one more output. Raises AccessError."""
        tapped = tap(self._file, self._input_reading, self._output_reading, self._climbed)
        info = replace(self.info, name=f"what the last {tapped.layer} reads", classes=tapped.head.classes)
        info = replace(info, class_names=(), output="logits")
        return OnnxClassifier(
            tapped.file, self._input_reading, tapped.output_reading, tapped.head, tapped.climbed, info, tapped.truth
        )

    def graph(self) -> Graph:
        """The file as a graph for certifiers, in float64. Raises NotCoveredError, naming the node."""
        if self.info.precision not in ("float32", "float64", "int8"):
            raise NotCoveredError(f"the file computes in {self.info.precision}")
        real = self._input_reading.type in ("tensor(float)", "tensor(double)")
        if not real and self._input_reading.space.whole is None:
            raise NotCoveredError(f"the file's input is {self._input_reading.type}")
        plain = replace(self._climbed, straight=False, soft=False, freed=False, way="loop", folds=False)
        try:
            runner = plain.runner(self._file, self._input_reading, self._output_reading, replace(self._head, tail=""))
            runner.module.double()
            return export(runner, runner.head, *self.info.bounds, lambda x: self.logits(x.float()))
        except Unsupported as error:
            raise NotCoveredError(str(error)) from error

    def trainable(self) -> nn.Module:
        """A fresh twin, [B, *input_shape] -> scores [B, K], whose weights are parameters."""
        return _Learning(
            self._climbed.runner(self._file, self._input_reading, self._output_reading, self._head), self.info.classes
        )


class _Learning(nn.Module):
    """The twin with parameters that learn, and pixels, batch habits and head around it."""

    def __init__(self, runner: TwinRunner, classes: int) -> None:
        super().__init__()
        self.graph = runner.module.learn()
        self._runner, self._classes = runner, classes

    def forward(self, x: Tensor) -> Tensor:
        return self._runner.scores(x) if len(x) else x.new_zeros((0, self._classes))


def load_onnx(path: Path, options: LoadOptions, samples: Tensor | None = None) -> OnnxClassifier:
    """Opens an ONNX classifier and judges what its twin is worth.

    `samples`: some real inputs, float32 [n, *input_shape] in the stated range, that the checks use beside random ones.
    Raises ModelError where the file is broken, hostile, or not a classifier of one image.
    """
    path = Path(path)
    file = read_model(path)
    model = file.proto()
    _check_room(model)
    probe_file(file, options)
    opsets = merge_opsets(model)
    session = open_session(file.blob, device=options.device)
    metadata, dataset = {p.key: p.value for p in model.metadata_props}, _dataset(model)
    look = _Look(options, dataset)
    input_reading, output_reading = _understood(session, model, options, look)
    del model  # its weights would be in memory once more while the twin is built
    seen = look(input_reading.space.input_shape) if samples is None else None
    samples = samples if seen is None else seen[0]
    truth = Truth(file.blob, input_reading, output_reading, session=session)
    head, climbed = climb(file, truth, samples)
    if head.classes < 2:
        raise ModelError("The model has a single class.", "Export a classifier with at least two.")
    notes = (*input_reading.notes, *output_reading.notes, *climbed.notes, *_elsewhere(options.device, truth))
    info = ModelInfo(
        name=metadata.get("name") or path.stem,  # hostile text: whoever shows it escapes it
        format="onnx",
        sha256=file.sha256,
        input_shape=input_reading.space.input_shape,
        classes=head.classes,
        bounds=input_reading.space.bounds,
        grid=input_reading.space.grid,
        mean=input_reading.space.mean,
        std=input_reading.space.std,
        layout=input_reading.layout,
        gradients=climbed.gradients,
        gradients_reason=climbed.reason,
        rung=climbed.rung,
        output=head.output,
        provider=provider_of(truth),
        precision=climbed.precision,
        batch=input_reading.batch if input_reading.batch is not None else climbed.forced_batch,
        opset=opsets.get(""),
        parity=climbed.parity,
        class_names=_class_names(metadata, output_reading, head.classes),
        dataset=dataset,
        notes=notes,
        reading=reading_of(input_reading, output_reading, head, climbed.forced_batch, file.external).to_json(),
        training_fingerprints=metadata.get("robusteval.learnt", ""),
    )
    return OnnxClassifier(file, input_reading, output_reading, head, climbed, info, truth, options.device)


def provider_of(truth: Truth) -> str:
    """What answers, for the record."""
    return f"onnxruntime {truth.provider}"


def _elsewhere(device: str, truth: Truth) -> tuple[str, ...]:
    """A note where a GPU was asked for and the processor answers."""
    if not device.startswith("cuda") or truth.provider == GPU:
        return ()
    fault = f"ONNX Runtime has no CUDA provider that starts on {device}"
    return (f"{fault}: the model's answers come from the processor, and only gradients from the GPU.",)


def _check_room(model: onnx.ModelProto) -> None:
    """Raises ModelError where an input is declared so large that no attack on it fits, before anything is run."""
    weights = {tensor.name for tensor in model.graph.initializer}
    for given in model.graph.input:
        sizes = [axis.dim_value for axis in given.type.tensor_type.shape.dim]
        if given.name not in weights and sizes:
            check_room(tuple(max(size, 1) for size in sizes[1:]))


class _Look:
    """The user's images, if there are any, in whatever shape is asked for: each shape is looked at once."""

    def __init__(self, options: LoadOptions, dataset: str) -> None:
        self._options, self._dataset = options, dataset
        self._seen: dict[tuple[int, ...], tuple[Tensor, Tensor] | None] = {}

    def __call__(self, shape: tuple[int, ...]) -> tuple[Tensor, Tensor] | None:
        if self._options.peek is None:
            return None
        if shape not in self._seen:
            low, high = self._options.bounds
            seen = self._options.peek(shape, (float(low), float(high)), self._dataset)
            self._seen[shape] = None if seen is None else (seen[0].cpu(), seen[1].cpu())
        return self._seen[shape]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether there are images that can be read in this shape."""
        return self(shape) is not None


def _understood(
    session: onnxruntime.InferenceSession, model: onnx.ModelProto, options: LoadOptions, look: _Look
) -> tuple[InputReading, OutputReading]:
    """How input and output are read. Raises ModelError where the file is not a classifier of one image."""
    found = guesses(session, options, look.fits)
    outputs = candidates(session, model)
    tried = try_input(session, model, found, outputs, look.fits)
    seen = look(tried.input_reading.space.input_shape)
    shown = None if seen is None else (seen[0].numpy(), seen[1].numpy())
    settled, output_reading = choose(session, model, outputs, tried, options, shown)
    return settled.input_reading, output_reading


def _dataset(model: onnx.ModelProto) -> str:
    """The data set that the file's metadata name, if any."""
    metadata = {p.key: p.value for p in model.metadata_props}
    return str(metadata.get("robusteval.dataset") or metadata.get("dataset", ""))


def _class_names(metadata: dict[str, str], output_reading: OutputReading, classes: int) -> tuple[str, ...]:
    """Names from the file's metadata or its ZipMap, if there is one a class."""
    listed = next((metadata[k] for k in ("class_names", "classes", "labels") if k in metadata), "")
    names = tuple(part.strip().strip("'\"") for part in listed.strip().strip("[]").split(",")) if listed else ()
    if len(names) != classes:
        names = tuple(str(key) for key in output_reading.labels)
    return names if len(names) == classes else ()
