"""The work that bounds take: said beforehand from the graph, counted, and kept within what a statement allows."""

from __future__ import annotations

import pytest
import torch
from robusteval_certifiers.alpha_crown import AlphaCrown
from robusteval_certifiers.crown import Crown
from robusteval_certifiers.ibp import Ibp

from robusteval.api import Norm
from robusteval.testing.certificates.graphs import BODIES, network, statement

CERTIFIERS = (Crown(), AlphaCrown(steps=6, inner=2))


@pytest.mark.parametrize("certifier", CERTIFIERS, ids=lambda certifier: certifier.info.name)
@pytest.mark.parametrize("body", BODIES)
def test_work_is_counted_and_kept_within_what_is_allowed(body: str, certifier: Crown | AlphaCrown) -> None:
    rng = torch.Generator().manual_seed(BODIES.index(body))
    graph = network(body, "relu", rng)
    norm: Norm = "l2"
    asked, said = statement(graph, norm, 0.3, rng, images=4), certifier.work(graph, norm)
    whole = certifier.bound(asked)
    assert whole.work is not None
    assert ((said.least <= whole.work) & (whole.work <= said.most)).all()
    for times in (1.0, 2.0, 3.7, 9.0, 1e4):
        allowed = torch.full((4,), times * said.least, dtype=torch.float64)
        allowed[1] = said.least
        found = certifier.bound(asked.with_work(allowed))
        assert found.work is not None
        assert (found.work <= allowed * (1 + 1e-12)).all(), times
        assert found.margin[1] <= whole.margin[1] + 1e-9
    assert torch.allclose(found.margin[[0, 2, 3]], whole.margin[[0, 2, 3]], rtol=1e-6), "so much is no limit"


def test_more_work_proves_more_and_each_image_has_its_own() -> None:
    rng = torch.Generator().manual_seed(1)
    gained = 0
    for body in BODIES:
        graph = network(body, "relu", rng)
        asked, least = statement(graph, "linf", 0.15, rng, images=3), Crown().work(graph, "linf").least
        allowed = torch.tensor([least, 3 * least, 20 * least], dtype=torch.float64)
        together = Crown().bound(asked.with_work(allowed))
        for row in range(3):
            some = torch.tensor([row])
            alone = Crown().bound(asked[some].with_work(allowed[some]))
            assert torch.allclose(alone.margin, together.margin[some], rtol=1e-9)
            assert torch.equal(alone.work, together.work[some])  # type: ignore[arg-type, index]  # crown counts
        bounds = [Crown().bound(asked.with_work(torch.full((3,), least * k).double())).margin for k in (1, 50)]
        assert (bounds[1] >= bounds[0] - 1e-9).all()
        gained += int((bounds[1] > bounds[0] + 1e-6).sum())
    assert gained > 1


def test_intervals_cost_the_same_whatever_they_find() -> None:
    graph = network("pooled", "tanh", torch.Generator().manual_seed(0))
    said = Ibp().work(graph, "linf")
    assert said.least == said.most > 0
