"""Every registered defence on a file and on a module; certificates that no attack beats; the sources' figures of
defences."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from robusteval_attacks.bim import BIM
from robusteval_attacks.ddn import DDN
from robusteval_attacks.newtonfool import NewtonFool
from robusteval_attacks.pgd import PGD
from robusteval_defenses.lipschitz import Lipschitz
from robusteval_defenses.logit_odds import LogitOdds
from robusteval_defenses.randomized_smoothing import RandomizedSmoothing
from robusteval_published_claims.claims import MNIST
from torch import Tensor, nn

import robusteval
from robusteval.api import LoadOptions, Samples, load_model
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.suite.suite import names, read, text
from robusteval.metrics._common.statistics import roc
from robusteval.testing import pose, safe_labels
from tests.data import FOLDER, needs
from tests.sure import sure

ROOT = Path(__file__).parents[2]
CNN = ROOT / "examples" / "fashion-cnn.onnx"
CATALOGUE = {
    "adversarial-training", "distillation", "ibp", "label-embedding", "lipschitz", "hidden-space", "denoiser",
    "jumprelu", "jumprelu-random", "gaussian-noise", "blur", "median", "bit-depth", "jpeg", "shift", "rotate", "mirror",
    "randomized-smoothing", "gradient-masking", "logit-odds", "logit-odds-svm", "feature-squeezing", "confidence",
}  # fmt: skip
SHORT = {
    "adversarial-training": "epochs = 1, steps = 1",
    "ibp": "epochs = 4, batch = 16, eps = 0.01, rate = 0.008",
    "randomized-smoothing": "n = 200, votes = 5, steer = 2",
}
TRAINED = ("distillation", "label-embedding", "lipschitz", "hidden-space", "denoiser")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def registered() -> list[str]:
    return [entry.name for entry in discover().of("defense") if entry.distribution == "robusteval"]


def fashion(part: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    with np.load(ROOT / "robusteval" / "data" / "fashion_mnist.npz") as data:
        x, y = data[f"x_{part}"][:count], data[f"y_{part}"][:count]
    return x.astype(np.float32)[:, None] / 255, y.astype(np.int64)


def samples(part: str, count: int) -> Samples:
    x, y = fashion(part, count)
    return Samples(torch.from_numpy(x), torch.from_numpy(y))


class Normalized(nn.Module):
    """The example's network as a plain module, with the weights of its file."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Identity(),
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(1568, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )
        stored = {weight.name: numpy_helper.to_array(weight).copy() for weight in onnx.load(CNN).graph.initializer}
        self.net.load_state_dict({name: torch.from_numpy(stored[name]) for name in self.net.state_dict()})

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.net((x - 0.2860) / 0.3530)
        return answer


@pytest.mark.parametrize("kind", ["file", "module"])
def test_every_defence_runs_on_a_file_and_on_a_module(kind: str, tmp_path: Path) -> None:
    rows = [
        'name = "all"\nversion = "1"\nnorms = ["l2"]\nprobe_samples = 0\nstretches = [1.0]\nmetrics = ["detector-roc"]'
    ]
    rows.append('[[attack]]\nplugin = "ddn"\nparams = { steps = 4 }')
    for name in registered():
        short = SHORT.get(name, "epochs = 1" if name in TRAINED else "")
        rows.append(f'[[defense]]\nplugin = "{name}"\ndraws = 1\nparams = {{ {short} }}')
    (tmp_path / "all.toml").write_text("\n".join(rows))
    model = CNN if kind == "file" else Normalized().eval()
    record = robusteval.evaluate(model, fashion("test", 10), str(tmp_path / "all.toml"), fit_data=fashion("train", 150))
    assert [(row.defense, row.reason) for row in record.pipelines if row.status != "done"] == []
    assert [(cell.id, cell.reason) for cell in record.cells if cell.status != "done"] == []
    assert set(registered()) == {row.defense for row in record.pipelines} - {"none"}
    for name in registered():
        assert record.done(defense=name, knowledge="oblivious"), name
        wins = [value for cell in record.done(defense=name, knowledge="adaptive") for value in cell.distance if value]
        assert wins, f"Nothing was found against {name} on the {kind}."


