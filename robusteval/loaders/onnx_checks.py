"""The two gates of the ladder: the twin's answers against ONNX Runtime's, and its gradients against chance."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ModelError
from ..runtime.answers import placed
from .onnx_file import ModelFile
from .onnx_io import InputReading, OutputReading
from .onnx_prepass import Prepared, merge_opsets
from .onnx_session import open_session
from .onnx_truth import Truth
from .onnx_twin.graph import Twin
from .onnx_twin.node import Unsupported

if TYPE_CHECKING:
    from .onnx_ladder import Climb, TwinRunner

TOLERANCES = {"float32": 1e-4, "float64": 1e-4, "float16": 5e-3, "int8": 1e-1}
AGREEMENT = {"int8": 0.97}
LARGE = 3 * 96 * 96  # inputs from this size on are checked with fewer rows


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


@dataclass(frozen=True)
class Gate:
    """Verdict on the gradients."""

    passes: bool
    drop: float  # of ONNX Runtime's margin, by one sign step
    figures: dict[str, float | str] = field(default_factory=dict)


def probe_inputs(given: InputReading, samples: Tensor | None) -> Tensor:
    """Inputs for the checks: real ones if there are any, smooth shapes, noise, all dark, all bright. float32."""
    shape, (low, high) = given.space.input_shape, given.space.bounds
    rng = np.random.default_rng(20240229)
    count = 6 if math.prod(shape) < LARGE else 2
    noise = torch.from_numpy(rng.random((count, *shape), dtype=np.float32))
    if len(shape) == 3:
        coarse = torch.from_numpy(rng.random((count, shape[0], 4, 4), dtype=np.float32))
        smooth = F.interpolate(coarse, size=shape[1:], mode="bilinear", align_corners=False)
    else:
        smooth = torch.from_numpy(rng.random((count, *shape), dtype=np.float32)) ** 3
    plain = torch.stack([torch.zeros(shape), torch.ones(shape)])
    made = low + (high - low) * torch.cat([smooth, noise, plain])
    if samples is None or not len(samples):
        return made
    return torch.cat([samples[: 2 * count].float().cpu(), made])


def tapped_truth(file: ModelFile, truth: Truth, prepared: Prepared) -> Truth | None:
    """ONNX Runtime with the tensor before the final softmax as its output, or None where there is no such tensor."""
    if not prepared.before or truth.taken.answers_at:
        return None
    model = file.proto()
    if prepared.before not in {name for node in model.graph.node for name in node.output}:
        return None  # it came out of an inlined function
    merge_opsets(model)
    model.graph.output.append(onnx.ValueInfoProto(name=prepared.before))
    tapped = OutputReading(prepared.before, "tensor", (), prepared.before, truth.taken.answers_at)
    try:
        return Truth(model.SerializeToString(), truth.given, tapped)
    except ModelError:
        return None


def compare(
    file: ModelFile, truth: Truth, tapped: Truth | None, runner: TwinRunner, prepared: Prepared, x: Tensor, climb: Climb
) -> Parity:
    """Both on the same inputs, in batches of several sizes, rows alone and together."""
    tolerance = TOLERANCES[climb.precision]
    want = truth.raw(x, climb.forced_batch)
    scores = runner.head.of_file(want)
    logits = want if tapped is None else tapped.raw(x, climb.forced_batch)
    with torch.no_grad():
        try:
            whole = runner.raw(x)
            many = torch.cat([x] * (1 + 17 // len(x)))[:17] if math.prod(x.shape[1:]) < LARGE else x[:3]
            parts = torch.cat([runner.raw(x[i : i + 1]) for i in range(len(x))])
            sizes = [runner.raw(many[:n]) for n in (3, len(many))]
        except (RuntimeError, ValueError, IndexError, TypeError, Unsupported) as error:
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            return Parity(math.inf, 0.0, False, False, {"error": reason})
        lengths = [len(x), len(x), min(3, len(many)), len(many)]
        if [len(p) for p in (whole, parts, *sizes)] != lengths:
            return Parity(math.inf, 0.0, False, False, {"error": "the twin's output loses rows of a batch"})
        got = whole if tapped is None else runner_values(runner, prepared.before, x)
        alone = _gap(parts, whole)
        alone = max(alone, *(_gap(p, torch.cat([whole] * 9)[: len(p)]) for p in sizes))
        mine = runner.head.of_twin(whole)
    plain = tapped is None and prepared.before == ""
    gap = _gap(got, logits) if plain or tapped is not None else _gap(mine.exp(), scores.exp())
    agreement = float((mine.argmax(1) == scores.argmax(1)).float().mean())
    saturated = runner.head.output == "probabilities" and _saturated(scores, mine)
    clear = agreement if climb.precision == "int8" else _clear_agreement(mine, scores, tolerance)
    own: dict[str, float | str] = {}
    if climb.precision == "int8" and tolerance < gap < math.inf and tapped is None:
        own, gap = _unoptimised(file, truth, got, logits, x, climb, gap)
    holds = gap <= tolerance and alone <= tolerance and clear >= AGREEMENT.get(climb.precision, 1.0)
    figures: dict[str, float | str] = {
        "max_relative_gap": gap,
        **own,
        "rows_alone_gap": alone,
        "same_argmax": agreement,
        "tolerance": tolerance,
        "inputs": float(len(x)),
        "compared": "logits" if plain or tapped is not None else "probabilities",
    }
    return Parity(gap, agreement, holds, saturated, figures)


def _unoptimised(
    file: ModelFile, truth: Truth, got: Tensor, fused: Tensor, x: Tensor, climb: Climb, gap: float
) -> tuple[dict[str, float | str], float]:
    """ONNX Runtime's own fused int8 kernels round otherwise than the file says: its plain ones show what is noise."""
    plain = Truth(file.blob, truth.given, truth.taken, optimise=False).raw(x, climb.forced_batch)
    figures: dict[str, float | str] = {"gap_to_fused_kernels": gap, "runtime_own_gap": _gap(plain, fused)}
    return figures, _gap(got, plain)


