"""The limit of a search for certificates: work that is counted, so that no clock decides what a document says.

A suite states seconds, as people think in them. They stand for so many multiplications, on every machine and under any
load, and a certifier says what its bounds take of these: beforehand from the graph alone, afterwards as it counted.
"""

from __future__ import annotations

import math

from torch import Tensor

from robusteval.contracts.certificates.certifier import CERTIFIED_NORMS, BoundWork, Certifier, Counted, Proof
from robusteval.contracts.certificates.graph import Graph, graph_of
from robusteval.contracts.params import make
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.suite.options import Certify
from robusteval.engine.suite.suite import Suite
from robusteval.errors import PluginError
from robusteval.foreign import foreign
from robusteval.ops import norm_named

RATE = 4e9  # multiplications that a second of a suite stands for; one thread of an EPYC does 2.5e9 to 8e9 a second
_ROWS = 1e-3  # seconds that rows take which say why there is nothing
UNSAID = BoundWork(0.0, math.inf)  # of a certifier that counts nothing: as many bounds as there are halvings


def limit_of(settings: Certify) -> float:
    """Multiplications for one sample and norm, all certifiers together."""
    return settings.seconds * RATE


def certified_norms(settings: Certify, norms: tuple[str, ...]) -> tuple[str, ...]:
    """The norms in which certificates are looked for; none where the suite asks for no samples."""
    wanted = settings.norms or norms
    return tuple(norm for norm in wanted if norm in CERTIFIED_NORMS) if settings.samples else ()


def work_of(certifier: Certifier, graph: Graph, norm: str) -> BoundWork:
    """What a certifier says that its bounds take; UNSAID where it says nothing, or what is no work. Raises what it
    raises."""
    if not isinstance(certifier, Counted):
        return UNSAID
    with foreign():
        least, most = certifier.work(graph, norm_named(norm))
    said = BoundWork(float(least), float(most))
    return said if 0 <= said.least < math.inf and said.most >= said.least else UNSAID


def spent_of(proof: Proof, said: BoundWork, count: int) -> Tensor:
    """What the bounds of so many images took, [B]: as the certifier counted it, else the least that it says."""
    counted = proof.work
    if counted is None or counted.shape != (count,):
        return proof.margin.new_full((count,), said.least).double().cpu()
    return counted.double().cpu().nan_to_num(nan=said.least).clamp_min(said.least)


def too_dear(said: BoundWork, settings: Certify) -> str:
    """Why a certifier is not asked at all; empty where it is."""
    if said.least <= limit_of(settings):
        return ""
    return (
        f"the cost does not allow it: one bound of one image takes {said.least:.2g} multiplications or more, which "
        f"count as {said.least / RATE:.2g} s, and the suite has {settings.seconds:g} s for an image"
    )


def foretold(suite: Suite, catalogue: Catalogue, model: object, samples: int) -> float:
    """About how many seconds the certificates of so many samples take at most, from the model's graph."""
    settings = suite.certify
    norms, count = certified_norms(settings, suite.norms), min(settings.samples, samples)
    if not norms or not count:
        return 0.0
    try:
        with foreign():
            graph = graph_of(model)
    except Exception:  # noqa: BLE001 - of a model without a graph the rows will say why
        return _ROWS
    return _ROWS + count * sum(_for_one(settings, catalogue, graph, norm) for norm in norms) / RATE


def _for_one(settings: Certify, catalogue: Catalogue, graph: Graph, norm: str) -> float:
    """Multiplications for one sample in one norm, at most."""
    total = 0.0
    for name in settings.certifiers:
        try:
            plugin = catalogue.entry("certifier", name).plugin
            said = work_of(make(plugin, {}, name), graph, norm) if norm in plugin.info.norms else BoundWork(0.0, 0.0)
        except PluginError:
            raise
        except Exception:  # noqa: BLE001, S112 - a plugin may raise anything; its rows will say what
            continue
        if not too_dear(said, settings):
            total += said.most * (settings.halvings + 1)
    return min(total, limit_of(settings))


def fair(left: Tensor, asks: int, said: BoundWork) -> Tensor:
    """What one of so many bounds still to come may take, [B], of what is left of the limit."""
    return (left / max(asks, 1)).clamp_min(said.least)
