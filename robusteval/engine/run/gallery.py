"""Pictures for the report: a few samples, clean, perturbation and adversarial, under the worst attack of each norm."""

from __future__ import annotations

import base64

import torch
from torch import Tensor

from robusteval.assessment.evidence.pictures import levels, png
from robusteval.assessment.evidence.shown import pictured, shown
from robusteval.engine.fit.pipelines import Fitted
from robusteval.engine.run.witnesses import gone
from robusteval.engine.source import Source
from robusteval.engine.units.store import UnitStore
from robusteval.record.run import Cell, Picture, Record


def pictures(record: Record, units: UnitStore, samples: Source, fitted: Fitted, size: int) -> list[Picture]:
    """A few samples a norm, of all classes and of several difficulties, each under its worst attack: `shown`. size:
    samples a unit."""
    if not pictured(tuple(samples.x.shape[1:])):
        return []
    return [_picture(record, cell, sample, units, samples, fitted, size) for sample, cell in shown(record)]


def _picture(
    record: Record, cell: Cell, sample: int, units: UnitStore, samples: Source, fitted: Fitted, size: int
) -> Picture:
    chunk, row = divmod(sample, size)
    unit = units.load(cell.id, chunk)
    if unit is None:
        raise gone(cell, chunk)
    clean, adversarial = samples.x[sample].cpu(), unit.x[row]
    delta = adversarial - clean
    low, high = samples.bounds
    peak = float(delta.abs().amax()) / (high - low)
    model = fitted.by_defense["none"].defended.model
    probability = torch.softmax(model.logits(adversarial[None].to(samples.x.device)).double(), dim=1)
    bare = record.pipeline("none")
    return Picture(
        sample=sample,
        cell=cell.id,
        attack=cell.attack,
        defense=cell.defense,
        norm=cell.norm,
        distance=cell.distance[sample] or 0.0,
        label=record.data.labels[sample],
        clean_prediction=bare.prediction[sample],
        clean_confidence=bare.confidence[sample],
        prediction=int(probability.argmax()),
        confidence=float(torch.nan_to_num(probability.amax())),
        clean_png=_png((clean - low) / (high - low)),
        perturbation_png=_png(0.5 + 0.5 * delta / (high - low) / max(peak, 1e-9)),
        adversarial_png=_png((adversarial - low) / (high - low)),
        perturbation_gain=1 / max(peak, 1e-9),
    )


def _png(x: Tensor) -> str:
    pixels = levels(x.numpy())
    return base64.b64encode(png(pixels)).decode() if pixels is not None else ""
