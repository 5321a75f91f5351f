"""The transfer matrix: one model's adversarials at a fixed budget, shown to every other model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from torch import Generator, Tensor

from robusteval import ops
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.meter import Meter
from robusteval.contracts.params import make, params_of
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended
from robusteval.contracts.problem import Problem
from robusteval.engine import source
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.chunks import CHUNK
from robusteval.engine.search.asking import candidates_of
from robusteval.engine.search.judge import Threat, answers, common_grid
from robusteval.engine.seeding import generator
from robusteval.engine.state import guest
from robusteval.engine.suite.goals import safe_mask
from robusteval.engine.suite.suite import Suite
from robusteval.errors import SuiteError
from robusteval.foreign import foreign, words
from robusteval.record.comparison import Source, Transfer
from robusteval.record.store import write_atomically
from robusteval.record.units import norm_width

FILE = "transfer.safetensors"
_CONFIDENCE = 100.0  # times the largest clean score: no attack gets there, so none stops early


@dataclass(frozen=True)
class Fighter:
    """One of the models, with the samples in its own range."""

    key: str
    model: Classifier
    samples: source.Source


@dataclass(frozen=True)
class _Unbeaten:
    """A pipeline that holds one class far above the others, so that an attack thinks it has not won yet.

    An attack stops, or keeps its first win, just beyond the boundary of its own model, where little transfers. The
    raised score is a constant: gradients of the losses stay what they were, and the attack spends its whole budget.
    """

    pipeline: Pipeline
    label: int
    lead: float

    @property
    def classes(self) -> int:
        return self.pipeline.classes

    def scores(self, x: Tensor) -> Tensor:
        return self._raised(self.pipeline.scores(x))

    def twin(self, x: Tensor) -> Tensor:
        return self._raised(self.pipeline.twin(x))

    def draw(self, rng: Generator) -> _Unbeaten:
        return _Unbeaten(self.pipeline.draw(rng), self.label, self.lead)

    def _raised(self, scores: Tensor) -> Tensor:
        lead = torch.zeros_like(scores)
        lead[:, self.label] = self.lead
        return scores + lead


def transfer(fighters: list[Fighter], suite: Suite, catalogue: Catalogue, seed: int, folder: Path) -> Transfer:
    """Runs the suite's transfer attack on each model and asks all of them; writes folder/transfer.safetensors.

    Raises SuiteError and PluginError where the suite's `transfer` names what is not there or does not fit.
    """
    plugin, attack = chosen_attack(suite, catalogue)
    settings, info = suite.transfer, attack.info
    pipelines = [Pipeline(Defended(fighter.model)) for fighter in fighters]
    right = [
        _asked(pipeline, fighter.samples.x, seed) == fighter.samples.y
        for pipeline, fighter in zip(pipelines, fighters, strict=True)
    ]
    matrix = Transfer(
        settings.attack, plugin, info.version, params_of(attack), settings.norm, settings.eps,
        [[bool(value) for value in row] for row in right], [],
    )  # fmt: skip
    tensors: dict[str, np.ndarray] = {}
    for index, fighter in enumerate(fighters):
        source = Source(fighter.key, "done")
        matrix.sources.append(source)
        reason = _cannot(info, fighter.model)
        if reason:
            source.status, source.reason = "excluded", reason
            continue
        try:
            with foreign(), guest(f"the transfer attack {settings.attack}"):
                x, source.unlawful = _attacked(fighter, pipelines[index], right[index], attack, suite, seed)
        except Exception as error:  # noqa: BLE001 - a plugin's fault costs one row of the matrix, not the run
            source.status, source.reason = "failed", words(error)[:500]
            continue
        tensors[fighter.key] = np.ascontiguousarray(x.cpu().numpy())
        source.answers = [
            _asked(pipeline, moved(x, fighter.samples.bounds, other.samples.bounds), seed).tolist()
            for pipeline, other in zip(pipelines, fighters, strict=True)
        ]
    if tensors:
        content = safetensors.numpy.save(tensors)
        write_atomically(folder / FILE, content)
        matrix.file, matrix.sha256 = FILE, hashlib.sha256(content).hexdigest()
    return matrix


def chosen_attack(suite: Suite, catalogue: Catalogue) -> tuple[str, Any]:
    """(plugin's name, attack) that the suite's `transfer` names: one of its own, else an installed one with its
    defaults.

    Raises SuiteError where it has no fixed budget or no such norm, PluginError where there is none of that name.
    """
    settings = suite.transfer
    spec = next((attack for attack in suite.attacks if attack.name == settings.attack), None)
    name = settings.attack if spec is None else spec.plugin
    attack = make(catalogue.get("attack", name), {} if spec is None else spec.params, name)
    if attack.info.budget != "fixed" or settings.norm not in attack.info.norms or attack.info.needs == "decision":
        raise SuiteError(
            f"The suite's transfer attack {settings.attack} cannot be run at a fixed {settings.norm} budget.",
            "Name one with a fixed budget that sees scores or gradients, such as transfer = { attack = 'pgd' }.",
        )
    return name, attack


def _cannot(info: Any, model: Classifier) -> str:
    if info.needs == "gradient" and model.info.gradients == "none":
        return f"the attack needs gradients, and the model gives none: {model.info.gradients_reason}"
    return "the model answers with labels only" if model.info.output == "labels" else ""


def _asked(pipeline: Pipeline, x: source.Rows, seed: int) -> Tensor:
    """The pipeline's answers to x: int64 [N]."""
    rng = generator(seed, "transfer", "answers")
    return torch.cat([answers(pipeline, x[start : start + CHUNK], rng)[0] for start in range(0, len(x), CHUNK)])


def _attacked(
    one: Fighter, pipeline: Pipeline, right: Tensor, attack: Any, suite: Suite, seed: int
) -> tuple[Tensor, int]:
    """(adversarials [N, *shape], number of infeasible ones); the clean sample where it is wrong already or unlawful.
    Any wrong class counts, also in a targeted run; on the grid where the suite has one.

    One problem a class and chunk: what holds an attack back is raised for one class at a time.
    """
    samples, settings = one.samples, suite.transfer
    eps = settings.eps * norm_width(settings.norm, samples.bounds)
    norm = ops.norm_named(settings.norm)
    x, infeasible = samples.x[:].clone(), 0
    grid = common_grid(suite.levels, samples.bounds, samples.grid)
    lead = _CONFIDENCE * max(float(pipeline.scores(samples.x[:CHUNK]).abs().amax()), 1.0)
    for label in sorted({int(value) for value in samples.y[right]}):
        rows = (right & (samples.y == label)).nonzero().squeeze(1)
        for number, index in enumerate(torch.split(rows, CHUNK)):
            clean, y = samples.x[index], samples.y[index]
            problem = Problem(
                clean,
                safe_mask(y, None, one.model.info.classes, pipeline.classes),
                norm,
                torch.full((len(index),), eps, dtype=clean.dtype, device=clean.device),
                samples.bounds,
                generator(seed, "transfer", settings.attack, label, number),
                attack.info.needs,
                _Unbeaten(pipeline, label, lead),
                Meter(len(index)),
                torch.arange(len(index), device=clean.device),
            )
            found = candidates_of(attack, problem).to(clean)
            feasible = _is_feasible(clean, found, norm, eps, samples.bounds)
            infeasible += int((~feasible).sum())
            # towards the clean sample, so that the budget still holds
            found = Threat(problem.safe, norm, samples.bounds, *grid).round_directed(clean, found, away=False)
            x[index] = torch.where(ops.per_sample(feasible, clean), found, clean)
    return x, infeasible


def _is_feasible(clean: Tensor, found: Tensor, norm: ops.Norm, eps: float, bounds: tuple[float, float]) -> Tensor:
    """Finite, inside the box and within the budget: bool [B]. Raises ValueError for another shape."""
    if found.shape != clean.shape:
        raise ValueError(f"the attack returned shape {tuple(found.shape)} for samples {tuple(clean.shape)}")
    finite = torch.isfinite(found.flatten(1)).all(1)
    inside = ((found >= bounds[0]) & (found <= bounds[1])).flatten(1).all(1)
    safe = torch.where(ops.per_sample(finite, clean), found, clean)
    return finite & inside & (ops.distance(clean, safe, norm) <= eps * (1 + 1e-6))


def moved(x: Tensor, source: tuple[float, float], target: tuple[float, float]) -> Tensor:
    """x from one pixel range to another; the very same values where the ranges are."""
    if source == target:
        return x
    share = (x.double() - source[0]) / (source[1] - source[0])
    return ops.clip((share * (target[1] - target[0]) + target[0]).to(x.dtype), target)
