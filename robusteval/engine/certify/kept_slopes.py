"""The slopes of the largest certificates that only an optimiser found, so that they can be proved again without one."""

from __future__ import annotations

import torch
from torch import Tensor

from robusteval.contracts.certificates.certifier import Statement, proved
from robusteval.contracts.certificates.graph import Graph
from robusteval.contracts.params import make
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.certify.certificates import statement
from robusteval.engine.source import Source
from robusteval.foreign import foreign
from robusteval.record.run import Certificate, Record

CERTIFIER = "alpha-crown"
SAMPLES = 3  # in each norm, those with the largest radius of those that none before it proved
LIMIT = 1 << 23  # bytes of the slopes of one image: of larger ones none are kept


def kept_slopes(record: Record, graph: Graph, samples: Source, catalogue: Catalogue) -> dict[str, Tensor]:
    """By "slopes.CERTIFIER.NORM.SAMPLE." and the certifier's own names. The images' bounds are made once more, at the
    radius that the record has; where that proves nothing, or fails, nothing is kept. "none" stands where the bound
    needs no slopes."""
    found: dict[str, Tensor] = {}
    for row in record.certificates:
        if row.certifier != CERTIFIER or row.status != "done":
            continue
        for place in _largest(record, row):
            sample = row.samples[place]
            slopes = _slopes(
                statement(graph, samples, slice(sample, sample + 1), row.norm, row.radius[place]), catalogue
            )
            if sum(value.numel() * value.element_size() for value in slopes.values()) <= LIMIT:
                found |= {f"slopes.{CERTIFIER}.{row.norm}.{sample}.{name}": value for name, value in slopes.items()}
    return found


def _largest(record: Record, row: Certificate) -> list[int]:
    """Places in the row."""
    asked = [other for other in record.certificates if other.norm == row.norm]
    others = asked[: asked.index(row)]  # a dearer one starts from these radii and proves as much
    before = [
        max((other.radius[place] for other in others if other.radius), default=0.0) for place in range(len(row.radius))
    ]
    gained = [place for place, radius in enumerate(row.radius) if radius > before[place]]
    return sorted(gained, key=lambda place: (-row.radius[place], place))[:SAMPLES]


def _slopes(asked: Statement, catalogue: Catalogue) -> dict[str, Tensor]:
    certifier = make(catalogue.entry("certifier", CERTIFIER).plugin, {}, CERTIFIER)
    try:
        with foreign():
            proof = certifier.bound(asked)
            if not bool(proved(asked, proof).all()):
                return {}
            return dict(proof.slopes) or {"none": torch.zeros(1, device="cpu")}
    except Exception:  # noqa: BLE001 - a certifier may raise anything; then its certificates are not proved again
        return {}
