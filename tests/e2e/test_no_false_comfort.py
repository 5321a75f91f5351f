"""No false comfort: of random small nets of every rung of the ladder, none is said to hold without a gradient that was
followed, and nobody who passes gradients straight through its steps does better than the suite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import robusteval
from robusteval.assessment.gates.every_norm import gate_met
from robusteval.record.run import Record
from tests.e2e.rungs import KINDS, Net, make
from tests.sure import sure

EPS = (0.01, 0.02, 0.04, 0.08, 0.15, 0.3)
SUITE = """
name = "comfort"
version = "1"
norms = ["linf"]
probe_samples = 0
[[attack]]
plugin = "pgd"
params = { steps = 20 }
search = 5
[[attack]]
plugin = "fmn"
params = { steps = 60 }
[[attack]]
plugin = "square"
params = { queries = 150 }
search = 3
[[attack]]
plugin = "hopskipjump"
params = { queries = 1500 }
when = "no-gradients"
[[cascade]]
name = "both"
eps = { linf = [0.05] }
[[cascade.member]]
plugin = "pgd"
[[cascade.member]]
plugin = "square"
params = { queries = 100 }
"""
BLACK = """
name = "black"
version = "1"
norms = ["linf"]
probe_samples = 0
[[attack]]
plugin = "square"
params = { queries = 50 }
search = 2
"""


def evaluate(net: Net, folder: Path, toml: str = SUITE) -> Record:
    (folder / "net.onnx").write_bytes(net.blob)
    (folder / "suite.toml").write_text(toml)
    return robusteval.evaluate(folder / "net.onnx", (net.x, net.y), str(folder / "suite.toml"), out=folder / "run")


def followed(record: Record, norm: str) -> bool:
    """Whether some finished attack on the bare model got mostly gradients that were of use: from the columns alone, by
    no rule of the product's."""
    cells = [cell for cell in record.cells if (cell.status, cell.defense, cell.norm) == ("done", "none", norm)]
    asked = [
        (sum(cell.backwards), cell.zero_gradients + cell.bad_gradients) for cell in cells if cell.needs == "gradient"
    ]
    return any(count > 0 and useless <= count / 2 for count, useless in asked)


def comforting(record: Record) -> list[str]:
    """What a record says that it must not: conclusive without a followed gradient in each norm, or a figure without its
    mark."""
    verdict = sure(record.verdict)
    missing = [norm for norm in record.suite.norms if not followed(record, norm)]
    if not missing:
        return []
    wrong = [f"conclusive without gradients in {missing}"] if verdict.status == "conclusive" else []
    wrong += [f"grade {verdict.grade}"] if verdict.grade not in ("D", "F") else []
    wrong += ["the gate opens"] if gate_met(record, 0.0) else []
    wrong += [] if verdict.sentences[0].startswith("INCONCLUSIVE: ") else [f"first of all: {verdict.sentences[0]}"]
    figures = [
        sentence
        for sentence in verdict.sentences
        if "half of the samples" in sentence or "survived" in sentence or "at most" in sentence
    ]
    return wrong + [figure for figure in figures if not figure.startswith("An upper bound")]


def straight_through(net: Net, eps: float, steps: int = 40, seed: int = 0) -> np.ndarray:
    """Which samples PGD on the passed-through scores takes within Linf eps, judged by ONNX Runtime as it goes: bool
    [N]."""
    rng = np.random.default_rng(seed)
    x0, y = torch.from_numpy(net.x), torch.from_numpy(net.y)
    lost = np.zeros(len(y), dtype=bool)
    for start in range(2):
        noise = (
            torch.from_numpy(rng.uniform(-eps, eps, net.x.shape).astype(np.float32)) if start else torch.zeros_like(x0)
        )
        x = (x0 + noise).clamp(0, 1)
        for step in range(steps):
            leaf = x.clone().requires_grad_(True)
            scores = sure(net.through)(leaf)
            own = scores.gather(1, y[:, None])[:, 0]
            best = scores.scatter(1, y[:, None], -torch.inf).amax(1)
            (grad,) = torch.autograd.grad((best - own).sum(), leaf)
            size = eps * (0.25 if step < steps // 2 else 0.05)
            x = torch.minimum(torch.maximum(x + size * grad.sign(), x0 - eps), x0 + eps).clamp(0, 1)
            if step % 4 == 3:
                lost |= net.answers(x.numpy()) != net.y
    return lost


def beaten(net: Net, record: Record, norm: str = "linf") -> dict[float, float]:
    """By how many points of accuracy the suite's worst case lies above straight-through PGD, at each budget."""
    columns = [cell.distance for cell in record.done(norm=norm, knowledge="none")]
    nearest = [min((value for value in row if value is not None), default=np.inf) for row in zip(*columns, strict=True)]
    held = {eps: sum(value > eps * (1 + 1e-6) for value in nearest) for eps in EPS}
    return {eps: 100 * (held[eps] - int((~straight_through(net, eps)).sum())) / len(nearest) for eps in EPS}


def check(kind: str, seed: int, folder: Path) -> None:
    net = make(kind, seed)
    record = evaluate(net, folder)
    assert comforting(record) == []
    assert not KINDS[kind].none or sure(record.verdict).status == "inconclusive"
    if net.through is not None:
        assert max(beaten(net, record).values()) <= 5, (record.model.gradients, record.model.rung)


@pytest.mark.parametrize("kind", KINDS)
def test_no_net_of_any_rung_is_comforted(kind: str, tmp_path: Path) -> None:
    check(kind, 0, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        pytest.param(kind, seed, marks=() if seed == 1 + place % 2 else pytest.mark.long)
        for place, kind in enumerate(KINDS)
        for seed in (1, 2, 3, 4, 5)
    ],
)
def test_no_other_net_of_any_rung_is_comforted(kind: str, seed: int, tmp_path: Path) -> None:
    check(kind, seed, tmp_path)


@pytest.mark.parametrize("kind", ["exact", "sign", "tree"])
def test_a_suite_without_gradients_concludes_nothing(kind: str, tmp_path: Path) -> None:
    record = evaluate(make(kind, 0), tmp_path, BLACK)
    assert not followed(record, "linf")
    assert comforting(record) == []
    assert sure(record.verdict).status == "inconclusive"


def test_the_oracle_sees_comfort(tmp_path: Path) -> None:
    """What is asked above can fail: a record that was talked up is noticed."""
    record = evaluate(make("tree", 0), tmp_path, BLACK)
    sure(record.verdict).status, sure(record.verdict).grade = "conclusive", "A"
    sure(record.verdict).sentences = [sentence.split(": ", 1)[-1] for sentence in sure(record.verdict).sentences]
    assert len(comforting(record)) > 2