def runner_values(runner: TwinRunner, name: str, x: Tensor) -> Tensor:
    """The twin's intermediate tensor `name` for x, taken the way that the runner takes batches."""
    twin = runner.module
    feed = runner.given.space.to_file(x.to(twin.anchor.dtype), runner.straight)
    at = runner.given.batch_at
    if runner.way == "direct":
        return twin.values(feed.movedim(0, at or 0))[name]
    size = runner.given.batch or 1
    rows = []
    for i in range(0, len(feed), size):
        part = feed[i : i + size]
        part = torch.cat([part, part[-1:].expand(size - len(part), *part.shape[1:])])
        out = twin.values(part[0] if at is None else part.movedim(0, at))[name]
        out = out.reshape(1, -1) if size == 1 else out
        rows.append(out[: len(feed) - i])
    return torch.cat(rows)


def _gap(got: Tensor, want: Tensor) -> float:
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


def gradient_gate(truth: Truth, tapped: Truth | None, runner: TwinRunner, x: Tensor, climb: Climb) -> Gate:
    """One sign step along the twin's gradient must lower ONNX Runtime's margin, and more than random signs do."""
    x = x[:-2]  # the all-dark and all-bright inputs lie in corners of the box, where steps are cut off
    given = runner.given
    low, high = given.space.bounds
    leaf = x.clone().requires_grad_(True)
    scores = runner.scores(leaf)
    if not scores.requires_grad:
        return Gate(False, 0.0, {"zero_gradient_rows": 1.0})
    classes = scores.detach().topk(2, 1).indices
    margin = _margin(scores, classes)
    grad = torch.autograd.grad(margin.sum(), leaf, allow_unused=True)[0]
    grad = torch.zeros_like(x) if grad is None else grad
    flat = grad.flatten(1)
    dead = (~torch.isfinite(flat).all(1)) | (flat.abs().amax(1) == 0)
    share = float(dead.float().mean())
    grad = torch.nan_to_num(grad)

    def margins(inputs: Tensor) -> Tensor:
        raw = (tapped or truth).raw(inputs, climb.forced_batch)
        raw = raw.flatten(1) if raw.dim() > 1 else raw.reshape(-1, 1)
        if raw.shape[1] == 1:
            raw = torch.cat([-raw, raw] if tapped is not None else [1 - raw, raw], 1)
        elif tapped is None:
            raw = runner.head.of_file(raw)
        return _margin(raw, classes)

    rng = np.random.default_rng(7)
    before = margins(x)
    better, drop, chance = False, 0.0, 0.0
    for share_of_range in (8 / 255, 32 / 255):
        step = share_of_range * (high - low)
        drop = float((before - margins((x - step * grad.sign()).clamp(low, high))).mean())
        signs = [torch.from_numpy(rng.choice(np.array([-1, 1], np.float32), size=tuple(x.shape))) for _ in range(3)]
        chance = max(float((before - margins((x + step * s).clamp(low, high))).mean()) for s in signs)
        if drop > max(0.0, chance):
            better = True
            break
    figures: dict[str, float | str] = {
        "zero_gradient_rows": share,
        "sign_step_drop": drop,
        "random_step_drop": chance,
    }
    return Gate(share <= 0.5 and better, drop, figures)


def _margin(scores: Tensor, classes: Tensor) -> Tensor:
    pair = scores.gather(1, classes)
    return pair[:, 0] - pair[:, 1]


def first_divergence(file: ModelFile, truth: Truth, prepared: Prepared, x: Tensor) -> str:
    """Words naming the first node whose output differs from plain ONNX Runtime's; "" if none is found."""
    model = file.proto()
    merge_opsets(model)
    own = {name for node in model.graph.node for name in node.output if name}
    order = [(node, name) for node in prepared.graph.node for name in node.output if name in own]
    present = {o.name for o in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for _, n in order if n not in present)
    size = truth.given.batch or 1
    feed = placed(truth.feed(x[:1].expand(size, *x.shape[1:])), truth.given.batch_at)
    try:
        session = open_session(model.SerializeToString(), optimise=False)
        names = [n for _, n in order]
        answers = dict(zip(names, session.run(names, {truth.given.name: np.ascontiguousarray(feed)}), strict=True))
        twin = Twin(prepared.graph, prepared.opsets, False, prepared.types)
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
