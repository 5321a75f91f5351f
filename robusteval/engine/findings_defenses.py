"""Findings about defences and detectors."""

from __future__ import annotations

from collections.abc import Iterator

from robusteval.engine.envelope import envelope
from robusteval.record.document import Finding, Pipeline, Record


def detectors(record: Record) -> Iterator[Finding]:
    for row in record.pipelines:
        if row.status != "done" or row.threshold is None or not row.prediction:
            continue
        fired = sum(value == record.model.classes for value in row.prediction) / len(row.prediction)
        if fired > 0.5:
            yield Finding(
                "detector-rejects-most",
                "alarm",
                f"The detector of {row.defense} rejects {100 * fired:.0f} % of clean samples, so what it catches says nothing.",
                {"share": fired},
                "Fit its threshold on clean samples for a wanted false-alarm rate.",
            )


def defenses(record: Record) -> Iterator[Finding]:
    for row in record.pipelines:
        if row.defense == "none" or row.status != "done":
            continue
        yield from _surrogate(row)
        oblivious = _oblivious_accuracy(record, row)
        adaptive = _adaptive_accuracy(record, row)
        if oblivious is not None and adaptive is not None and oblivious - adaptive > 0.2:
            yield Finding(
                "adaptive-much-weaker",
                "warning",
                f"{row.defense} keeps {100 * oblivious:.0f} % against attacks that do not know it and {100 * adaptive:.0f} %"
                " against those that do, at the same distances: its worth is the second figure.",
                {"oblivious": oblivious, "adaptive": adaptive},
                "Quote the adaptive figure.",
            )
        if oblivious is not None and adaptive is not None and adaptive - oblivious > 0.1:
            yield Finding(
                "adaptive-too-weak",
                "warning",
                f"{row.defense} keeps {100 * adaptive:.0f} % against attacks that know it but only {100 * oblivious:.0f} %"
                " against those that do not, at the same distances: the adaptive attacks are too weak.",
                {"oblivious": oblivious, "adaptive": adaptive},
                "Take the lower figure, and give the suite a stronger adaptive attack.",
            )
        if row.certified:
            yield from _certificate_broken(record, row)


def _surrogate(row: Pipeline) -> Iterator[Finding]:
    if row.surrogate_agreement is not None and row.surrogate_agreement < 0.98:
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


def _oblivious_accuracy(record: Record, row: Pipeline) -> float | None:
    """Lowest accuracy of the defended pipeline under oblivious adversarials, over cells and strengths."""
    labels = record.data.labels
    values = [
        sum(a == b for a, b in zip(strength.prediction, labels, strict=True)) / len(labels)
        for cell in record.done(knowledge="oblivious", defense=row.defense)
        for strength in cell.strengths
    ]
    return min(values) if values else None


def _adaptive_accuracy(record: Record, row: Pipeline) -> float | None:
    """Accuracy under adaptive attacks at the mean distance of the oblivious strength that hurt most, same norm."""
    labels = record.data.labels
    worst: tuple[float, float, str] | None = None
    for cell in record.done(knowledge="oblivious", defense=row.defense):
        for strength in cell.strengths:
            share = sum(a == b for a, b in zip(strength.prediction, labels, strict=True)) / len(labels)
            if worst is None or share < worst[0]:
                worst = (share, strength.mean_distance, cell.norm)
    if worst is None:
        return None
    cells = record.done(norm=worst[2], knowledge="adaptive", defense=row.defense)
    if not cells:
        return None
    nearest = envelope(cells)
    return sum(value > worst[1] for value in nearest) / len(nearest)


def label_leak(record: Record) -> Iterator[Finding]:
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
                        "The perturbation gives the label away (label leaking): use another attack for training and judging.",
                        [cell.id],
                    )
                    break
