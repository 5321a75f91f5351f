"""A device without float64 does a model's passes, and nothing else: figures are those of the processor."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robusteval.api import AccessError
from robusteval.attacks.single import _device
from robusteval.contracts.classifier import Featured, LoadOptions, ModelInfo
from robusteval.contracts.training import Learns
from robusteval.engine import devices
from robusteval.engine.batched import batched
from robusteval.engine.carried import Carried, carried, passes_on
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.devices import home, resolve
from robusteval.engine.plan.job import Job
from robusteval.engine.run import prepare
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.runner import run
from robusteval.engine.schedule import pass_timing
from robusteval.errors import SuiteError
from robusteval.loaders.onnx.classifier import OnnxClassifier, load_onnx
from robusteval.loaders.pytorch.classifier import TorchClassifier
from robusteval.ops import class_gradients
from tests.devices import DEVICE
from tests.engine.test_cores import document
from tests.engine.test_micro_batches import SUITE, Exact
from tests.pretended import MPS, Far, Pretended

pytestmark = pytest.mark.skipif(DEVICE.type != "cpu", reason="a device is pretended beside the processor")
CPU = torch.device("cpu")
EXAMPLE = Path(__file__).parents[2] / "examples" / "fashion-cnn.onnx"


@pytest.fixture
def there() -> Iterator[None]:
    with Pretended():
        yield


def images(count: int, *shape: int) -> Tensor:
    return torch.rand((count, *shape), generator=torch.Generator().manual_seed(0))


def test_the_pretended_device_has_no_float64_and_meets_no_other(there: None) -> None:
    far = images(2, 3).to(MPS)
    assert isinstance(far, Far)
    assert far.device == MPS
    assert torch.equal(far.to(CPU), images(2, 3))
    for make in (far.double, lambda: far.to(torch.float64), lambda: torch.zeros(2, dtype=torch.float64, device=MPS)):
        with pytest.raises(TypeError, match="float64"):
            make()
    with pytest.raises(RuntimeError, match="same device"):
        far + torch.ones(3)


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_passes_are_done_there_and_answers_here(kind: str, there: None, monkeypatch: pytest.MonkeyPatch) -> None:
    options, shape = LoadOptions(device="mps"), (1, 28, 28)
    model: OnnxClassifier | TorchClassifier
    if kind == "onnx":
        model = load_onnx(EXAMPLE, options)
    else:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 26 * 26, 10)]
            model = TorchClassifier.from_module(nn.Sequential(*layers), shape, options)
    x, classes = images(4, *shape), torch.arange(3).expand(4, 3)
    expected = class_gradients(model.twin, x, classes)
    elsewhere = pickle.loads(pickle.dumps(carried(model, MPS, x[:2])))
    asked: list[torch.device] = []
    twin: Any = type(model).twin

    def watched(self: Any, x: Tensor) -> Any:
        asked.append(x.device)
        return twin(self, x)

    monkeypatch.setattr(type(model), "twin", watched)
    found = class_gradients(elsewhere.twin, x, classes)
    for mine, theirs in zip(expected, found, strict=True):
        assert not isinstance(theirs, Far)
        assert torch.allclose(mine, theirs, atol=1e-5)
    assert set(asked) == {MPS}
    assert torch.equal(elsewhere.logits(x), model.logits(x))
    assert model.info.provider in ("onnxruntime CPUExecutionProvider", "torch cpu")
    assert passes_on(batched(elsewhere), CPU) == MPS
    assert passes_on(batched(model), CPU) == CPU
    assert isinstance(elsewhere, Featured) == isinstance(model, Featured)
    assert isinstance(elsewhere, Learns) == isinstance(model, Learns)


def job_of(tmp_path: Path, device: str, folder: str) -> Job:
    suite = tmp_path / "cut.toml"
    suite.write_text(SUITE)
    x = images(80, 1, 4, 4).mul(64).round() / 64
    y = Exact().logits(x).argmax(1)
    options = RunOptions(suite=str(suite), data=(x[:40], y[:40]), fit_data=(x[40:], y[40:]), seed=1, device=device)
    return dataclasses.replace(prepare.prepare_job(Exact(), discover(), options), folder=tmp_path / folder)


def test_a_run_there_has_the_figures_of_one_here_and_says_where_its_gradients_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: None
) -> None:
    monkeypatch.setenv("ROBUSTEVAL_CACHE", "off")
    monkeypatch.setattr("robusteval.engine.schedule.pass_timing.CHEAP_S", 1e9)  # nothing is chosen by the clock
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    plain = document(run(job_of(tmp_path, "cpu", "here")))
    job = job_of(tmp_path, "mps", "there")
    asked: list[bool] = []
    twin = Exact.twin

    def watched(self: Exact, x: Tensor) -> Tensor:
        asked.append(isinstance(x, Far))
        return twin(self, x)

    monkeypatch.setattr(Exact, "twin", watched)
    record = run(job)
    assert any(asked)
    assert {cell.status for cell in record.cells} == {"done"}
    assert record.environment.pop("device").startswith("mps, for gradients alone")
    assert document(record) == plain


@dataclasses.dataclass
class Odd:
    """A model that does on the device what `how` says."""

    how: str
    info: ModelInfo = dataclasses.field(default_factory=lambda: ModelInfo("odd", "test", "0" * 64, (4,), 4))

    def logits(self, x: Tensor) -> Tensor:
        return x.detach() * 2

    def twin(self, x: Tensor) -> Tensor:
        if self.how == "access":
            raise AccessError("no gradients", "none")
        if x.device != MPS or self.how == "sound":
            return x * 2
        if self.how == "float64":
            return (x.double() * 2).float()
        return x * (torch.nan if self.how == "nan" else 2.1)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("float64", "passes fail on mps: TypeError: Cannot convert"),
        ("nan", "scores on mps differ from the processor's by nan"),
        ("other", "scores on mps differ from the processor's by 0.05"),
    ],
)
def test_what_fails_or_differs_there_is_refused_before_anything_runs(how: str, said: str, there: None) -> None:
    with pytest.raises(SuiteError, match=said):
        carried(Odd(how), MPS, images(2, 4))
    assert isinstance(carried(Odd("sound"), MPS, images(2, 4)), Carried)


def test_a_model_without_gradients_has_nothing_to_do_there() -> None:
    black = Odd("access")
    black.info = dataclasses.replace(black.info, gradients="none")
    with pytest.raises(SuiteError, match="nothing of it would be done on mps"):
        carried(black, MPS, images(2, 4))


def test_mps_is_taken_where_it_is_asked_for_and_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SuiteError, match="no mps that torch can use"):
        resolve("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve("mps") == MPS
    assert resolve("auto") == CPU  # what it saves was never measured
    assert home(MPS) == home(CPU) == CPU
    assert prepare._workers(8, MPS) == 1
    assert "gradients alone" in devices.in_words(MPS)
    with pytest.raises(SuiteError, match="no float64"):
        _device("mps", None, None)


def test_its_time_is_that_of_the_clock(there: None, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.device] = []

    def clock(device: torch.device) -> float:
        seen.append(device)
        return float(len(seen))

    monkeypatch.setattr(pass_timing, "_clock", clock)
    model = carried(Odd("sound"), MPS, images(2, 4))
    keys = {pass_timing.key(asked, images(2, 4), "full") for asked in (model, Odd("sound"))}
    assert len(keys) == 2
    pass_timing.measure(model, images(2, 4))
    assert MPS in seen
