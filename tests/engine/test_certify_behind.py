"""Certificates of defended models: of those that say what they do as steps of a graph, and of no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robusteval_defenses import bit_depth

from robusteval.api import GraphNode
from robusteval.contracts.certificates.graph import NotCoveredError
from robusteval.contracts.certificates.stacked import stacked
from robusteval.contracts.classifier import LoadOptions
from robusteval.loaders.onnx.classifier import load_onnx
from robusteval.metrics._common.bracket import certified_pipelines, edges_of
from robusteval.record import store
from robusteval.record.run import Record
from robusteval.report.sections.bracket import section
from robusteval.verify.proofs.check import BEHIND
from robusteval.verify.run import verify
from tests.engine.certified import answered, made, small
from tests.sure import sure

SUITE = """
name = "behind"
version = "1"
norms = ["linf"]
probe_samples = 0
certify = { samples = 5, seconds = 60, halvings = 4, certifiers = ["ibp", "crown"] }
[[attack]]
plugin = "pgd"
params = { steps = 8 }
search = 4
[[defense]]
plugin = "bit-depth"
params = { bits = 5 }
"""
OTHERS = """
[[defense]]
plugin = "mirror"
[[defense]]
plugin = "blur"
[[defense]]
plugin = "median"
[[defense]]
plugin = "gaussian-noise"
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def data(net: Path) -> tuple[np.ndarray, np.ndarray]:
    return answered(net)


@pytest.fixture(scope="module")
def folder(net: Path, data: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    made(net, data, folder, suite=SUITE + OTHERS)
    return folder / "run"


@pytest.fixture(scope="module")
def record(folder: Path) -> Record:
    return store.load(folder)


def test_what_is_covered_is_proved_and_what_is_not_says_why(record: Record) -> None:
    rows = {(row.defense, row.certifier): row for row in record.certificates_behind}
    assert [row.status for row in record.certificates] == ["done", "done"]
    for defense in ("bit-depth", "mirror", "blur"):
        row = rows[defense, "crown"]
        assert (row.status, row.samples) == ("done", list(range(5)))
        assert sum(value > 0 for value in row.radius) >= 2, defense
        edges = sure(edges_of(record, "linf", defense))
        assert (edges.proved <= edges.broken).all()
    assert "does not say what it does" in rows["median", "crown"].reason
    assert "which are drawn" in rows["gaussian-noise", "ibp"].reason
    assert {rows[name, "ibp"].status for name in ("median", "gaussian-noise")} == {"excluded"}
    assert certified_pipelines(record)[0] == ("none", "linf")
    said = [finding.sentence for finding in record.findings if finding.code == "no-certificate"]
    assert len(said) == 2, "one a defence"
    check = next(check for check in record.checks if check.id == "certificates")
    assert check.outcome == "pass"


def test_the_mirror_has_the_radii_of_the_mirrored_image(record: Record, net: Path, data: Any, tmp_path: Path) -> None:
    flipped = made(net, (data[0][..., ::-1].copy(), data[1]), tmp_path, suite=SUITE)
    plain = next(row for row in flipped.certificates if row.certifier == "ibp")
    behind = next(row for row in record.certificates_behind if (row.defense, row.certifier) == ("mirror", "ibp"))
    assert any(value > 0 for value in behind.radius)
    for own, other in zip(behind.radius, plain.radius, strict=True):
        assert (own > 0) == (other > 0)


def test_report_record_and_verify_name_what_is_proved(record: Record, folder: Path, net: Path) -> None:
    shown = sure(section(record))
    assert {"Behind bit-depth, L\u221e", "Behind mirror, L\u221e"} <= {part.title for part in shown.norms}
    assert sum("Behind median" in reason for reason in shown.reasons) == 1
    found = verify(record, folder, net)
    assert found.failures == []
    claims = sum(value > 0 for row in record.certificates_behind for value in row.radius)
    assert found.left[BEHIND] == claims > 0
    row = next(row for row in record.certificates_behind if row.status == "done")
    place = next(place for place, value in enumerate(row.radius) if value > 0)
    pipeline, label = record.pipeline(row.defense), record.data.labels[place]
    changed = [(label + 1) % 3 if at == place else answer for at, answer in enumerate(pipeline.prediction)]
    wrong = replace(
        record, pipelines=[replace(p, prediction=changed) if p is pipeline else p for p in record.pipelines]
    )
    assert any("wrong when clean" in sentence for sentence in verify(wrong, folder, net).failures)


def test_a_win_behind_the_defence_inside_a_ball_is_told(record: Record) -> None:
    from robusteval.assessment.checks import certificates

    row = next(row for row in record.certificates_behind if row.status == "done" and max(row.radius) > 0)
    raised = replace(row, radius=[10.0 * value for value in row.radius])
    others = [raised if other is row else other for other in record.certificates_behind]
    (spec,) = certificates.CERTIFIED
    found = [measured.finding for measured in spec.measure(replace(record, certificates_behind=others))]
    sentences = [finding.sentence for finding in found if finding is not None]
    assert len(sentences) == 1
    assert f"behind {row.defense}" in sentences[0]


def test_steps_that_are_not_what_the_defence_does_prove_nothing(
    net: Path, data: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many levels again: each pixel may lie a quarter of a level elsewhere."""
    steps = bit_depth._steps
    monkeypatch.setattr(bit_depth, "_steps", lambda info, bits: steps(info, bits + 1))
    rows = made(net, data, tmp_path, suite=SUITE).certificates_behind
    assert {row.status for row in rows} == {"excluded"}
    assert all("do not answer as its pipeline does" in row.reason for row in rows)


def test_steps_of_another_shape_are_refused(net: Path) -> None:
    graph = load_onnx(net, LoadOptions()).graph()
    with pytest.raises(NotCoveredError, match="where the model takes"):
        stacked([GraphNode("input", (), (1, 5, 5))], graph)
