"""Certificates of defended models: what a preprocessor does to an image, and then the model, as one graph.

A preprocessor says what it does as steps of a graph. That is its own word, so the whole graph is held against the
pipeline at clean samples, at random points and at the box's corners, before anything is proved of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import Tensor

from robusteval.contracts.certificates.enclosure import encloses
from robusteval.contracts.certificates.graph import Graph, NotCoveredError, graph_of
from robusteval.contracts.certificates.stacked import stacked
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.pipeline import Pipeline
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.certify.certificates import Subject, certified
from robusteval.engine.source import Source
from robusteval.engine.suite.suite import Suite
from robusteval.engine.units.store import UnitStore
from robusteval.record.run import CertificateBehind, Record

_POINTS = 16  # clean samples, and as many random points, at which graph and pipeline are compared
_CLOSE = 1e-5  # of their scores, relative to the largest


def certify(
    record: Record,
    pipelines: Mapping[str, Pipeline],
    correct: Mapping[str, Tensor],
    samples: Source,
    suite: Suite,
    catalogue: Catalogue,
    units: UnitStore,
) -> None:
    """Fills the record's certificates, of the bare model and of each defence; of what is not covered rows say why.

    pipelines: those of a run by the name of the defence, "none" among them; correct: bool [N] of each, right when
    clean.
    """
    model, asked = pipelines["none"].defended.model, (samples, suite, catalogue, units)
    record.certificates = certified(record, Subject("none", lambda: graph_of(model), correct["none"]), *asked)
    record.certificates_behind = []
    for name, pipeline in pipelines.items():
        if name != "none":
            rows = certified(record, _subject(name, pipeline, correct[name], model, samples), *asked)
            record.certificates_behind += [CertificateBehind(**asdict(row), defense=name) for row in rows]


def covered(pipelines: Mapping[str, Pipeline]) -> int:
    """How many defences say what they do as steps of a graph."""
    return sum(not _reason(pipeline) for name, pipeline in pipelines.items() if name != "none")


def graph_behind(pipeline: Pipeline, model: Classifier, samples: Source) -> Graph:
    """The graph of a defended model. Raises NotCoveredError, with the reason."""
    steps = pipeline.defended.steps
    if (reason := _reason(pipeline)) or steps is None:
        raise NotCoveredError(reason)
    graph = stacked(steps, graph_of(model))
    low, high = samples.bounds
    clean = samples[slice(0, min(_POINTS, len(samples)))].x
    rng = torch.Generator("cpu").manual_seed(0)
    drawn = torch.rand((_POINTS, *clean.shape[1:]), generator=rng, device="cpu") * (high - low) + low
    corners = torch.stack([torch.full_like(drawn[0], low), torch.full_like(drawn[0], high)])
    points = torch.cat([clean, drawn.to(clean), corners.to(clean)])
    if not encloses(graph.to(points.device), points.double(), pipeline.scores(points), _CLOSE):
        raise NotCoveredError("steps of the defence that do not answer as its pipeline does")
    return graph


def _subject(name: str, pipeline: Pipeline, right: Tensor, model: Classifier, samples: Source) -> Subject:
    return Subject(name, lambda: graph_behind(pipeline, model, samples), right)


def _reason(pipeline: Pipeline) -> str:
    """Why nothing can be proved of a defended model; empty where it may be."""
    if pipeline.stochastic:
        return "its answers, which are drawn"
    if pipeline.defended.detector is not None:
        return "its detector, which is no graph"
    if pipeline.defended.steps is None:
        return "the defence, which does not say what it does as steps of a graph"
    return ""
