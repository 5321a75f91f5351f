"""The bracket: proved, unknown and broken shares sum to one, and nothing that was not measured is good news."""

from __future__ import annotations

import numpy as np
import pytest

from robusteval.assessment.checks import run_checks
from robusteval.metrics._common.bracket import contradicted, edges_of, lower_edge, shares_at
from robusteval.metrics.bracket import Bracket
from robusteval.record.run import Certificate, Record
from robusteval.testing import full_record
from tests.sure import sure


def certified(radius: list[float], norm: str = "l2", certifier: str = "crown", status: str = "done") -> Certificate:
    row = Certificate(certifier, "1", {}, norm, "done", samples=list(range(len(radius))), radius=radius, limit=9.0)
    row.status = status  # type: ignore[assignment]  # one of the literals
    return row


@pytest.fixture
def record() -> Record:
    """Four samples; the bare model's worst case in L2 is known."""
    record = full_record()
    record.certificates = [certified([0.0, 0.0, 0.0, 0.0])]
    return record


def test_the_edges_are_the_best_of_all_certifiers(record: Record) -> None:
    broken = sure(edges_of(record, "l2")).broken
    assert (broken >= 0).all()
    right = broken > 0
    low = np.where(np.isfinite(broken), broken, 4.0) / 4
    record.certificates = [certified((low / 2).tolist()), certified(low.tolist(), certifier="other")]
    edges = sure(edges_of(record, "l2"))
    assert np.allclose(edges.proved, np.where(right, low, 0.0))
    assert set(edges.by) <= {"other", ""}
    assert not contradicted(edges).any()
    distances, shares = lower_edge(record, "l2")
    assert (np.diff(distances) > 0).all()
    assert (np.diff(shares) < 0).all()
    assert shares[0] == right.mean()
    for eps in (0.0, *distances.tolist(), 1e9):
        found = shares_at(edges, eps)
        assert found.proved + found.unknown + found.broken == pytest.approx(1.0)
        assert min(found.proved, found.broken) >= 0
        assert found.unknown >= -1e-12
        assert found.broken == (broken <= eps).mean()


def test_what_did_not_finish_proves_nothing(record: Record) -> None:
    record.certificates = [certified([9.0] * 4, status="failed"), certified([9.0] * 4, norm="l1")]
    assert edges_of(record, "l2") is None
    assert edges_of(record, "l1") is None, "no attack was made there"
    assert lower_edge(record, "l2")[0].size == 0
    assert list(Bracket().compute(record)) == []


@pytest.mark.parametrize(("share", "outcome"), [(0.999, "pass"), (1.0, "fail"), (1.5, "fail")])
def test_a_win_in_a_proved_ball_fails_the_check_on_either_side_of_its_edge(
    record: Record, share: float, outcome: str
) -> None:
    broken = sure(edges_of(record, "l2")).broken
    hit = int(np.flatnonzero((broken > 0) & np.isfinite(broken))[0])
    radius = [0.0] * 4
    radius[hit] = float(broken[hit]) * share
    record.certificates = [certified(radius)]
    checks, findings = run_checks(record)
    assert next(check for check in checks if check.id == "certificates").outcome == outcome
    codes = [finding.code for finding in findings]
    assert ("certificate-broken" in codes) == (outcome == "fail")
    if outcome == "fail":
        assert shares_at(sure(edges_of(record, "l2")), 1e-9).proved == 0
        assert lower_edge(record, "l2")[0].size == 0
        curves = next(row for row in Bracket().compute(record) if row.name == "lower-edge/l2").curves
        certified_curve = next(curve for curve in curves if curve.tags["role"] == "certified")
        assert max(point.y for point in certified_curve.points) == 0, "what an attack refuted is drawn nowhere"


def test_records_without_certificates_have_the_checks_that_they_had() -> None:
    checks, _ = run_checks(full_record())
    assert "certificates" not in [check.id for check in checks]


def test_the_metric_tells_each_budget_and_the_tightest_samples(record: Record) -> None:
    broken = sure(edges_of(record, "l2")).broken
    record.certificates = [certified(np.where(np.isfinite(broken), broken / 2, 1.0).tolist())]
    results = {result.name: result for result in Bracket().compute(record)}
    table = results["bracket/l2"]
    assert all(row[1] + row[4] + row[5] == pytest.approx(1.0) for row in table.rows)  # type: ignore[operator]  # cells are scalars
    assert {curve.tags["role"] for curve in results["lower-edge/l2"].curves} == {"certified", "worst"}
    assert results["brackets/l2"].rows
