"""Fitting defences to the model, and what each pipeline answers on the clean samples."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robusteval.contracts.classifier import Classifier
from robusteval.contracts.guard import lending
from robusteval.contracts.params import make, params_of
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.search.judge import answers
from robusteval.engine.seeding import generator
from robusteval.engine.source import Source, blocks
from robusteval.engine.state import guest
from robusteval.engine.suite.suite import DefenseSpec, Suite
from robusteval.errors import RobustEvalError
from robusteval.foreign import foreign, words
from robusteval.record import run
from robusteval.text import as_sentence

_BATCH = 256
_AGAIN = "again"  # a column that goes to no row
_OTHER, _OTHER_BATCH = 128, 7  # samples asked a second time in batches of another size, in reverse


@dataclass
class Fitted:
    """All pipelines of a run: the working ones by defence, their rows for the document, and the seconds that fitting
    took."""

    by_defense: dict[str, Pipeline] = field(default_factory=dict)
    rows: list[run.Pipeline] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def fit_all(
    suite: Suite, catalogue: Catalogue, model: Classifier, samples: Source, fit: Source | None, seed: int
) -> Fitted:
    """The bare model and every defence of the suite. A defence that cannot be fitted becomes a failed row."""
    fitted = Fitted()
    row = run.Pipeline("none", "", "", "model", {}, "done")
    fitted.rows.append(row)
    asked = [_Clean(Pipeline(Defended(model)), row, seed, len(samples))]
    for spec in suite.defenses:
        started = time.perf_counter()
        with guest(f"the fitting of the defence {spec.name}", suite.cell_timeout):
            row, pipeline = _fit(spec, catalogue, model, samples, fit, seed)
        fitted.rows.append(row)
        fitted.seconds[spec.name] = time.perf_counter() - started
        if pipeline is not None:
            asked.append(_Clean(pipeline, row, seed, len(samples)))
    _ask_all(asked, samples)
    for clean in asked:
        if not clean.failed:
            clean.row.status = "done"
            fitted.by_defense[clean.row.defense] = clean.pipeline
        if clean.row.defense in fitted.seconds:
            fitted.seconds[clean.row.defense] += clean.seconds
    return fitted


def _fit(
    spec: DefenseSpec, catalogue: Catalogue, model: Classifier, samples: Source, fit: Source | None, seed: int
) -> tuple[run.Pipeline, Pipeline | None]:
    """A defence's row, and its pipeline where it could be fitted."""
    plugin = make(catalogue.get("defense", spec.plugin), spec.params, spec.plugin)
    info = plugin.info
    row = run.Pipeline(spec.name, spec.plugin, info.version, info.kind, params_of(plugin), "failed", draws=spec.draws)
    if info.needs_data and fit is None:
        row.status = "excluded"
        row.reason = "it learns from samples, and none were given for that (--fit-data)"
        return row, None
    try:
        # also where it needs none: some choose a parameter by samples if there are any
        with foreign():
            fit_samples = None if fit is None else fit.copy()  # what a plugin writes into it concerns no other
            defended = lending(plugin.fit(model, fit_samples, generator(seed, "fit", spec.name)))
            reference = fit if fit is not None else samples
            return row, Pipeline(defended).with_detector_scale(reference.x[:_BATCH])
    except Exception as error:  # noqa: BLE001
        # a defence's fault must not end the run: its cells fail, with this reason
        row.reason = _reason(error)
        return row, None


def clean_phase(pipeline: Pipeline, row: run.Pipeline, samples: Source, seed: int) -> None:
    """Fills a row's clean columns: answers by the true pipeline, the class aside from the detector, its score."""
    clean = _Clean(pipeline, row, seed, len(samples))
    clean.begin()
    for rows in blocks(len(samples), _BATCH):
        clean.ask(samples.x[rows])
    clean.finish(samples)


def _ask_all(asked: list[_Clean], samples: Source) -> None:
    """Asks every pipeline about the clean samples, which are read once for all of them. A defence that raises fails
    alone; what the bare model raises comes out."""
    for clean in asked:
        clean.attempt(clean.begin)
    for rows in blocks(len(samples), _BATCH):
        x = samples.x[rows]
        for clean in asked:
            clean.attempt(partial(clean.ask, x))
    for clean in asked:
        clean.attempt(partial(clean.finish, samples))


