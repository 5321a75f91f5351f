"""Certificates beside the columns of their pipelines: what must hold of them whatever was proved."""

from __future__ import annotations

from robusteval.record.run import Record
from robusteval.verify.parts.result import Verification


def check_claims(record: Record, result: Verification) -> None:
    """Each certifier starts where the one before it ended, and nothing is proved of what is wrong when clean."""
    places = [("none", f"certificates[{index}]", proof) for index, proof in enumerate(record.certificates)]
    places += [
        (proof.defense, f"certificates_behind[{index}]", proof)
        for index, proof in enumerate(record.certificates_behind)
    ]
    asked = [(row.norm, row.certifier, row.version) for row in record.certificates]
    fitted = [row.defense for row in record.pipelines if row.defense != "none" and row.status == "done"]
    behind = [(row.defense, row.norm, row.certifier, row.version) for row in record.certificates_behind]
    if behind and behind != [(defense, *row) for defense in fitted for row in asked]:
        result.judge(["they are not of each defence what they are of the bare model"], "certificates_behind")
    best: dict[tuple[str, str], list[float]] = {}
    names = [(defense, proof.norm, proof.certifier) for defense, _, proof in places]
    for number, (defense, where, proof) in enumerate(places):
        faults = [] if proof.samples == list(range(len(proof.samples))) else ["its samples are not the first ones"]
        answers = record.pipeline(defense).prediction
        right = [a == b for a, b in zip(answers, record.data.labels, strict=bool(answers))]
        pairs = zip(proof.samples, proof.radius, strict=False)
        if any(radius > 0 and not (sample < len(right) and right[sample]) for sample, radius in pairs):
            faults.append("something is proved of a sample that is wrong when clean")
        before = best.setdefault((defense, proof.norm), [0.0] * len(proof.radius))
        if names.count(names[number]) > 1:
            faults.append("it is there twice")
        if proof.status == "done" and any(now < then for now, then in zip(proof.radius, before, strict=False)):
            faults.append("a radius is smaller than what was proved before it")
        best[defense, proof.norm] = proof.radius or before
        result.judge(faults, where)
