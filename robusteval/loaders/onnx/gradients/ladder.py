"""The ladder's rungs: a twin with the file's pixels, batch habits and head around it, and where a file stands."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from robusteval.loaders.onnx.gradients.prepass import freed_batch, prepare
from robusteval.loaders.onnx.reading.file import ModelFile
from robusteval.loaders.onnx.reading.inputs import InputReading, OutputReading
from robusteval.loaders.onnx.twin.graph import Twin
from robusteval.loaders.output_head import Head


class TwinRunner:
    """The twin with the file's pixels, batch habits and head around it: canonical inputs in, scores out."""

    def __init__(
        self, twin: Twin, input_reading: InputReading, head: Head, way: str, straight: bool, answers_at: int | None = 0
    ) -> None:
        twin = twin.double() if input_reading.type == "tensor(double)" else twin
        self.module, self.input_reading, self.head, self.way, self.straight = (
            twin.eval(),
            input_reading,
            head,
            way,
            straight,
        )
        self.answers_at = answers_at

    def raw(self, x: Tensor) -> Tensor:
        """The twin's own output for canonical x: [B, ...], float64 where the file takes that."""
        if x.device != self.module.anchor.device:
            self.module.to(x.device)
        feed = self.input_reading.space.to_file(x.to(self.module.anchor.dtype), self.straight)
        if self.way == "direct":
            return self._several(feed)
        if self.way == "vmap":
            out: Tensor = torch.func.vmap(self._one)(feed)
            return out
        size = self.input_reading.batch or 1
        parts = []
        for start in range(0, len(feed), size):
            part = feed[start : start + size]
            short = size - len(part)
            full = torch.cat([part, part[-1:].expand(short, *part.shape[1:])]) if short else part
            parts.append(self._several(full)[: len(part)])
        return torch.cat(parts)

    def _one(self, row: Tensor) -> Tensor:
        """One row asked alone: its answer is all that comes back, whatever its shape. [*file_shape] -> [K]."""
        at = self.input_reading.batch_at
        out: Tensor = self.module(row if at is None else row.unsqueeze(at))
        return out.reshape(-1)

    def _several(self, feed: Tensor) -> Tensor:
        if self.input_reading.batch_at is None or (self.way == "loop" and len(feed) == 1):
            return torch.stack([self._one(row) for row in feed])
        out: Tensor = self.module(feed.movedim(0, self.input_reading.batch_at))
        return out.movedim(self.answers_at, 0) if self.answers_at else out

    def scores(self, x: Tensor) -> Tensor:
        """[B, *input_shape] -> [B, K], in x's precision."""
        return self.head.of_twin(self.raw(x)).to(x.dtype)


@dataclass(frozen=True)
class Climb:
    """Where a file stands on the ladder, and why; enough to build its twin again elsewhere."""

    rung: str
    reason: str = ""
    straight: bool = False
    width: str = (
        "unit"  # of the ramps about thresholds where gradients go straight through (loaders.onnx.twin.node.WIDTHS)
    )
    way: str = "direct"
    freed: bool = False  # reshapes of an exported batch of 1 were freed
    precision: str = "float32"
    forced_batch: int | None = None
    parity: dict[str, float | str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    soft: bool = True  # what saturates is taken in logarithms; not where features are wanted
    folds: bool = True  # affine layers are folded into weights; not where only the plain graph answers as the file does

    @property
    def gradients(self) -> str:
        """One of contracts.classifier.GRADIENTS."""
        named = {"E": "none", "S": "surrogate"}
        return named.get(self.rung, "straight-through" if self.straight else "exact")

    def runner(
        self, file: ModelFile, input_reading: InputReading, output_reading: OutputReading, head: Head
    ) -> TwinRunner:
        """Builds the twin that the climb settled on."""
        one = head.one_score and head.tail != ""
        prepared = prepare(file.proto(), output_reading.tensor, one, self.soft, output_reading.kind == "labels")
        if self.freed:
            prepared = freed_batch(prepared) or prepared
        width = self.width if self.straight else False
        twin = Twin(prepared.graph, prepared.opsets, width, prepared.types, prepared.before, self.folds)
        return TwinRunner(twin, input_reading, head, self.way, self.straight, output_reading.answers_at)