@dataclass
class _Clean:
    """What one pipeline answers on the clean samples, a few at a time, put down in its row.

    Images are asked about a second time while they are there: the share of answers that change from call to call, and
    in a batch of other size and order. Columns are arrays that are there from the first answer on, as in
    `engine/data/survey.py`: what is kept between large tensors that go leaves the heap in pieces.
    """

    pipeline: Pipeline
    row: run.Pipeline
    seed: int
    count: int  # samples in all
    failed: bool = False
    seconds: float = 0.0
    agreed: int = 0
    changed: int = 0
    done: int = 0
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = generator(self.seed, "clean", self.row.defense)

    def begin(self) -> None:
        """Puts down what the pipeline says of itself."""
        row, defended = self.row, self.pipeline.defended
        row.stochastic = self.pipeline.stochastic
        row.threshold = None if defended.detector is None else float(defended.detector.threshold)
        row.notes = [as_sentence(note) for note in defended.notes]

    @property
    def has_twin(self) -> bool:
        """Whether there are gradients."""
        return self.pipeline.defended.model.info.gradients != "none"

    def attempt(self, work: Callable[[], None]) -> None:
        """Does it, unless the pipeline has failed before."""
        if self.failed:
            return
        started = time.perf_counter()
        if self.row.defense == "none":
            work()
            return
        try:
            with foreign(), guest(f"what the defence {self.row.defense} makes of clean samples"):
                work()
        except Exception as error:  # noqa: BLE001 - as in _fit
            self.failed, self.row.status, self.row.reason = True, "failed", _reason(error)
        self.seconds += time.perf_counter() - started

    def ask(self, x: Tensor) -> None:
        """Takes in the answers to x [B, *shape]."""
        pipeline = self.pipeline
        if pipeline.stochastic:
            answer, detector_score = answers(pipeline, x, self.rng)
            view = pipeline.draw(self.rng)
            _, label, _ = view.decide(x)
        else:  # the one draw that there is has just been asked
            view = pipeline
            answer, label, detector_score = pipeline.decide(x)
        probabilities = torch.softmax(view.defended.model.logits(x).double(), dim=1)
        self._put("prediction", answer)
        self._put("label", label)
        self._put("confidence", _finite(probabilities.amax(1)))
        if detector_score is not None:
            self._put("suspicion", _finite(detector_score))
        if self.has_twin:
            with torch.no_grad():
                self.agreed += int((view.defended.model.twin(x).argmax(1) == label).sum())
        if pipeline.defended.certify is not None:
            self._put("certified", _finite(pipeline.defended.certify(x)))
        if not pipeline.stochastic:
            again = pipeline.decide(x)[0]
            self.changed += int((again != answer).sum())
            self._put(_AGAIN, again)
        self.done += len(x)

    def _put(self, name: str, values: Tensor) -> None:
        found = values.cpu().numpy()
        if name not in self.columns:
            self.columns[name] = np.empty(self.count, found.dtype)
        self.columns[name][self.done : self.done + len(found)] = found

    def finish(self, samples: Source) -> None:
        """Fills in the columns and the shares, and asks about some in other batches."""
        row = self.row
        again = self.columns.pop(_AGAIN, None)
        for name, column in self.columns.items():
            setattr(row, name, column.tolist())
        row.surrogate_agreement = self.agreed / self.count if self.has_twin else None
        if again is None:
            return
        row.unstable_again = self.changed / self.count
        order = torch.arange(self.count, device="cpu").flip(0)[:_OTHER]
        others = [self.pipeline.decide(samples.x[part])[0].cpu() for part in torch.split(order, _OTHER_BATCH)]
        row.unstable_batch = float((torch.cat(others) != torch.from_numpy(again)[order]).float().mean())


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, RobustEvalError) else words(error)


def _finite(values: Tensor) -> Tensor:
    """float64 for the document, which cannot carry NaN or infinities: 0 in their place."""
    return torch.nan_to_num(values.double(), nan=0.0, posinf=0.0, neginf=0.0)
