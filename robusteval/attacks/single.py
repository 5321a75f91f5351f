"""One attack on some samples: posed, judged and measured by the same code as a cell of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from robusteval.contracts.classifier import Classifier, LoadOptions
from robusteval.contracts.params import params_of
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Attack, Defended
from robusteval.contracts.samples import Samples
from robusteval.engine.batched import batched
from robusteval.engine.chunks import chunk_of
from robusteval.engine.data.find import prepare
from robusteval.engine.data.pixels import ROUNDING
from robusteval.engine.devices import exact, home, resolve
from robusteval.engine.plan.plan import Planned, why_not
from robusteval.engine.run.prepare import arrays
from robusteval.engine.search.distance_search import Best, Propose
from robusteval.engine.search.judge import Threat, answers, is_win, judge, on_grid
from robusteval.engine.source import Window
from robusteval.engine.suite.declared import DEFAULT_EPS, Suite
from robusteval.engine.suite.goals import safe_mask
from robusteval.engine.units.chunk import Chunk, Context
from robusteval.errors import DataError, SuiteError
from robusteval.given import opened, speaking_python
from robusteval.ops import Norm, norm_named
from robusteval.record.run import Cell
from robusteval.record.units import norm_width

if TYPE_CHECKING:
    from torch import nn

COMMON = ("norm", "eps", "target", "bounds", "options", "seed", "device")  # of every call, beside the attack's own
_SEARCH = 6  # halvings of the budget search for a fixed attack without eps, as a suite has them


@dataclass(frozen=True, eq=False)
class Adversarials:
    """What an attack found, as the judge has it. Arrays are of the kind of x that was given, on its device.

    x: float32 [B, *shape] in the model's own layout, the clean sample where nothing was found. success: bool [B], the
    model really answers x otherwise (or with the target), inside the box and within eps. distance: float64 [B] in the
    norm: 0 where the clean sample is a success already, infinite where none was found. prediction: int64 [B], what the
    model answers to x. forwards, backwards: int64 [B], passes that each sample took. rejected: candidates that did not
    count, by reason.
    """

    x: Any
    success: Any
    distance: Any
    prediction: Any
    forwards: Any
    backwards: Any
    norm: str
    attack: str
    rejected: dict[str, int]

    def __len__(self) -> int:
        return len(self.success)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """The adversarials as a numpy array."""
        x = self.x.detach().cpu().numpy() if isinstance(self.x, Tensor) else self.x
        return np.array(x, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        found = np.asarray(self.distance.cpu() if isinstance(self.distance, Tensor) else self.distance)
        share, half = float(np.isfinite(found).mean()) if len(found) else 0.0, np.median(found) if len(found) else 0.0
        return f"<{self.attack} in {self.norm}: {share:.1%} of {len(found)} lost, median distance {half:.3g}>"


class SingleAttack:
    """An attack with its parameters, to be called on a model and samples."""

    def __init__(self, attack: Attack) -> None:
        self.attack = attack

    def __repr__(self) -> str:
        stated = ", ".join(f"{name}={value!r}" for name, value in params_of(self.attack).items())
        return f"{type(self).__name__}({stated})"

    def __call__(
        self,
        model: str | Path | nn.Module | Classifier,
        x: Any,
        y: Any,
        *,
        norm: str | None = None,
        eps: Any = None,
        target: Any = None,
        bounds: tuple[float, float] = (0.0, 1.0),
        options: LoadOptions | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> Adversarials:
        """Attacks the samples x with labels y, and judges what comes of it.

        model: a torch module (a copy in evaluation mode is attacked), a model file, or a Classifier of
        `robusteval.api.load_model`, which spares opening it at each call. x: arrays or tensors [B, *shape] with values
        in `bounds` (uint8 means 0 to 255, and is put there); y: [B]. norm: "linf", "l2", "l1" or "l0"; may be left out
        where the attack has one only. eps: the budget, a number or [B], in units of the bounds; without it the smallest
        distance is looked for, by a search over budgets where the attack needs one. target: a class, or one for each
        sample; without it any wrong answer is a success. options: how a file is read, in the place of bounds. device:
        "cpu", "cuda"; by default where x or the module is. The same seed gives the same answer, and the one that a run
        with that seed gives to the same samples.

        Raises RobustEvalError with one clear sentence; what the attack itself raises comes out as it is.
        """
        where = _device(device, x, model)
        reading = options or LoadOptions(bounds=bounds, device=str(where))
        with speaking_python(), exact(where):
            classifier, _ = opened(model, reading, (x, y), {}, None)
            chosen = self._norm(norm)
            if reason := why_not(self.attack, chosen, classifier.info):
                raise SuiteError(
                    f"{self.attack.info.name} cannot attack this model in {chosen}: {reason}.", "Choose another attack."
                )
            samples = _samples(classifier, x, y).to(where)
            found = _Run(self.attack, batched(classifier), samples, chosen, eps, target, seed).parts()
            return _together(found, like=x, norm=chosen, attack=self.attack.info.name)

    def _norm(self, norm: str | None) -> Norm:
        info = self.attack.info
        if norm is None and len(info.norms) > 1:
            listed = " or ".join(f"norm={name!r}" for name in info.norms)
            raise SuiteError(f"{info.name} attacks in several norms.", f"Say which: {listed}.")
        if norm is not None and norm not in info.norms:
            raise SuiteError(f"{info.name} has no {norm!r} form.", f"It attacks in {', '.join(info.norms)}.")
        return norm_named(norm or info.norms[0])


def _device(device: str | None, x: Any, model: Any) -> torch.device:
    """What was said, else where the samples are, else where the module is."""
    if device is not None:
        found = resolve(device)
        if home(found) != found:
            raise SuiteError(
                f"A single attack cannot compute on {found}, which has no float64.", "Leave the device out."
            )
        return found
    if isinstance(x, Tensor) and x.device.type != "cpu":
        return x.device
    parameter = next(model.parameters(), None) if isinstance(model, torch.nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device


def _samples(model: Classifier, x: Any, y: Any) -> Samples:
    """x and y as the model receives them. Raises DataError."""
    given = arrays((x, y))
    low, high = model.info.bounds
    if given.images.dtype.kind == "f" and given.images.size:
        pixels = np.asarray(given.images)
        least, most, room = float(pixels.min()), float(pixels.max()), ROUNDING * (high - low)
        if least < low - room or most > high + room:
            raise DataError(
                f"x has values from {least:.4g} to {most:.4g}, beyond the bounds {low:g} to {high:g}.",
                "Give bounds=(low, high) of the images; normalisation belongs into the model, or into options.",
            )
    ready, _ = prepare(given, model.info)
    grid = model.info.grid
    return Samples(on_grid(ready.x, grid), ready.y, ready.bounds, grid=grid)


@dataclass(frozen=True)
class _Part:
    """What a chunk of the samples gave."""

    x: Tensor
    success: Tensor
    distance: Tensor
    prediction: Tensor
    forwards: Tensor
    backwards: Tensor
    rejected: dict[str, int]


@dataclass(frozen=True)
class _Run:
    """An attack on samples, in the chunks that a run would cut them into."""

    attack: Attack
    model: Classifier
    samples: Samples
    norm: Norm
    eps: Any
    target: Any
    seed: int

    def parts(self) -> list[_Part]:
        """Chunk by chunk."""
        context, planned = self._context(), self._planned()
        budget, goals = self._each(self.eps, torch.float64), self._each(self.target, torch.int64)
        if goals is not None and not bool(((goals >= 0) & (goals < self.model.info.classes)).all()):
            raise SuiteError(
                f"A target is no class of the model: these are 0 to {self.model.info.classes - 1}.", "Give one of them."
            )
        found = []
        for start in range(0, len(self.samples), planned.chunk):
            rows = slice(start, min(start + planned.chunk, len(self.samples)))
            chunk = Chunk(context, planned, rows)
            some = None if goals is None else goals[rows]
            safe = safe_mask(chunk.y, some, chunk.classes, chunk.pipeline.classes)
            found.append(self._part(chunk, chunk.threat(safe), None if budget is None else budget[rows]))
        return found

    def _context(self) -> Context:
        everything = torch.ones(len(self.samples), dtype=torch.bool, device=self.samples.x.device)
        pipelines = {"none": Pipeline(Defended(self.model))}
        return Context(pipelines, Window(self.samples, 0, len(self.samples)), {"none": everything}, self.seed)

    def _planned(self) -> Planned:
        """As the cell of a suite that names the attack without more, so that it draws the same numbers."""
        info, shape = self.attack.info, self.model.info.input_shape
        cell = Cell(
            id=f"none/{info.name}/{self.norm}",
            attack=info.name,
            plugin=info.name,
            version=info.version,
            params=params_of(self.attack),
            family=info.budget,
            needs=info.needs,
            defense="none",
            knowledge="none",
            norm=self.norm,
            threat="curve",
        )
        suite = Suite(name="single", version="1", norms=(self.norm,), eps=dict(DEFAULT_EPS))
        largest = suite.largest(self.norm, shape) * norm_width(self.norm, self.model.info.bounds)
        return Planned(cell, self.attack, largest, _SEARCH, 1, (), chunk=chunk_of(shape))

    def _each(self, value: Any, dtype: torch.dtype) -> Tensor | None:
        """One value for each sample, [B]. Raises SuiteError for another number of them."""
        if value is None:
            return None
        given = torch.as_tensor(value, dtype=dtype, device=self.samples.x.device)
        if given.dim() > 1 or given.numel() not in (1, len(self.samples)):
            raise SuiteError(
                f"There are {given.numel()} budgets or targets for {len(self.samples)} samples.",
                "Give one, or one each.",
            )
        return given.reshape(-1).expand(len(self.samples))

    def _part(self, chunk: Chunk, threat: Threat, budget: Tensor | None) -> _Part:
        clean, _ = answers(chunk.pipeline, chunk.x, chunk.rng)
        lost = is_win(clean, threat.safe)
        live = (~lost).nonzero().squeeze(1)
        best = self._found(chunk, live, threat, chunk.proposer(live, threat), budget)
        x, prediction = chunk.x.clone(), clean.clone()
        distance = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        within = torch.isfinite(best.distance)
        if budget is not None:
            within &= best.distance <= budget[live] * (1 + _ROOM)
        distance[live] = torch.where(within, best.distance, torch.inf)
        x[live[within]], prediction[live[within]] = best.x[within], best.answer[within]
        meter = chunk.meter
        return _Part(
            x, torch.isfinite(distance), distance, prediction, meter.forwards, meter.backwards, dict(best.rejected)
        )

    def _found(self, chunk: Chunk, live: Tensor, threat: Threat, propose: Propose, budget: Tensor | None) -> Best:
        """The nearest wins of the samples that were not lost from the start; of a fixed attack at eps, those within."""
        if budget is None or self.attack.info.budget == "minimal" or len(live) == 0:
            return chunk.search(live, threat, propose)
        best, rows = Best.none(chunk.x[live]), torch.arange(len(live), device=live.device)
        candidates = propose(rows, budget[live].to(chunk.x.dtype))
        best.take(rows, judge(chunk.pipeline, chunk.x[live], candidates, threat[live], budget[live], chunk.rng))
        return best


_ROOM = 1e-6  # relative, for the rounding of eps itself, as the judge leaves it


def _together(parts: list[_Part], like: Any, norm: str, attack: str) -> Adversarials:
    """All chunks, as arrays of the kind that was given."""
    give: Callable[[Tensor], Any] = (lambda t: t.to(like.device)) if isinstance(like, Tensor) else _as_numpy
    columns = {
        item.name: give(torch.cat([getattr(part, item.name) for part in parts]))
        for item in fields(_Part)
        if item.name != "rejected"
    }
    rejected: dict[str, int] = {}
    for part in parts:
        for reason, count in part.rejected.items():
            rejected[reason] = rejected.get(reason, 0) + count
    return Adversarials(**columns, norm=norm, attack=attack, rejected=rejected)


def _as_numpy(column: Tensor) -> Any:
    return column.cpu().numpy()
