"""One classifier, handed in in many ways: the same figures every time; and models of other kinds end in a report."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import robusteval
from robusteval.assessment.evidence.worst_case import envelope_of, median_loss
from robusteval.evaluation import EvaluatedRecord
from robusteval.verify.run import verify
from tests.e2e.models import EXAMPLES, ChannelsLast, example_cnn, export, half

SUITE = """
name = "variants"
version = "1"
norms = ["l2", "linf"]
samples = 100
probe_samples = 0
[[attack]]
plugin = "pgd"
params = { steps = 15 }
norms = ["linf"]
search = 6
[[attack]]
plugin = "ddn"
params = { steps = 40 }
[[attack]]
plugin = "square"
params = { queries = 60 }
norms = ["linf"]
search = 2
[[defense]]
plugin = "confidence"
oblivious = ["ddn"]
adaptive = ["ddn"]
"""


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("suite") / "variants.toml"
    path.write_text(SUITE)
    return str(path)


def evaluate(model: Any, suite: str, data: Any = "fashion-mnist", **more: Any) -> EvaluatedRecord:
    fit = "fashion-mnist" if data == "fashion-mnist" else None
    return robusteval.evaluate(model, data, suite, fit_data=fit, **more)


def medians(record: EvaluatedRecord) -> dict[str, float]:
    return {norm: median_loss(envelope_of(record, norm, "none")) for norm in ("l2", "linf")}


def clean(record: EvaluatedRecord) -> float:
    pairs = zip(record.pipeline("none").prediction, record.data.labels, strict=True)
    return float(np.mean([a == b for a, b in pairs]))


def sensible(record: EvaluatedRecord) -> None:
    """Everything that could run ran, and the report renders."""
    assert [cell.id for cell in record.cells if cell.status == "failed"] == []
    assert record.done(knowledge="none")
    html = record.to_html()
    assert record.model.name in html
    assert len(html) > 100_000


@pytest.fixture(scope="session")
def reference(suite: str) -> dict[str, float]:
    record = evaluate(EXAMPLES / "fashion-cnn.onnx", suite)
    sensible(record)
    return medians(record)


VARIANTS = {
    "opset 9": lambda folder: export(example_cnn(), folder / "m.onnx", 9),
    "opset 13": lambda folder: export(example_cnn(), folder / "m.onnx", 13),
    "opset 17": lambda folder: export(example_cnn(), folder / "m.onnx", 17),
    "opset 20": lambda folder: export(example_cnn(), folder / "m.onnx", 20),
    "NHWC": lambda folder: export(ChannelsLast(example_cnn()), folder / "m.onnx", shape=(28, 28, 1)),
    "batch 1": lambda folder: export(example_cnn(), folder / "m.onnx", batch=1),
    "softmax inside": lambda folder: export(nn.Sequential(example_cnn(), nn.Softmax(dim=1)), folder / "m.onnx"),
    "fp16": lambda folder: half(EXAMPLES / "fashion-cnn.onnx", folder / "m.onnx"),
}


MORE = ("opset 13", "opset 17", "opset 20", "batch 1")  # loaders' tests ask about their twins


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long if name in MORE else ()) for name in VARIANTS],
)
def test_the_same_cnn_in_another_form_gives_the_same_figures(
    name: str, suite: str, reference: dict[str, float], tmp_path: Path
) -> None:
    record = evaluate(VARIANTS[name](tmp_path), suite)
    sensible(record)
    assert clean(record) > 0.88
    for norm, value in medians(record).items():
        assert value == pytest.approx(reference[norm], rel=0.05), (norm, record.model.rung, record.model.notes)


@pytest.mark.statistical
@pytest.mark.slow
@pytest.mark.parametrize("name", ["fashion-robust", "fashion-vit"])
def test_the_other_examples_give_a_sensible_report(name: str, suite: str, reference: dict[str, float]) -> None:
    record = evaluate(EXAMPLES / f"{name}.onnx", suite)
    sensible(record)
    found = medians(record)["linf"]
    if name == "fashion-robust":
        assert found > 4 * reference["linf"]
    else:
        assert 0.3 * reference["linf"] < found < 3 * reference["linf"]


@pytest.mark.slow
def test_no_candidate_that_fails_the_judge_is_counted_on_the_robust_model(suite: str, tmp_path: Path) -> None:
    """Whatever was counted is an adversarial by a second implementation: bytes, box, float64 distance, answer."""
    model = EXAMPLES / "fashion-robust.onnx"
    record = evaluate(model, suite, out=tmp_path / "run")
    checked = verify(record, tmp_path / "run", model)
    assert checked.failures == []
    assert checked.confirmed == checked.claims > 100
    low, high = record.model.bounds
    for cell in record.done(knowledge="none"):
        lost = [value for value in cell.distance if value is not None and value > 0]
        assert len(lost) + sum(value is None or value == 0 for value in cell.distance) == len(cell.distance)
        assert all(value <= (high - low) * (28 if cell.norm == "l2" else 1) for value in lost)
        answers = zip(cell.prediction, record.data.labels, strict=True)
        assert all(answer is None or answer != label for answer, label in answers)


@pytest.mark.slow
def test_int8_is_not_falsely_robust(suite: str) -> None:
    """Within five points of the float model at every budget: a false robustness of .9 is the failure to avoid."""
    curves = []
    for name in ("fashion-cnn", "fashion-int8"):
        record = evaluate(EXAMPLES / f"{name}.onnx", suite, samples=160)
        sensible(record)
        curves.append(np.array(envelope_of(record, "linf", "none")))
    for eps in (2 / 255, 4 / 255, 8 / 255, 0.05, 0.1):
        shares = [float((curve > eps).mean()) for curve in curves]
        assert abs(shares[0] - shares[1]) <= 0.05, (eps, shares)


@pytest.mark.slow
def test_a_sklearn_mlp_with_zipmap_runs_on_digits(suite: str, tmp_path: Path) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    digits = load_digits()
    x = (digits.data / 16).astype(np.float32)
    mlp = MLPClassifier((32,), max_iter=60, random_state=0)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it need not converge to be attacked
        mlp.fit(x[:1200], digits.target[:1200])
    path = tmp_path / "mlp.onnx"
    content = skl2onnx.to_onnx(mlp, x[:1], target_opset=17).SerializeToString()
    path.write_bytes(content)
    record = robusteval.evaluate(
        path, (x[1200:1400], digits.target[1200:1400]), suite, fit_data=(x[:1200], digits.target[:1200])
    )
    sensible(record)
    assert clean(record) > 0.85
    assert all(math.isfinite(value) and value > 0 for value in medians(record).values())


@pytest.mark.slow
def test_a_torch_module_gives_the_figures_of_its_onnx_file(suite: str, reference: dict[str, float]) -> None:
    archive = np.load(Path(robusteval.__file__).parent / "data" / "fashion_mnist.npz")
    from robusteval.contracts.classifier import LoadOptions
    from robusteval.engine.data.find import RawData, prepare
    from robusteval.loaders.pytorch.classifier import TorchClassifier

    model = TorchClassifier.from_module(example_cnn(), (1, 28, 28), LoadOptions())
    raw = RawData(archive["x_test"], archive["y_test"], (), "fashion-mnist", "")
    data, _ = prepare(raw, model.info, None, 100)
    fit = ((archive["x_train"][:1000, None] / 255).astype(np.float32), archive["y_train"][:1000])
    record = robusteval.evaluate(example_cnn(), (data.x, data.y), suite, fit_data=fit)
    sensible(record)
    for norm, value in medians(record).items():
        assert value == pytest.approx(reference[norm], rel=0.02)