def test_every_defence_has_its_paragraph_its_source_and_its_breaks() -> None:
    assert set(registered()) >= CATALOGUE
    page = (ROOT / "docs" / "defences.md").read_text()
    judged = {spec.plugin for suite in names(discover()) for spec in read(suite, discover()).defenses}
    for entry in discover().of("defense"):
        if entry.distribution != "robusteval":
            continue
        name = entry.name
        assert re.fullmatch(r"[a-z0-9-]+", name), "Plain names are ours."
        paragraph = next((part for part in page.split("\n\n") if f"**{name}**" in part), "")
        assert re.search(r"[A-Z][a-z]+.* (19|20)\d\d", paragraph, re.DOTALL), (
            f"docs/defences.md gives no source of {name}."
        )
        assert entry.plugin.info.reference
        assert entry.plugin.info.known_breaks
        assert name in judged, f"No suite judges {name}."


@pytest.mark.long  # of fewer samples it is tests/plugins/defenses/test_smoothing.py's
def test_no_attack_beats_the_certificate_of_smoothing_on_500_samples() -> None:
    """Wins are what the engine's judge calls so: the majority of 11 answers of 25 votes each."""
    from robusteval.contracts.pipeline import Pipeline
    from robusteval.engine.search.judge import answers

    model = load_model(CNN, LoadOptions())
    test = samples("test", 500)
    defended = RandomizedSmoothing(sigma=0.12, n=400, n0=50).fit(model, None, seeded())
    radius, pipeline = sure(defended.certify)(test.x), Pipeline(defended)
    held = answers(pipeline, test.x, seeded(1))[0] == test.y
    assert int(((radius > 0) & held).sum()) >= 300, "A certificate that is never given is never beaten."
    problem = pose(defended, test.x, safe_labels(test.y, 10), "l2", draws=1)
    lost = torch.zeros(500, dtype=torch.bool)
    for found in (DDN(steps=12).run(problem), DDN(steps=12).run(pose(model, test.x, safe_labels(test.y, 10), "l2"))):
        for stretch in (1.0, 2.0):  # the attack ends at the boundary of few noises: go on from there
            x = (test.x + stretch * (found - test.x)).clamp(0, 1)
            size = (x - test.x).flatten(1).double().norm(dim=1)
            rows = (held & (size > 0)).nonzero().squeeze(1)
            won = torch.zeros_like(lost)
            won[rows] = answers(pipeline, x[rows], seeded(2))[0] != test.y[rows]
            assert not bool((won & (size < radius)).any())
            inside = (
                (test.x + 0.99 * (radius / size.clamp_min(1e-9))[:, None, None, None] * (x - test.x))
                .float()
                .clamp(0, 1)
            )
            near = held & (radius > 0) & (size > 0)
            kept = answers(pipeline, inside[near], seeded(3))[0] == test.y[near]
            assert bool(kept.all()), "The attack's direction at the edge of the certificate."
            lost |= won
    assert int(lost.sum()) > 250, "Attacks that find nothing test no certificate."


@pytest.mark.statistical
@needs("models/fc.onnx", "mnist/mnist.npz")
@pytest.mark.long  # of a smaller net it is tests/plugins/defenses/test_lipschitz.py's
def test_lipschitz_certifies_most_of_mnist_and_no_attack_gets_inside() -> None:
    model = load_model(FOLDER / "models" / "fc.onnx", LoadOptions())
    learnt, test = mnist("train", 4000), mnist("test", 600)
    defended = Lipschitz(epochs=6, radius=0.5).fit(model, learnt, seeded())
    radius = sure(defended.certify)(test.x)
    held = defended.model.logits(test.x).argmax(1) == test.y
    assert float((held & (radius > 0.5)).float().mean()) >= 0.6
    problem = pose(defended.model, test.x, safe_labels(test.y, 10), "l2")
    won = torch.zeros(len(test), dtype=torch.bool)
    for found in (DDN(steps=60).run(problem), NewtonFool().run(problem)):
        lost = problem.won(found) & held
        assert bool((problem.distance(found)[lost] > radius[lost]).all())
        won |= lost
    assert int(won.sum()) >= 500


def mnist(part: str, count: int) -> Samples:
    with np.load(FOLDER / "mnist" / "mnist.npz") as data:
        x, y = data[f"x_{part}"][:count], data[f"y_{part}"][:count]
    return Samples(torch.from_numpy(x.astype(np.float32))[:, None] / 255, torch.from_numpy(y.astype(np.int64)))


