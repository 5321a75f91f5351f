"""Which gradients a file can give: the walker against ONNX Runtime, rung by rung, judged by measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .head import Head, read_head
from .onnx_checks import Gate, Parity, compare, first_divergence, gradient_gate, probe_inputs, tapped_truth
from .onnx_file import ModelFile
from .onnx_io import InputReading, OutputReading
from .onnx_prepass import Prepared, all_nodes, freed_batch, prepare
from .onnx_truth import Truth
from .onnx_twin.graph import Twin
from .onnx_twin.node import Unsupported

WHOLE = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")


class TwinRunner:
    """The twin with the file's pixels, batch habits and head around it: canonical inputs in, scores out."""

    def __init__(
        self, twin: Twin, given: InputReading, head: Head, way: str, straight: bool, answers_at: int | None = 0
    ) -> None:
        twin = twin.double() if given.type == "tensor(double)" else twin
        self.module, self.given, self.head, self.way, self.straight = twin.eval(), given, head, way, straight
        self.answers_at = answers_at

    def raw(self, x: Tensor) -> Tensor:
        """The twin's own output for canonical x: [B, ...], float64 where the file takes that."""
        if x.device != self.module.anchor.device:
            self.module.to(x.device)
        feed = self.given.space.to_file(x.to(self.module.anchor.dtype), self.straight)
        if self.way == "direct":
            return self._several(feed)
        if self.way == "vmap":
            out: Tensor = torch.func.vmap(self._one)(feed)
            return out
        size = self.given.batch or 1
        parts = []
        for start in range(0, len(feed), size):
            part = feed[start : start + size]
            short = size - len(part)
            full = torch.cat([part, part[-1:].expand(short, *part.shape[1:])]) if short else part
            parts.append(self._several(full)[: len(part)])
        return torch.cat(parts)

    def _one(self, row: Tensor) -> Tensor:
        """One row asked alone: its answer is all that comes back, whatever its shape. [*file_shape] -> [K]."""
        at = self.given.batch_at
        out: Tensor = self.module(row if at is None else row.unsqueeze(at))
        return out.reshape(-1)

    def _several(self, feed: Tensor) -> Tensor:
        if self.given.batch_at is None or (self.way == "loop" and len(feed) == 1):
            return torch.stack([self._one(row) for row in feed])
        out: Tensor = self.module(feed.movedim(0, self.given.batch_at))
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
    way: str = "direct"
    freed: bool = False  # reshapes of an exported batch of 1 were freed
    precision: str = "float32"
    forced_batch: int | None = None
    parity: dict[str, float | str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    soft: bool = True  # a final softmax or sigmoid is taken in logarithms; not where features are wanted

    @property
    def gradients(self) -> str:
        """One of contracts.classifier.GRADIENTS."""
        return "none" if self.rung == "E" else "straight-through" if self.straight else "exact"

    def runner(self, file: ModelFile, given: InputReading, taken: OutputReading, head: Head) -> TwinRunner:
        """Builds the twin that the climb settled on."""
        one = head.one_score and head.tail == "Sigmoid"
        prepared = prepare(file.proto(), taken.tensor, one, self.soft)
        if self.freed:
            prepared = freed_batch(prepared) or prepared
        twin = Twin(prepared.graph, prepared.opsets, self.straight, prepared.types)
        return TwinRunner(twin, given, head, self.way, self.straight, taken.answers_at)


def climb(file: ModelFile, truth: Truth, samples: Tensor | None) -> tuple[Head, Climb]:
    """Reads the head off some answers, then finds the first rung whose forward and backward passes hold."""
    given, taken = truth.given, truth.taken
    x = probe_inputs(given, samples)
    precision = _precision(file)
    forced, notes = _coupling(truth, x)
    raw = truth.raw(x, forced)
    if taken.kind == "labels":
        head = read_head(raw, labels=True)
        return head, Climb("E", "The file returns labels only.", precision=precision, forced_batch=forced, notes=notes)
    try:
        prepared = prepare(file.proto(), taken.tensor)
        one = raw.flatten(1).shape[1] == 1 if raw.dim() > 1 else True
        if one and prepared.tail == "Sigmoid":
            prepared = prepare(file.proto(), taken.tensor, True)
    except Unsupported as error:
        head = read_head(raw)
        return head, Climb("E", _sentence(error), precision=precision, forced_batch=forced, notes=notes)
    head = read_head(raw, prepared.tail)
    if head.tail != prepared.tail:  # a softmax over something else than the classes
        head = replace(head, tail=prepared.tail) if prepared.tail == "Softmax" else head
    start = Climb("A", precision=precision, forced_batch=forced, notes=notes)
    try:
        return head, _settle(file, truth, x, prepared, head, start)
    except Unsupported as error:
        return head, replace(start, rung="E", reason=_sentence(error))


def _sentence(error: Unsupported) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def _precision(file: ModelFile) -> str:
    model = file.proto()
    kinds = {node.op_type for node in all_nodes(model.graph)}
    if any(op in WHOLE or op.startswith("QLinear") or op in ("QGemm", "QAttention") for op in kinds):
        return "int8"
    weights = [t.data_type for t in model.graph.initializer if math.prod(t.dims) > 1]
    halves = sum(t in (10, 16) for t in weights)
    if weights and 2 * halves > len(weights):
        return "float16"
    return "float64" if weights and all(t == 11 for t in weights) else "float32"


def _coupling(truth: Truth, x: Tensor) -> tuple[int | None, tuple[str, ...]]:
    """Whether a row's answer depends on the rows beside it (dynamic quantisation does that)."""
    if truth.given.batch is not None:
        return None, ()
    together, alone = truth.raw(x), truth.raw(x, 1)
    gap = float((together - alone).abs().max()) / max(1e-12, float(alone.abs().max()))
    if gap <= 1e-3:
        return None, ()
    note = f"Answers depend on the other rows of a batch (by {gap:.1%}): every input is asked alone."
    return 1, (note,)


@dataclass(frozen=True)
class _Trial:
    """A twin whose answers hold, with the verdict on its gradients."""

    runner: TwinRunner
    freed: bool
    parity: Parity
    gate: Gate


def _settle(file: ModelFile, truth: Truth, x: Tensor, prepared: Prepared, head: Head, start: Climb) -> Climb:
    """Exact gradients if they serve, straight-through ones if those serve clearly better, else rung E with the reason."""
    tapped = tapped_truth(file, truth, prepared)
    trials: list[_Trial] = []
    failures: list[Parity] = []
    for straight in (False, True):
        trial = _try(file, truth, tapped, x, prepared, head, start, straight, failures)
        if trial is None:
            break
        trials.append(trial)
        if not trial.runner.module.steps_on_path() and truth.given.space.whole is None:
            break  # nothing to pass straight through
    if not trials:
        best = min(failures, key=lambda p: p.badness)
        if "error" in best.figures:
            return replace(start, rung="E", reason=f"The twin cannot run the graph: {best.figures['error']}.")
        where = first_divergence(file, truth, prepared, x)
        reason = f"The twin's answers differ from ONNX Runtime's by {best.gap:.2g} of their size{where}."
        return replace(start, rung="E", reason=reason, parity=best.figures)
    useful = [t for t in trials if t.gate.passes]
    if not useful:
        reason = "The gradients are zero, not finite, or do not lower the margin."
        return replace(start, rung="E", reason=reason, parity={**trials[0].parity.figures, **trials[0].gate.figures})
    chosen = useful[-1] if len(useful) > 1 and useful[-1].gate.drop > 1.1 * useful[0].gate.drop else useful[0]
    return _landed(start, chosen)


def _try(
    file: ModelFile,
    truth: Truth,
    tapped: Truth | None,
    x: Tensor,
    prepared: Prepared,
    head: Head,
    start: Climb,
    straight: bool,
    failures: list[Parity],
) -> _Trial | None:
    """The cheapest way to take a batch whose answers hold; failures are noted down."""
    for freed, way in _ways(truth, start):
        graph = freed_batch(prepared) if freed else prepared
        if graph is None:
            continue
        twin = Twin(graph.graph, graph.opsets, straight, graph.types)
        runner = TwinRunner(twin, truth.given, head, way, straight, truth.taken.answers_at)
        parity = compare(file, truth, tapped, runner, graph, x, start)
        if parity.holds:
            return _Trial(runner, freed, parity, gradient_gate(truth, tapped, runner, x, start))
        failures.append(parity)
    return None


def _ways(truth: Truth, start: Climb) -> tuple[tuple[bool, str], ...]:
    """Ways to take a batch, the cheapest first; with reshapes freed from an exported batch of 1, or as they are."""
    if truth.given.unbatched or start.forced_batch == 1:
        return (False, "vmap"), (False, "loop")
    if truth.given.batch == 1:
        return (True, "direct"), (False, "direct"), (False, "vmap"), (False, "loop")
    return ((False, "direct"), (False, "loop")) if truth.given.batch else ((False, "direct"),)


def _landed(start: Climb, trial: _Trial) -> Climb:
    runner, parity = trial.runner, trial.parity
    rung, reason = "A", ""
    if runner.way != "direct":
        rung = "D"
        reason = f"The batch is fixed to {runner.given.batch or 1}: the twin takes rows by {runner.way}."
    if parity.saturated:
        rung = "C"
        reason = "The file's probabilities saturate: the twin stops before its last softmax or sigmoid."
    if runner.straight:
        rung = "B"
        ops = list(runner.module.steps_on_path()) + (["rounding of the input"] if runner.given.space.whole else [])
        reason = f"The twin passes gradients straight through what is flat almost everywhere (BPDA): {', '.join(ops)}."
    return replace(
        start,
        rung=rung,
        reason=reason,
        straight=runner.straight,
        way=runner.way,
        freed=trial.freed,
        parity={**parity.figures, **trial.gate.figures},
    )
