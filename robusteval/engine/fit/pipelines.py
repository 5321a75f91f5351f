"""Fitting defences to the model, and what each pipeline answers on the clean samples."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robusteval.contracts.classifier import Classifier
from robusteval.contracts.guard import lending
from robusteval.contracts.params import make, params_of
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended
from robusteval.contracts.samples import Samples
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.search.judge import answers
from robusteval.engine.seeding import generator
from robusteval.engine.suite.suite import DefenseSpec, Suite
from robusteval.errors import RobustEvalError
from robusteval.foreign import foreign, words
from robusteval.record import run
from robusteval.text import as_sentence

_BATCH = 256
_OTHER, _OTHER_BATCH = 128, 7  # samples asked a second time in batches of another size, in reverse


@dataclass
class Fitted:
    """All pipelines of a run: the working ones by defence, their rows for the document, and the seconds that fitting
    took."""

    by_defense: dict[str, Pipeline] = field(default_factory=dict)
    rows: list[run.Pipeline] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def fit_all(
    suite: Suite, catalogue: Catalogue, model: Classifier, samples: Samples, fit: Samples | None, seed: int
) -> Fitted:
    """The bare model and every defence of the suite. A defence that cannot be fitted becomes a failed row."""
    fitted = Fitted()
    bare = Pipeline(Defended(model))
    row = run.Pipeline("none", "", "", "model", {}, "done")
    fitted.by_defense["none"] = bare
    fitted.rows.append(row)
    clean_phase(bare, row, samples, seed)
    for spec in suite.defenses:
        started = time.perf_counter()
        fitted.rows.append(_fit(spec, catalogue, model, samples, fit, seed, fitted))
        fitted.seconds[spec.name] = time.perf_counter() - started
    return fitted


def _fit(
    spec: DefenseSpec,
    catalogue: Catalogue,
    model: Classifier,
    samples: Samples,
    fit: Samples | None,
    seed: int,
    fitted: Fitted,
) -> run.Pipeline:
    plugin = make(catalogue.get("defense", spec.plugin), spec.params, spec.plugin)
    info = plugin.info
    row = run.Pipeline(spec.name, spec.plugin, info.version, info.kind, params_of(plugin), "failed", draws=spec.draws)
    if info.needs_data and fit is None:
        row.status = "excluded"
        row.reason = "it learns from samples, and none were given for that (--fit-data)"
        return row
    try:
        # also where it needs none: some choose a parameter by samples if there are any
        with foreign():
            fit_samples = None if fit is None else fit.copy()  # what a plugin writes into it concerns no other
            defended = lending(plugin.fit(model, fit_samples, generator(seed, "fit", spec.name)))
            reference = fit if fit is not None else samples
            pipeline = Pipeline(defended).with_detector_scale(reference.x[:_BATCH])
            clean_phase(pipeline, row, samples, seed)
    except RobustEvalError as error:
        row.reason = error.message
        return row
    except Exception as error:  # noqa: BLE001
        # a defence's fault must not end the run: its cells fail, with this reason
        row.reason = words(error)
        return row
    row.status = "done"
    fitted.by_defense[spec.name] = pipeline
    return row


def clean_phase(pipeline: Pipeline, row: run.Pipeline, samples: Samples, seed: int) -> None:
    """Fills a row's clean columns: answers by the true pipeline, the class aside from the detector, its score."""
    rng = generator(seed, "clean", row.defense)
    row.stochastic = pipeline.stochastic
    detector = pipeline.defended.detector
    row.threshold = None if detector is None else float(detector.threshold)
    row.notes = [as_sentence(note) for note in pipeline.defended.notes]
    agreed = 0
    has_twin = pipeline.defended.model.info.gradients != "none"
    for start in range(0, len(samples), _BATCH):
        x = samples.x[start : start + _BATCH]
        answer, detector_score = answers(pipeline, x, rng)
        view = pipeline.draw(rng)
        _, label, _ = view.decide(x)
        probabilities = torch.softmax(view.defended.model.logits(x).double(), dim=1)
        row.prediction += [int(value) for value in answer]
        row.label += [int(value) for value in label]
        row.confidence += _finite(probabilities.amax(1))
        if detector_score is not None:
            row.suspicion += _finite(detector_score)
        if has_twin:
            with torch.no_grad():
                agreed += int((view.defended.model.twin(x).argmax(1) == label).sum())
        if pipeline.defended.certify is not None:
            row.certified += _finite(pipeline.defended.certify(x))
    row.surrogate_agreement = agreed / len(samples) if has_twin else None
    if not pipeline.stochastic and len(samples):
        _ask_again(pipeline, row, samples)


def _ask_again(pipeline: Pipeline, row: run.Pipeline, samples: Samples) -> None:
    """The share of answers that change from call to call, and in a batch of other size and order."""
    first = torch.tensor(row.prediction, device="cpu")
    again = torch.cat([pipeline.decide(part)[0].cpu() for part in torch.split(samples.x, _BATCH)])
    row.unstable_again = float((again != first).float().mean())
    order = torch.arange(len(samples), device="cpu").flip(0)[:_OTHER]
    others = [pipeline.decide(samples.x[part])[0].cpu() for part in torch.split(order, _OTHER_BATCH)]
    row.unstable_batch = float((torch.cat(others) != again[order]).float().mean())


def _finite(values: Tensor) -> list[float]:
    """Values for the document, which cannot carry NaN or infinities: 0 in their place."""
    return [float(value) for value in torch.nan_to_num(values.double(), nan=0.0, posinf=0.0, neginf=0.0)]
