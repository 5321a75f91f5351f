"""The ladder's gate on answers: the twin's against ONNX Runtime's."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from torch import Tensor

from robusteval.errors import ModelError
from robusteval.loaders.onnx.gradients.prepass import Prepared, merge_opsets
from robusteval.loaders.onnx.gradients.probes import LARGE, Probes
from robusteval.loaders.onnx.reading.file import ModelFile
from robusteval.loaders.onnx.reading.inputs import OutputReading
from robusteval.loaders.onnx.reading.reference import Truth
from robusteval.loaders.onnx.reading.session import open_session
from robusteval.loaders.onnx.twin.graph import Twin
from robusteval.loaders.onnx.twin.node import Unsupported
from robusteval.runtime.answers import placed

if TYPE_CHECKING:
    from robusteval.loaders.onnx.gradients.ladder import Climb, TwinRunner

TOLERANCES = {"float32": 1e-4, "float64": 1e-4, "float16": 5e-3, "int8": 1e-1}
AGREEMENT = {"int8": 0.97}


@dataclass(frozen=True)
class Parity:
    """Twin against truth. `gap` is max|difference| / max|truth| over everything asked."""

    gap: float
    agreement: float
    holds: bool
    saturated: bool
    figures: dict[str, float | str]

    @property
    def badness(self) -> float:
        """For choosing the least bad of several failures."""
        return self.gap if math.isfinite(self.gap) else math.inf


def tapped_truths(file: ModelFile, truth: Truth, prepared: Prepared) -> tuple[Truth, ...]:
    """ONNX Runtime with the tensors before what saturates as its output; none where they are not the file's own."""
    if truth.output_reading.answers_at:
        return ()
    model = file.proto()
    if not set(prepared.before) <= {name for node in model.graph.node for name in node.output}:
        return ()  # some came out of an inlined function, or are the input
    merge_opsets(model)
    present = {o.name for o in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in prepared.before if name not in present)
    blob, at = model.SerializeToString(), truth.output_reading.answers_at
    try:
        return tuple(Truth(blob, truth.input_reading, OutputReading(n, "tensor", (), n, at)) for n in prepared.before)
    except ModelError:
        return ()


def compare(
    file: ModelFile,
    truth: Truth,
    tapped: tuple[Truth, ...],
    runner: TwinRunner,
    prepared: Prepared,
    probes: Probes,
    climb: Climb,
) -> Parity:
    """Both on the same inputs, in batches of several sizes, rows alone and together. Made-up inputs besides are no
    gate."""
    tolerance, x, forced = TOLERANCES[climb.precision], probes.x, climb.forced_batch
    want = truth.raw(x, forced)
    scores = runner.head.of_file(want)
    try:
        with torch.no_grad():
            whole, alone = _several_ways(runner, x)
            mine = runner.head.of_twin(whole)
            if mine.shape != scores.shape:
                raise ValueError(f"it gives {tuple(mine.shape)} where the file gives {tuple(scores.shape)}")
            if not prepared.tail:
                gap = _gap(whole, want)
            elif tapped:
                pairs = zip(prepared.before, tapped, strict=True)
                gap = max(_gap(runner_values(runner, name, x), t.raw(x, forced)) for name, t in pairs)
            elif prepared.tail == "Labels":
                gap = 0.0  # labels can be compared as labels only
            else:
                gap = _gap(_without_logarithms(file, truth, runner, climb).raw(x), want)
            far = _made_up_gap(truth, runner, probes, forced)
    except (RuntimeError, ValueError, LookupError, TypeError, Unsupported) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        return Parity(math.inf, 0.0, False, False, {"error": reason})
    agreement = float((mine.argmax(1) == scores.argmax(1)).float().mean())
    saturated = prepared.tail != "" and _saturated(scores, mine)
    clear = agreement if climb.precision == "int8" else _clear_agreement(mine, scores, tolerance)
    own: dict[str, float | str] = {}
    if climb.precision == "int8" and tolerance < gap < math.inf and not prepared.tail:
        own, gap = _unoptimised(file, truth, whole, want, x, climb, gap)
    holds = gap <= tolerance and alone <= tolerance and clear >= AGREEMENT.get(climb.precision, 1.0)
    figures: dict[str, float | str] = {
        "max_relative_gap": gap,
        **own,
        "rows_alone_gap": alone,
        "same_argmax": agreement,
        "tolerance": tolerance,
        "inputs": float(len(x)),
        "asked": "the given images" if probes.real else "made-up inputs",
        "compared": "logits"
        if tapped or not prepared.tail
        else "labels"
        if prepared.tail == "Labels"
        else "probabilities",
    }
    if probes.real and len(probes.made) and not prepared.tail:
        figures["made_up_gap"] = far
    return Parity(gap, agreement, holds, saturated, figures)


