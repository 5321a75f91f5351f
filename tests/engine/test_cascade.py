"""Cascades: attacks in order at one budget, each on what the ones before it left."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from robusteval.contracts.samples import Samples
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.run import runner
from robusteval.engine.suite.suite import parse
from robusteval.errors import SuiteError
from robusteval.record.run import Record
from robusteval.report import render
from robusteval.verify.run import verify
from tests.engine import toys
from tests.sure import number, sure

SUITE = """
name = "two"
version = "1"
norms = ["l2"]
probe_samples = 0
[[cascade]]
name = "pair"
eps = { l2 = [0.03, 0.06] }
[[cascade.member]]
plugin = "noise"
[[cascade.member]]
plugin = "pgd"
params = { loss = "nearest" }
[[cascade.member]]
plugin = "deepfool"
"""


def run(tmp_path: Path, suite: str = SUITE, count: int = 60) -> tuple[toys.Linear, Samples, Record]:
    model, catalogue = toys.linear(), toys.catalogue()
    data = toys.samples(model, count)
    return model, data, runner.run(runner.Job(model, data, parse(suite, "test", catalogue), catalogue, tmp_path))


def test_exactly_the_samples_within_the_budget_are_lost(tmp_path: Path) -> None:
    model, data, record = run(tmp_path)
    smallest = model.double().smallest(data.x.double(), data.y, 2)
    assert [cell.attack for cell in record.cells] == ["pair@0.03", "pair@0.06"]
    for cell in record.done():
        eps = sure(cell.eps)
        lost = torch.tensor([value is not None for value in cell.distance])
        assert (cell.threat, cell.family) == ("budget", "cascade")
        assert 0 < lost.sum() < len(data)
        assert not (lost & (smallest > eps)).any()
        assert lost[smallest < 0.95 * eps].all()
        assert all(value is None or value <= eps * (1 + 1e-6) for value in cell.distance)
        assert [name is not None for name in cell.member] == lost.tolist()
        assert set(cell.member) <= {"noise", "pgd", "deepfool", None}
    assert record.plugins


def test_samples_that_an_earlier_attack_broke_are_asked_no_more(tmp_path: Path) -> None:
    _, _, record = run(tmp_path)
    for cell in record.done():
        for name, passes, back in zip(cell.member, cell.forwards, cell.backwards, strict=True):
            assert name != "noise" or back == 0
            assert name is None or passes > 0


def test_the_report_quotes_the_share_with_its_interval(tmp_path: Path) -> None:
    _, _, record = run(tmp_path)
    (table,) = [result for result in record.results if result.metric == "cascades"]
    for row, cell in zip(table.rows, record.done(), strict=True):
        kept = sum(value is None for value in cell.distance) / len(cell.distance)
        assert row[4] == pytest.approx(kept)
        assert number(row[5]) < kept < number(row[6])
    assert any("pair leaves at most" in sentence for sentence in sure(record.verdict).sentences)
    said = [f"{name} ({name} {discover().get('attack', name).info.version})" for name in ("noise", "pgd", "deepfool")]
    assert f"{', then '.join(said)}; parameters in record.json" in render(record)
    assert verify(record, tmp_path, None).failures == []


def test_a_cascade_without_one_of_its_attacks_runs_the_others_under_another_name(tmp_path: Path) -> None:
    _, _, whole = run(tmp_path / "whole")
    model, catalogue = toys.linear(), toys.catalogue()
    model.info = dataclasses.replace(model.info, gradients="none", gradients_reason="forced")
    data = toys.samples(model, 60)
    record = runner.run(runner.Job(model, data, parse(SUITE, "test", catalogue), catalogue, tmp_path / "short"))
    assert [cell.attack for cell in record.done()] == [f"pair without pgd, deepfool@{eps}" for eps in (0.03, 0.06)]
    for cell, other in zip(record.done(), whole.done(), strict=True):
        assert list(cell.params) == ["noise"]
        assert cell.needs == "decision"
        assert sorted(cell.without) == ["deepfool", "pgd"]
        assert all("needs gradients" in reason for reason in cell.without.values())
        assert (cell.sha256 != other.sha256, other.without) == (True, {})
        assert set(cell.member) == {None, "noise"} or set(cell.member) == {None}
    (told,) = [finding for finding in record.findings if finding.code == "cascade-shortened"]
    assert told.severity == "warning"
    assert "pair without pgd, deepfool" in told.sentence
    said = [sentence for sentence in sure(record.verdict).sentences if "leaves at most" in sentence]
    assert said
    assert all(sentence.startswith("An upper bound from black-box attacks only: within L2") for sentence in said)
    assert sure(record.verdict).sentences[0].startswith("INCONCLUSIVE: No attack with working gradients was made in L2")
    assert "cascade-shortened" not in {finding.code for finding in whole.findings}


def test_a_cascade_of_which_nothing_can_run_is_excluded(tmp_path: Path) -> None:
    only = SUITE.replace('[[cascade.member]]\nplugin = "noise"\n', "").replace(
        '[[cascade.member]]\nplugin = "deepfool"\n', ""
    )
    _, _, record = run(tmp_path, only.replace("l2 =", "l0 =").replace("0.03, 0.06", "3"))
    assert {cell.status for cell in record.cells} == {"excluded"}
    assert "l0" in record.cells[0].reason
    assert sure(record.verdict).grade == "F"


def test_names_are_checked() -> None:
    catalogue = toys.catalogue()
    with pytest.raises(SuiteError, match="no attack"):
        parse('name = "a"\nversion = "1"\nnorms = ["l2"]\n', "test", catalogue)
    with pytest.raises(SuiteError, match="same name"):
        parse(SUITE + '[[attack]]\nplugin = "pgd"\nname = "pair"\n', "test", catalogue)


def test_the_published_composition_is_what_carries_the_published_name() -> None:
    from robusteval.engine.suite.suite import read

    suite = read("autoattack", toys.catalogue())
    (cascade,) = suite.cascades
    assert [
        (m.plugin, m.params.get("loss"), m.params.get("steps"), m.params.get("queries")) for m in cascade.members
    ] == [
        ("apgd", "ce", 100, None),
        ("apgd", "targeted-dlr", 100, None),
        ("fab", None, 100, None),
        ("square", None, None, 5000),
    ]
