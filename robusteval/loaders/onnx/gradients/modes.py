"""Which of a twin's gradients serve: exact, straight-through or a surrogate's, by what they do to ONNX Runtime's
margin."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robusteval.loaders.gradient_help import ALARM, LEAVE, NO_HELP, Help, gradient_help
from robusteval.loaders.onnx.gradients.ladder import Climb, TwinRunner
from robusteval.loaders.onnx.gradients.parity import Parity, compare, first_divergence, tapped_truths
from robusteval.loaders.onnx.gradients.prepass import Prepared, freed_batch
from robusteval.loaders.onnx.gradients.probes import Probes
from robusteval.loaders.onnx.reading.file import ModelFile
from robusteval.loaders.onnx.reading.reference import Truth
from robusteval.loaders.onnx.twin.graph import Twin
from robusteval.loaders.onnx.twin.node import WIDTHS, Unsupported
from robusteval.loaders.output_head import Head

CLEARLY = 1.1  # a less faithful gradient must lower the margin by so many times as much to be preferred
WIDE = {  # operators whose ramps may be of several widths
    "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Sign", "Mod", "ThresholdedRelu", "Shrink",
    "Cast to truth values",
}  # fmt: skip
RAMPS = {
    "unit": "",
    "scaled": ", with ramps as wide as the values about a threshold",
    "wide": ", with ramps that have no end",
}


@dataclass(frozen=True)
class Trial:
    """A twin that runs, how its answers compare, and what its gradient is worth."""

    runner: TwinRunner
    width: str  # "": as the file says
    freed: bool
    parity: Parity
    help: Help

    @property
    def kind(self) -> int:
        """0 exact, 1 straight-through, 2 surrogate: whose gradient it is."""
        if not self.parity.holds or self.help.dead > LEAVE:
            return 2
        return 1 if self.runner.straight else 0


@dataclass(frozen=True)
class Bench:
    """What every trial of a file shares."""

    file: ModelFile
    truth: Truth
    tapped: tuple[Truth, ...]
    probes: Probes
    prepared: Prepared
    head: Head
    start: Climb


def settle(file: ModelFile, truth: Truth, probes: Probes, prepared: Prepared, head: Head, start: Climb) -> Climb:
    """The most faithful gradients among those that serve about as well as the best; rung E with the reason where none
    does."""
    bench = Bench(file, truth, tapped_truths(file, truth, prepared), probes, prepared, head, start)
    failures: list[Parity] = []
    first = _first(bench, failures)
    if first is None:
        return replace(start, rung="E", reason=f"The twin cannot run the graph: {failures[0].figures['error']}.")
    trials = _trials(bench, first)
    useful = [t for t in trials if t.help.helps]
    if not useful:
        return _none(bench, trials)
    best = max(t.help.drop for t in useful)
    chosen = min((t for t in useful if CLEARLY * t.help.drop >= best), key=lambda t: (t.kind, -t.help.drop))
    return _landed(bench, chosen)


def _trials(bench: Bench, first: Trial) -> list[Trial]:
    """The gradient as it is; and straight through what is flat, where there is such a thing or the gradient serves
    badly."""
    flat = set(first.runner.module.steps_on_path())
    rounded = bench.truth.input_reading.space.whole is not None
    if first.kind == 0 and first.help.helps and first.help.dead <= ALARM and not flat and not rounded:
        return [first]
    trials = [first]
    for width in WIDTHS:
        good = any(t.help.helps and t.help.dead <= ALARM for t in trials)
        if width == "unit" or not good or flat & WIDE:
            trial = _again(bench, first, width)
            trials += [trial] if trial is not None else []
    if sum(t.help.helps for t in trials) < 2:
        return trials
    return [_measured(bench, t, quick=False) if t.help.helps else t for t in trials]  # all asked alike, to be compared


def _first(bench: Bench, failures: list[Parity]) -> Trial | None:
    """The twin as the file says, in the cheapest way to take a batch whose answers hold; else the least bad one."""
    fallback: Trial | None = None
    for freed, way in _ways(bench.truth, bench.start):
        trial = _built(bench, "", freed, way)
        if trial is None:
            continue
        if trial.runner.module.folded and not trial.parity.holds:
            trial = _built(bench, "", freed, way, folds=False) or trial
        if trial.parity.holds:
            return _measured(bench, trial, quick=True)
        if "error" in trial.parity.figures:
            failures.append(trial.parity)
        elif fallback is None or trial.parity.badness < fallback.parity.badness:
            fallback = trial
    return None if fallback is None else _measured(bench, fallback, quick=True)


def _again(bench: Bench, first: Trial, width: str) -> Trial | None:
    """The same twin with what is flat passed straight through."""
    try:
        trial = _built(bench, width, first.freed, first.runner.way, first.runner.module.folds)
    except Unsupported:
        return None
    if trial is None or "error" in trial.parity.figures:
        return None
    return _measured(bench, trial, quick=True)


def _built(bench: Bench, width: str, freed: bool, way: str, folds: bool = True) -> Trial | None:
    graph = freed_batch(bench.prepared) if freed else bench.prepared
    if graph is None:
        return None
    twin = Twin(graph.graph, graph.opsets, width or False, graph.types, graph.before, folds)
    runner = TwinRunner(
        twin, bench.truth.input_reading, bench.head, way, width != "", bench.truth.output_reading.answers_at
    )
    parity = compare(bench.file, bench.truth, bench.tapped, runner, graph, bench.probes, bench.start)
    return Trial(runner, width, freed, parity, NO_HELP)


def _ways(truth: Truth, start: Climb) -> tuple[tuple[bool, str], ...]:
    """Ways to take a batch, the cheapest first; with reshapes freed from an exported batch of 1, or as they are."""
    if truth.input_reading.unbatched or start.forced_batch == 1:
        return (False, "vmap"), (False, "loop")
    if truth.input_reading.batch == 1:
        return (True, "direct"), (False, "direct"), (False, "vmap"), (False, "loop")
    return ((False, "direct"), (False, "loop")) if truth.input_reading.batch else ((False, "direct"),)


def _measured(bench: Bench, trial: Trial, quick: bool) -> Trial:
    """Steps along the twin's margin, judged on ONNX Runtime's: before a single last softmax, where it can be asked
    there."""
    x, runner, forced = bench.probes.walk, trial.runner, bench.start.forced_batch
    top = _scores(bench, None, x, forced).argmax(1)
    shown = _before_the_end(bench, x, top)

    def margin(z: Tensor) -> Tensor:
        return _margin(_scores(bench, shown, z, forced), top)

    def gradient(z: Tensor) -> Tensor:
        leaf = z.clone().requires_grad_(True)
        with torch.enable_grad():
            scores = runner.scores(leaf)
            if not scores.requires_grad:
                return torch.zeros_like(z)
            grad = torch.autograd.grad(_margin(scores, top).sum(), leaf, allow_unused=True)[0]
        return torch.zeros_like(z) if grad is None else grad

    try:
        return replace(trial, help=gradient_help(margin, gradient, x, runner.input_reading.space.bounds, quick))
    except (RuntimeError, ValueError, TypeError, IndexError, Unsupported):
        return replace(trial, help=NO_HELP)  # it has no backward pass


def _before_the_end(bench: Bench, x: Tensor, top: Tensor) -> Truth | None:
    """ONNX Runtime before what saturates, where one tensor there holds the classes' scores: there margins are not
    flat."""
    if len(bench.tapped) != 1:
        return None
    scores = _scores(bench, bench.tapped[0], x, bench.start.forced_batch)
    same = scores.shape == (len(x), bench.head.classes) and bool((scores.argmax(1) == top).all())
    return bench.tapped[0] if same else None


def _scores(bench: Bench, shown: Truth | None, x: Tensor, forced: int | None) -> Tensor:
    if shown is None:
        return bench.head.of_file(bench.truth.raw(x, forced))
    raw = shown.raw(x, forced)
    raw = raw.flatten(1) if raw.dim() > 1 else raw.reshape(-1, 1)
    return torch.cat([-raw, raw], 1) if raw.shape[1] == 1 else raw


def _margin(scores: Tensor, top: Tensor) -> Tensor:
    """[B, K], [B] -> [B]: the class's score minus the best other one's."""
    own = scores.gather(1, top[:, None]).squeeze(1)
    return own - scores.scatter(1, top[:, None], -torch.inf).amax(1)


def _none(bench: Bench, trials: list[Trial]) -> Climb:
    first = trials[0]
    best = max(trials, key=lambda t: t.help.errors)
    reason = f"No gradient helps: {best.help.words()}."
    if best.help.dead == 1.0:
        reason = "No gradient helps: it is zero or not finite on every input that was asked."
    if not first.parity.holds:
        reason = f"{_apart(bench, first)}. {reason}"
    return replace(bench.start, rung="E", reason=reason, parity={**first.parity.figures, **best.help.figures()})


def _apart(bench: Bench, trial: Trial) -> str:
    where = first_divergence(bench.file, bench.truth, bench.prepared, bench.probes.x)
    parity = trial.parity
    return (
        f"The twin's answers differ from ONNX Runtime's by {parity.gap:.2g} of their size, and "
        f"{1 - parity.agreement:.1%} of its labels{where}"
    )


def _landed(bench: Bench, trial: Trial) -> Climb:
    runner, notes = trial.runner, list(bench.start.notes)
    rung, reasons = "A", []
    if runner.way != "direct":
        rung = "D"
        reasons.append(f"The batch is fixed to {runner.input_reading.batch or 1}: the twin takes rows by {runner.way}.")
    if bench.prepared.tail and (trial.parity.saturated or bench.prepared.tail == "Labels"):
        rung = "C"
        reasons = [f"The file's scores are flat where they saturate: the twin takes them {bench.prepared.words}."]
    if runner.straight:
        rung = "B"
        ops = list(runner.module.steps_on_path()) + (
            ["rounding of the input"] if runner.input_reading.space.whole else []
        )
        ops = ops or ["what saturates"]
        reasons = [
            (
                "The twin passes gradients straight through what is flat almost everywhere (BPDA): "
                f"{', '.join(ops)}{RAMPS[trial.width]}."
            )
        ]
    if trial.kind == 2:
        rung = "S"
        if trial.parity.holds:
            what = f"The twin's gradient is zero or not finite on {trial.help.dead:.0%} of the inputs that were asked"
        else:
            what = _apart(bench, trial)
        reasons = [f"{what}; it is used as a surrogate, as {trial.help.words()}.", *reasons]
    elif trial.help.dead > ALARM:
        notes.append(f"The gradient is zero or not finite on {trial.help.dead:.0%} of the inputs that were asked.")
    gap = trial.parity.figures.get("made_up_gap", 0.0)
    if isinstance(gap, float) and gap > float(trial.parity.figures["tolerance"]):
        notes.append(
            f"On made-up inputs the twin's answers differ by {gap:.2g} of their size; on the given images they do not."
        )
    return replace(
        bench.start,
        rung=rung,
        reason=" ".join(reasons),
        straight=runner.straight,
        width=trial.width or "unit",
        way=runner.way,
        freed=trial.freed,
        folds=runner.module.folds,
        parity={**trial.parity.figures, **trial.help.figures()},
        notes=tuple(notes),
    )
