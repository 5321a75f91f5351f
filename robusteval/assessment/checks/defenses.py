"""Checks of defences and detectors; their rules are in evidence/defense_findings.py."""

from __future__ import annotations

from robusteval.assessment.checks.spec import Spec, from_rule
from robusteval.assessment.evidence.defense_findings import defenses, detectors, label_leak
from robusteval.record.run import Record

_TRAMER = "Tramer et al. 2020, On adaptive attacks to adversarial example defenses"


def _detected(record: Record) -> bool:
    return any(row.status == "done" and row.threshold is not None for row in record.pipelines)


def _defended(record: Record) -> bool:
    return any(row.status == "done" and row.defense != "none" for row in record.pipelines)


def _judged(record: Record) -> bool:
    return bool(record.done(knowledge="oblivious"))


DEFENDED = (
    Spec(
        "detector", "Detectors let clean samples pass", _TRAMER,
        "clean samples at which a detector fires / clean samples, the worst detector", "fail: > 50 %",
        "a detector that rejects everything catches every adversarial", "no detector was fitted",
        from_rule(detectors, _detected, ("share",), "no detector fires on more than half of the clean samples"),
    ),
    Spec(
        "defences", "Adaptive attacks are worthy of the defence", f"{_TRAMER}; Athalye, Carlini, Wagner 2018",
        "accuracy under oblivious and under adaptive attacks at the same distances; answers of twin and truth on clean"
        " samples; adversarials inside certified radii",
        "told of: oblivious above adaptive by > 20 %; warn: adaptive above oblivious by > 10 %, twin and truth differ "
        "on > 2 %; fail: they differ on > 20 %, any adversarial in a certified ball",
        "whoever knows the defence can do all that others do, so his figure is the lower one", "no defence was fitted",
        from_rule(defenses, _defended, ("oblivious", "agreement"), "oblivious and adaptive figures agree"),
    ),
    Spec(
        "adversarial-above-clean", "Adversarials are no easier than clean samples",
        "Kurakin, Goodfellow, Bengio 2017, Adversarial machine learning at scale (label leaking)",
        "accuracy on an attack's candidates - accuracy on clean samples, the worst cell and strength", "warn: > 2 %",
        "a perturbation that makes a model better gives the label away", "no adversarials were judged on a defence",
        from_rule(label_leak, _judged, ("adversarial",), "no cell is more accurate than on clean samples"),
    ),
)  # fmt: skip