def _several_ways(runner: TwinRunner, x: Tensor) -> tuple[Tensor, float]:
    """The twin's answers to x, and how far those to rows alone, by three and by seventeen are from them. Raises
    ValueError."""
    whole = runner.raw(x)
    large = math.prod(x.shape[1:]) >= LARGE
    several = x[:3] if large else torch.cat([x] * (1 + 17 // len(x)))[:17]
    few = x[:4] if large else x[:17]
    parts = torch.cat([runner.raw(few[i : i + 1]) for i in range(len(few))])
    sizes = [runner.raw(several[:n]) for n in (3, len(several))]
    if [len(p) for p in (whole, parts, *sizes)] != [len(x), len(few), min(3, len(several)), len(several)]:
        raise ValueError("the twin's output loses rows of a batch")
    repeated = torch.cat([whole] * (1 + 17 // len(whole)))
    return whole, max(_gap(parts, whole[: len(few)]), *(_gap(p, repeated[: len(p)]) for p in sizes))


def _made_up_gap(truth: Truth, runner: TwinRunner, probes: Probes, forced: int | None) -> float:
    if not len(probes.made):
        return 0.0
    return _gap(runner.head.of_twin(runner.raw(probes.made)), runner.head.of_file(truth.raw(probes.made, forced)))


def _without_logarithms(file: ModelFile, truth: Truth, runner: TwinRunner, climb: Climb) -> TwinRunner:
    """The same twin with its end as the file has it."""
    plain = replace(runner.head, tail="")
    straight = runner.straight
    return replace(climb, soft=False, straight=straight, way=runner.way).runner(
        file, truth.input_reading, truth.output_reading, plain
    )


def _unoptimised(
    file: ModelFile, truth: Truth, got: Tensor, fused: Tensor, x: Tensor, climb: Climb, gap: float
) -> tuple[dict[str, float | str], float]:
    """ONNX Runtime's own fused int8 kernels round otherwise than the file says: its plain ones show what is noise."""
    plain = Truth(file.blob, truth.input_reading, truth.output_reading, optimise=False).raw(x, climb.forced_batch)
    figures: dict[str, float | str] = {"gap_to_fused_kernels": gap, "runtime_own_gap": _gap(plain, fused)}
    return figures, _gap(got, plain)


def runner_values(runner: TwinRunner, name: str, x: Tensor) -> Tensor:
    """The twin's intermediate tensor `name` for x, taken the way that the runner takes batches."""
    twin = runner.module
    feed = runner.input_reading.space.to_file(x.to(twin.anchor.dtype), runner.straight)
    at = runner.input_reading.batch_at
    if runner.way == "direct":
        return twin.values(feed.movedim(0, at or 0))[name]
    size = runner.input_reading.batch or 1
    rows = []
    for i in range(0, len(feed), size):
        part = feed[i : i + size]
        part = torch.cat([part, part[-1:].expand(size - len(part), *part.shape[1:])])
        out = twin.values(part[0] if at is None else part.movedim(0, at))[name]
        out = out.reshape(1, -1) if size == 1 else out
        rows.append(out[: len(feed) - i])
    return torch.cat(rows)


def _gap(got: Tensor, want: Tensor) -> float:
    if not want.numel() and not got.numel():
        return 0.0
    if got.numel() != want.numel():
        return math.inf
    difference = (got.double().reshape(-1) - want.double().reshape(-1)).abs().max()
    gap = float(difference) / max(1e-12, float(want.double().abs().max()))
    return gap if math.isfinite(gap) else math.inf


def _saturated(truth: Tensor, mine: Tensor) -> bool:
    """Whether the file's probabilities are so near 0 and 1 that the other classes' are lost."""
    top = mine.topk(2, 1).values
    gap = top[:, 0] - top[:, 1]
    return bool((gap > 15).double().mean() > 0.1) or not bool(torch.isfinite(truth).all())


def _clear_agreement(mine: Tensor, truth: Tensor, tolerance: float) -> float:
    """Share of rows with the same argmax, ties within the tolerance apart."""
    top = truth.topk(2, 1).values
    tie = (top[:, 0] - top[:, 1]) <= tolerance * truth.abs().max()
    return float(((mine.argmax(1) == truth.argmax(1)) | tie).float().mean())


def first_divergence(file: ModelFile, truth: Truth, prepared: Prepared, x: Tensor) -> str:
    """Words naming the first node whose output differs from plain ONNX Runtime's; "" if none is found."""
    model = file.proto()
    merge_opsets(model)
    own = {name for node in model.graph.node for name in node.output if name}
    order = [(node, name) for node in prepared.graph.node for name in node.output if name in own]
    present = {o.name for o in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for _, n in order if n not in present)
    size = truth.input_reading.batch or 1
    feed = placed(truth.feed(x[:1].expand(size, *x.shape[1:])), truth.input_reading.batch_at)
    try:
        session = open_session(model.SerializeToString(), optimise=False)
        names = [n for _, n in order]
        answers = dict(
            zip(names, session.run(names, {truth.input_reading.name: np.ascontiguousarray(feed)}), strict=True)
        )
        twin = Twin(prepared.graph, prepared.opsets, False, prepared.types, folds=False)  # every node has its value
        twin = twin.double() if feed.dtype == np.float64 else twin
        with torch.no_grad():
            mine = twin.values(torch.from_numpy(np.asarray(feed, dtype=np.float32)).to(twin.anchor.dtype))
    except (ModelError, Unsupported, RuntimeError, ValueError) as error:
        return f" (the nodes could not be compared one by one: {type(error).__name__})"
    for node, name in order:
        want = answers[name]
        if name in mine and isinstance(want, np.ndarray) and want.dtype.kind in "fiu" and want.size:
            gap = _gap(mine[name].double(), torch.from_numpy(want.astype(np.float64)))
            if gap > 1e-3:
                return f", first at node {node.name or name!r} ({node.op_type})"
    return ""
