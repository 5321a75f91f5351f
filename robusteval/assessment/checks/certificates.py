"""Certificates beside attacks: a win inside a ball of which a certifier proved that it holds none."""

from __future__ import annotations

from collections.abc import Iterator

from robusteval.assessment.checks.spec import Measured, Spec
from robusteval.metrics._common.bracket import certified_pipelines, contradicted, edges_of
from robusteval.metrics._common.columns import BARE
from robusteval.record.run import Finding, Record

CERTIFICATES = "certificates"


def _inside(record: Record) -> Iterator[Measured]:
    for defense, norm in certified_pipelines(record):
        edges = edges_of(record, norm, defense)
        if edges is None:
            continue
        behind = "" if defense == BARE else f" behind {defense}"
        places = contradicted(edges).nonzero()[0].tolist()
        count = len(places)
        said = f"{count} of {edges.count} samples ({norm}{behind})"
        if not count:
            yield Measured(0.0, said)
            continue
        first = places[0]
        sample, names = int(edges.rows[first]), ", ".join(sorted({edges.by[place] for place in places}))
        sentence = (
            f"On {count} of {edges.count} samples{behind} an attack won inside a ball that {names} proved to hold no "
            f"adversarial ({norm}); the first is sample {sample}, proved up to {edges.proved[first]:.6g} and broken at "
            f"{edges.broken[first]:.6g}."
        )
        yield Measured(
            count / edges.count,
            said,
            "fail",
            Finding(
                "certificate-broken",
                "alarm",
                sentence,
                {"count": count, "sample": sample, "radius": edges.proved[first], "distance": edges.broken[first]},
                "Believe the attack, whose image can be checked, and no certificate of this certifier; report it to "
                "whoever wrote it.",
                [],
            ),
        )


CERTIFIED = (
    Spec(
        CERTIFICATES, "No adversarial lies in a proved ball",
        "Zhang et al. 2018; Singh et al. 2019: a certificate that an attack contradicts is none",
        "samples with a win at a distance <= the proved radius / samples that certifiers were asked about",
        "fail, and grade F: any", "proof and attack cannot both be right, and the attack shows its image",
        "no certifier finished beside attacks in the same norm",
        _inside,
    ),
)  # fmt: skip
