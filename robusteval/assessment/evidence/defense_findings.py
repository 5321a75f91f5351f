"""Findings about defences and detectors."""

from __future__ import annotations

from collections.abc import Iterator

from robusteval.assessment.evidence.worst_case import envelope
from robusteval.record.run import Cell, Finding, Pipeline, Record

AGREES = 0.98  # of clean samples on which a defence's differentiable form has to answer as the defence does
_ROOM = 1 + 1e-6  # for rounding of distances


def detectors(record: Record) -> Iterator[Finding]:
    """Detectors that reject most clean samples."""
    for row in record.pipelines:
        if row.status != "done" or row.threshold is None or not row.prediction:
            continue
        fired = sum(value == record.model.classes for value in row.prediction) / len(row.prediction)
        if fired > 0.5:
            yield Finding(
                "detector-rejects-most",
                "alarm",
                f"The detector of {row.defense} rejects {100 * fired:.0f} % of clean samples, so what it catches says "
                "nothing.",
                {"share": fired},
                "Fit its threshold on clean samples for a wanted false-alarm rate.",
            )


def defenses(record: Record) -> Iterator[Finding]:
    """Defences whose twin answers otherwise, whose worth depends on who knows them, or whose certificate was broken."""
    for row in record.pipelines:
        if row.defense == "none" or row.status != "done":
            continue
        yield from _surrogate(row)
        oblivious, adaptive = _side_by_side(record, row)
        if oblivious is not None and adaptive is not None and oblivious - adaptive > 0.2:
            yield Finding(
                "adaptive-much-weaker",
                "info",  # of the defence: an evaluation that shows both figures is none the worse for it
                f"{row.defense} keeps {100 * oblivious:.0f} % against attacks that do not know it and "
                f"{100 * adaptive:.0f} % against those that do, at the same distances: its worth is the second figure.",
                {"oblivious": oblivious, "adaptive": adaptive},
                "Quote the adaptive figure.",
            )
        if oblivious is not None and adaptive is not None and adaptive - oblivious > 0.1:
            yield Finding(
                "adaptive-too-weak",
                "warning",
                f"{row.defense} keeps {100 * adaptive:.0f} % against attacks that know it but only "
                f"{100 * oblivious:.0f} % against those that do not, at the same distances: the adaptive attacks are "
                "too weak.",
                {"oblivious": oblivious, "adaptive": adaptive},
                "Take the lower figure, and give the suite a stronger adaptive attack.",
            )
        if row.certified:
            yield from _certificate_broken(record, row)


def _surrogate(row: Pipeline) -> Iterator[Finding]:
    if row.surrogate_agreement is not None and row.surrogate_agreement < AGREES:
        yield Finding(
            "surrogate-disagrees",
            "alarm" if row.surrogate_agreement < 0.8 else "warning",
            f"The differentiable form of {row.defense} agrees with the true pipeline on only"
            f" {100 * row.surrogate_agreement:.1f} % of clean samples.",
            {"agreement": row.surrogate_agreement},
            "Adaptive attacks follow a wrong model: mend the surrogate before believing the adaptive figure.",
        )


def _certificate_broken(record: Record, row: Pipeline) -> Iterator[Finding]:
    cells = record.done(norm="l2", knowledge="adaptive", defense=row.defense)
    broken = sum(
        value is not None and 0 < value < radius
        for cell in cells
        for value, radius in zip(cell.distance, row.certified, strict=True)
    )
    if broken:
        yield Finding(
            "certificate-broken",
            "alarm",
            f"{broken} adversarials lie inside a radius that {row.defense} certified.",
            {"count": broken},
            "The certificate is wrong, or it holds with a probability that these draws missed.",
        )


def _side_by_side(record: Record, row: Pipeline) -> tuple[float | None, float | None]:
    """Accuracy under the oblivious adversarials that hurt most, over cells and strengths, and under adaptive attacks.

    Right when clean, and then right or rejected: a detector that catches an adversarial has held. Adaptive attacks may
    go as far from each sample as its oblivious adversarial does, in the same norm.
    """
    labels, rejected = record.data.labels, record.model.classes
    worst: tuple[float, str, list[float]] | None = None
    for cell in record.done(knowledge="oblivious", defense=row.defense):
        for strength in cell.strengths:
            answers = zip(row.prediction, strength.prediction, labels, strict=True)
            share = sum(clean == label and now in (label, rejected) for clean, now, label in answers) / len(labels)
            if worst is None or share < worst[0]:
                reach = _reach(record, cell, strength.strength)
                worst = worst if reach is None else (share, cell.norm, reach)
    if worst is None:
        return None, None
    share, norm, reach = worst
    nearest = envelope(record.done(norm=norm, knowledge="adaptive", defense=row.defense))
    if not nearest:
        return share, None
    return share, sum(value > limit for value, limit in zip(nearest, reach, strict=True)) / len(nearest)


def _reach(record: Record, cell: Cell, strength: float) -> list[float] | None:
    """Largest distance of each sample's oblivious adversarial; 0 where there is none, and the sample itself is
    judged."""
    if cell.family == "fixed":
        return [strength * _ROOM] * len(record.data.labels)
    bare = next((bare for bare in record.done(norm=cell.norm, knowledge="none") if bare.attack == cell.attack), None)
    if bare is None:
        return None
    return [0.0 if value is None else value * strength * _ROOM for value in bare.distance]


def label_leak(record: Record) -> Iterator[Finding]:
    """Pipelines that are more accurate on an attack's adversarials than on clean samples; one finding for each
    attack."""
    labels = record.data.labels
    for row in record.pipelines:
        if row.status != "done" or not labels:
            continue
        clean = sum(a == b for a, b in zip(row.prediction, labels, strict=True)) / len(labels)
        for cell in record.done(knowledge="oblivious", defense=row.defense):
            for strength in cell.strengths:
                share = sum(a == b for a, b in zip(strength.prediction, labels, strict=True)) / len(labels)
                if share > clean + 0.02:
                    yield Finding(
                        "label-leak",
                        "warning",
                        f"{row.defense} is more accurate on adversarials of {cell.attack} than on clean samples.",
                        {"adversarial": share, "clean": clean},
                        "The perturbation gives the label away (label leaking): use another attack for training and "
                        "judging.",
                        [cell.id],
                    )
                    break