def area(negatives: Tensor, positives: Tensor) -> tuple[float, float]:
    """(true positives at 1 % false alarms, AUC)."""
    curve = roc(negatives.double().numpy(), positives.double().numpy())
    assert curve is not None
    return curve.true_at(0.01), curve.area()


@pytest.mark.statistical
@needs("models/resnet20-cifar10.onnx", "cifar10_1380.npz")
@pytest.mark.long  # benchmarks/logit_detector.py measures it on more
def test_the_logit_detector_finds_strong_oblivious_adversarials_of_a_colour_model_and_none_that_know_it() -> None:
    """At 1 % false alarms, and through the class "rejected" on fresh noise at every step."""
    model = load_model(FOLDER / "models" / "resnet20-cifar10.onnx", LoadOptions())
    with np.load(FOLDER / "cifar10_1380.npz") as data:
        x = torch.from_numpy(data["x"].astype(np.float32) / 255).permute(0, 3, 1, 2).contiguous()
        both = Samples(x, torch.from_numpy(data["y"].astype(np.int64)))
    right = both[:110]
    right = right[model.logits(right.x).argmax(1) == right.y]
    safe = safe_labels(right.y, 10)
    detector = LogitOdds(sigma=8 / 255, draws=24).fit(model, both[980:], seeded())
    found = BIM(steps=20, step=1 / 12, stop=False).run(pose(model, right.x, safe, "linf", eps=8 / 255))
    fools = model.logits(found).argmax(1) != right.y
    drawn = sure(detector.draw)(seeded(1)).detector
    assert drawn is not None
    rate, auc = area(drawn.score(right.x), drawn.score(found[fools]))
    assert int(fools.sum()) > 0.9 * len(right)
    assert rate >= 0.95
    assert auc >= 0.989
    few = torch.arange(6)
    problem = pose(detector, right.x[few], safe_labels(right.y[few], 10, rejected=True), "linf", eps=8 / 255, draws=2)
    known = PGD(steps=8, step=0.25).run(problem)
    answer = sure(detector.draw)(seeded(2)).detector
    assert answer is not None
    evaded = (model.logits(known).argmax(1) != right.y[few]) & (answer.score(known) <= answer.threshold)
    assert int(evaded.sum()) >= 5


@needs("models/lenet.onnx", "mnist/mnist.npz", original=False)
@pytest.mark.slow
def test_the_suite_of_the_sources_gives_every_defence_figure_both_ways(tmp_path: Path) -> None:
    """The suite as it is, but for fewer steps, draws and epochs."""
    short = text("seeds", discover())
    for long, less in (
        ("steps = [24]0", "steps = 6"),
        ("steps = 60, searches = 5", "steps = 20, searches = 3"),
        ("queries = 200", "queries = 40"),
        ("epochs = .", "epochs = 1"),
        ("draws = 16", "draws = 4"),
    ):
        short, count = re.subn(long, less, short)
        assert count
    (tmp_path / "seeds.toml").write_text(short)
    test, learnt = mnist("test", 40), mnist("train", 600)
    record = robusteval.evaluate(
        FOLDER / "models" / "lenet.onnx",
        (test.x, test.y),
        str(tmp_path / "seeds.toml"),
        fit_data=(learnt.x, learnt.y),
        samples=10,
    )
    assert [(row.defense, row.reason) for row in record.pipelines if row.status != "done"] == []
    assert [(cell.id, cell.reason) for cell in record.cells if cell.status != "done"] == []
    (table,) = [result for result in record.results if result.metric == "sources"]
    assert table.titles() == ["Figure", "Source", "Source says", "We measure", "Why they differ"]
    rows = {str(row[0]): row for row in table.rows}
    assert set(rows) == {claim.figure for claim in MNIST}
    for figure, row in rows.items():
        oblivious, adaptive = str(row[3]).removeprefix("Oblivious: ").split("Adaptive: ")
        assert oblivious, figure
        assert re.search(r"\d %|\d in L2|no adversarials", adaptive), figure
        assert row[4], figure
        if "detector" in figure and "machine" not in figure:
            assert "% false alarms, AUC" in oblivious, figure
    exact = str(rows["Masked gradients, as they are"][4])
    assert "Gradients seem to fail" in exact
    assert "zero-gradients" in exact
    assert "zero-gradients" not in str(rows["Masked gradients, seen straight through"][4])
