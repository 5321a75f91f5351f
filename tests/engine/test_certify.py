"""Certificates in a run: below what attacks broke, stored and taken up again, and refuted where they are wrong."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from robusteval_certifiers.crown import Crown
from safetensors.numpy import load_file
from torch import nn

from robusteval.api import Certifier, CertifierInfo, Proof, Statement
from robusteval.contracts.classifier import LoadOptions
from robusteval.engine.catalogue.catalogue import Catalogue, Entry, discover
from robusteval.engine.certify import certificates
from robusteval.engine.certify.stored_graph import packed
from robusteval.engine.certify.work import RATE
from robusteval.loaders.onnx.classifier import load_onnx
from robusteval.metrics._common.bracket import edges_of
from robusteval.record import store
from robusteval.record.run import Record
from robusteval.report.sections.bracket import section
from robusteval.verify.proofs.check import LEFT, UNREAD
from robusteval.verify.run import verify
from tests.engine.certified import SUITE, answered, made, small
from tests.loaders.exports import export
from tests.sure import sure


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def data(net: Path) -> tuple[np.ndarray, np.ndarray]:
    x, y = answered(net)
    y[2] = (y[2] + 1) % 3  # wrong when clean
    return x, y


@pytest.fixture(scope="module")
def record(net: Path, data: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Record:
    return made(net, data, tmp_path_factory.mktemp("run"))


def test_there_is_a_row_for_each_norm_and_certifier(record: Record) -> None:
    assert [(row.certifier, row.norm, row.status) for row in record.certificates] == [
        ("ibp", "linf", "done"), ("crown", "linf", "done"), ("ibp", "l2", "done"), ("crown", "l2", "done"),
    ]  # fmt: skip
    for row in record.certificates:
        assert row.samples == list(range(6))
        assert row.radius[2] == 0, "it is wrong when clean"
        assert sum(value > 0 for value in row.radius) >= 4
    for first, second in ((0, 1), (2, 3)):
        pairs = zip(record.certificates[first].radius, record.certificates[second].radius, strict=True)
        assert all(tight >= loose for loose, tight in pairs)


def test_no_proof_reaches_a_win(record: Record) -> None:
    for norm in ("linf", "l2"):
        edges = edges_of(record, norm)
        assert edges is not None
        assert (edges.proved < edges.broken).sum() == 5
    check = next(check for check in record.checks if check.id == "certificates")
    assert (check.outcome, check.value) == ("pass", 0.0)
    assert "F too" in sure(record.verdict).grade_reason


def test_what_was_made_is_not_made_again(
    net: Path, data: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(net, data, tmp_path)
    asked: list[int] = []
    search = certificates._search

    def counted(*arguments: Any) -> Any:
        asked.append(1)
        return search(*arguments)

    monkeypatch.setattr(certificates, "_search", counted)
    again = made(net, data, tmp_path)
    assert (again.certificates, asked) == (first.certificates, [])
    damaged = next((tmp_path / "run" / "units").glob("*crown*linf*"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    assert made(net, data, tmp_path).certificates == first.certificates
    assert len(asked) == 1


@dataclass(frozen=True)
class Liar:
    """Proves whatever it is asked."""

    info: ClassVar[CertifierInfo] = CertifierInfo("test.liar", "1", ("linf",), "Lies.", "Nobody, 2026")

    def bound(self, statement: Statement) -> Proof:
        return Proof(torch.ones_like(statement.eps))


@dataclass(frozen=True)
class Fails:
    info: ClassVar[CertifierInfo] = CertifierInfo("test.fails", "1", ("linf",), "Fails.", "Nobody, 2026")

    def bound(self, statement: Statement) -> Proof:
        raise ValueError("no bound today")


def with_others(*plugins: type[Certifier]) -> Catalogue:
    rows = [Entry("certifier", plugin.info.name, "1", "test", "test", plugin) for plugin in plugins]
    return Catalogue((*discover().entries, *rows))


def test_a_wrong_proof_is_found_out_and_graded(net: Path, data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    suite = SUITE.replace('"ibp", "crown"', '"crown", "test.liar", "test.fails"')
    record = made(net, data, tmp_path, with_others(Liar, Fails), suite)
    assert {(row.certifier, row.norm): row.status for row in record.certificates} == {
        ("crown", "linf"): "done", ("test.liar", "linf"): "done", ("test.fails", "linf"): "failed",
        ("crown", "l2"): "done", ("test.liar", "l2"): "excluded", ("test.fails", "l2"): "excluded",
    }  # fmt: skip
    finding = next(finding for finding in record.findings if finding.code == "certificate-broken")
    assert finding.severity == "alarm"
    assert "test.liar" in finding.sentence
    assert "sample 0" in finding.sentence
    assert record.verdict is not None
    assert (record.verdict.grade, record.verdict.status) == ("F", "inconclusive")


def test_without_a_graph_the_reason_is_told(data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    odd = nn.Sequential(nn.Flatten(), nn.Linear(36, 10), nn.ELU(), nn.Linear(10, 3))
    record = made(export(odd, tmp_path / "odd.onnx", (1, 6, 6)), data, tmp_path)
    assert {row.status for row in record.certificates} == {"excluded"}
    assert all("no certificate, because of node" in row.reason and "(Elu)" in row.reason for row in record.certificates)
    check = next(check for check in record.checks if check.id == "certificates")
    assert check.outcome == "not-applicable"


def limited(net: Path, bounds: float, certifiers: str = '"ibp", "crown"') -> str:
    """The suite with so much work for an image and norm as this many of crown's cheapest bounds take."""
    least = Crown().work(load_onnx(net, LoadOptions()).graph(), "linf").least
    seconds = f"seconds = {bounds * least / RATE:.17f}"
    return SUITE.replace("seconds = 60", seconds).replace('"ibp", "crown"', certifiers)


def test_work_ends_a_search_and_what_is_proved_is_kept(
    net: Path, data: tuple[np.ndarray, np.ndarray], record: Record, tmp_path: Path
) -> None:
    short = made(net, data, tmp_path, suite=limited(net, 3.5, '"crown"'))
    for row in short.certificates:
        assert (row.status, row.reason, row.stopped) == ("done", "", 5), "all that are right when clean"
        full = next(other for other in record.certificates if (other.certifier, other.norm) == ("crown", row.norm))
        assert sum(value > 0 for value in row.radius) >= 3, "three bounds find something"
        assert all(less <= more * (1 + 1e-12) for less, more in zip(row.radius, full.radius, strict=True))
        assert row.radius != full.radius
    assert all(row.stopped == 0 for row in record.certificates)


def test_where_one_bound_costs_too_much_nobody_is_asked_and_the_reason_is_told(
    net: Path, data: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("asked all the same")

    monkeypatch.setattr(Crown, "bound", never)
    record = made(net, data, tmp_path, suite=limited(net, 0.99))
    rows = {row.certifier: row for row in record.certificates if row.norm == "linf"}
    assert (rows["ibp"].status, rows["crown"].status) == ("done", "excluded")
    assert "the cost does not allow it" in rows["crown"].reason
    sentence = next(finding.sentence for finding in record.findings if finding.code == "no-certificate")
    assert rows["crown"].reason in sentence
    bracket = section(record)
    assert bracket is not None
    assert any(rows["crown"].reason in reason for reason in bracket.reasons)


def test_no_clock_has_a_part_in_it(
    net: Path, data: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clocks that jump by hours while the search goes on, and a run that begins again in its middle."""
    suite = limited(net, 7.5)
    first = made(net, data, tmp_path, suite=suite).certificates
    assert any(row.stopped for row in first)
    search, hours = certificates._search, iter(range(10**6))

    def jumping(*arguments: Any) -> Any:
        with monkeypatch.context() as patch:
            for clock in ("perf_counter", "monotonic", "time", "process_time", "thread_time"):
                patch.setattr(time, clock, lambda: 3600.0 * next(hours))
            return search(*arguments)

    monkeypatch.setattr(certificates, "_search", jumping)
    for unit in (tmp_path / "run" / "units").glob("*crown*"):
        unit.unlink()
    assert made(net, data, tmp_path, suite=suite).certificates == first, "what ibp had spent is remembered"
    (tmp_path / "other").mkdir()
    assert made(net, data, tmp_path / "other", suite=suite).certificates == first


def test_verify_proves_the_largest_balls_again_and_sees_a_radius_that_was_raised(
    net: Path, data: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    made(net, data, tmp_path)
    record, folder = store.load(tmp_path / "run"), tmp_path / "run"
    fine = verify(record, folder, net)
    assert fine.failures == []
    row = next(row for row in record.certificates if (row.certifier, row.norm) == ("crown", "linf"))
    place = int(np.argmax(row.radius))
    row.radius[place] *= 1.3
    raised = verify(record, folder, net)
    assert any(f"certificate of sample {place} in linf" in sentence for sentence in raised.failures)
    row.radius[place] /= 1.3
    row.radius[2] = 1e-6  # wrong when clean: no ball holds
    assert any("wrong when clean" in sentence for sentence in verify(record, folder, net).failures)


def test_verify_sees_another_graph(net: Path, data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    made(net, data, tmp_path)
    record, file = store.load(tmp_path / "run"), tmp_path / "run" / "proofs.safetensors"
    graph = load_onnx(net, LoadOptions()).graph()
    nodes = list(graph.nodes)
    nodes[-1] = replace(nodes[-1], tensors={**nodes[-1].tensors, "weight": nodes[-1].tensors["weight"] * 0.5})
    file.write_bytes(packed(replace(graph, nodes=tuple(nodes))))
    sure(record.proofs).sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert any("answers otherwise than the model" in sentence for sentence in verify(record, file.parent, net).failures)
    file.write_bytes(b"no graph")
    assert any("stored graph" in sentence for sentence in verify(record, file.parent, net).failures)


def test_what_only_slopes_prove_is_proved_again_with_them(data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """Behind a pool, whose maxima are taken apart on both sides."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 8), nn.ReLU())
        net = export(nn.Sequential(body, nn.Linear(8, 3)), tmp_path / "pool.onnx", (1, 6, 6))
    x = torch.from_numpy(data[0])
    labels = load_onnx(net, LoadOptions()).logits(x).argmax(1).numpy()
    asked = SUITE.replace('"ibp", "crown"', '"crown", "alpha-crown"').replace('"linf", "l2"', '"linf"')
    made(net, (data[0], labels), tmp_path, suite=asked)
    record, folder = store.load(tmp_path / "run"), tmp_path / "run"
    kept = {name.split(".")[3] for name in load_file(folder / "proofs.safetensors") if name.startswith("slopes.")}
    plain, row = record.certificates
    gained = [n for n in range(6) if row.radius[n] > plain.radius[n]]
    assert 1 <= len(kept) == min(3, len(gained))
    fine = verify(record, folder, net)
    assert fine.failures == []
    assert fine.left[LEFT] == sum(value > 0 for value in (*plain.radius, *row.radius)) - 3 - len(kept)
    sample = int(min(kept))
    row.radius[sample] *= 1.5
    raised = verify(record, folder, net)
    assert any(f"certificate of sample {sample} in linf" in sentence for sentence in raised.failures)


def test_activations_that_are_not_proved_again_are_counted(data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    net = export(
        nn.Sequential(nn.Flatten(), nn.Linear(36, 10), nn.GELU(), nn.Linear(10, 3)), tmp_path / "g.onnx", (1, 6, 6)
    )
    labels = load_onnx(net, LoadOptions()).logits(torch.from_numpy(data[0])).argmax(1).numpy()
    made(net, (data[0], labels), tmp_path)
    found = verify(store.load(tmp_path / "run"), tmp_path / "run", net)
    assert found.failures == []
    assert found.left[UNREAD] > 0
