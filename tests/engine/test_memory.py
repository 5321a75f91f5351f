"""How much questions to a model take, and how the memory is shared among workers."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch

from robusteval.cli.options import Bytes
from robusteval.contracts.classifier import Classifier, LoadOptions
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.devices import resolve
from robusteval.engine.run.prepare import device_of
from robusteval.engine.schedule import memory
from robusteval.engine.schedule.memory import Need, in_words, needs, shared_out
from robusteval.engine.suite.suite import read
from robusteval.errors import SuiteError
from robusteval.loaders.onnx.classifier import load_onnx
from tests.devices import DEVICE

pytestmark = pytest.mark.skipif(DEVICE.type != "cpu", reason="it is the processor's memory that is shared out here")
EXAMPLES = Path(__file__).parents[2] / "examples"
MB = 1e6


@pytest.fixture(scope="module")
def model() -> Classifier:
    return load_onnx(EXAMPLES / "fashion-cnn.onnx", LoadOptions())


def images(count: int, *shape: int) -> torch.Tensor:
    return torch.rand((count, *shape), generator=torch.Generator().manual_seed(0))


def test_a_gradient_needs_what_its_graph_keeps_the_same_each_time(model: Classifier) -> None:
    first = needs(model, images(4, 1, 28, 28))
    assert first == needs(model, images(2, 1, 28, 28))
    assert first.gradient > 28 * 28 * 4  # its image at least
    assert first.truth == first.scores == pytest.approx(0.2 * first.gradient)


@pytest.mark.parametrize(
    ("limit", "workers", "need", "size", "given"),
    [
        (10_000 * MB, 2, 1 * MB, None, 2),  # all fits
        (1_300 * MB, 2, 10 * MB, 16, 2),
        (1_300 * MB, 2, 60 * MB, 8, 1),  # two would have no room
        (360 * MB, 2, 60 * MB, 1, 1),  # one row is asked about in any case
    ],
)
def test_workers_and_rows_are_as_many_as_have_room(
    monkeypatch: pytest.MonkeyPatch, limit: float, workers: int, need: float, size: int | None, given: int
) -> None:
    monkeypatch.setattr(memory, "resident", lambda: 300 * MB)
    shares = shared_out(Need(need / 5, need / 5, need), images(1, 1, 28, 28), 128, workers, limit)
    assert shares.workers == given
    assert shares.sizes().gradient == size
    total = 300 * MB + shares.workers * shares.room + (300 * MB * shares.workers if shares.workers > 1 else 0)
    assert total <= limit
    assert ("gradients" in in_words(shares.sizes(), shares, workers)) == (size is not None)
    assert shares.threads(workers) == workers // given
    assert ("on 2 threads each" in in_words(shares.sizes(), shares, workers)) == (given < workers)
    assert (f"{given} of {workers} workers" in in_words(shares.sizes(), shares, workers)) == (given < workers)


def test_a_limit_below_what_is_taken_already_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "resident", lambda: 300 * MB)
    with pytest.raises(SuiteError, match=r"A limit of 200 MB is less than robusteval takes .*, 300 MB"):
        shared_out(Need(), images(1, 1, 28, 28), 128, 1, 200 * MB)


@pytest.mark.parametrize(
    ("text", "size"), [("6GB", 6e9), ("512MB", 512e6), ("2GiB", 2 * 2**30), ("1.5 G", 1.5e9), ("800k", 800e3)]
)
def test_amounts_of_memory_are_read(text: str, size: float) -> None:
    assert Bytes().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["6", "GB", "-1GB", "0GB", "6 gigs", "1e99GB", "9" * 30 + "GB"])
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(Exception, match="not an amount of memory"):
        Bytes().convert(text, None, None)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cpu:0", "cuda:-1", "mps", "cuda:9999"])
def test_another_device_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(SuiteError):
        resolve(name)


def test_without_a_gpu_auto_is_the_processor_and_cuda_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve("auto") == resolve("cpu") == torch.device("cpu")
    with pytest.raises(SuiteError, match="no GPU that torch can use"):
        resolve("cuda")


def test_a_suite_says_where_unless_the_command_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    stated, catalogue = tmp_path / "suite.toml", discover()
    plain = 'name = "s"\nversion = "1"\nnorms = ["l2"]\n%s[[attack]]\nplugin = "pgd"\n'
    stated.write_text(plain % 'device = "cuda"\n')
    with pytest.raises(SuiteError, match="no GPU that torch can use"):
        device_of("auto", str(stated), catalogue)
    assert device_of("cpu", str(stated), catalogue) == torch.device("cpu")
    measured = read(str(stated), catalogue).sha256
    stated.write_text(plain % 'device = "cpu"\n')
    assert device_of("auto", str(stated), catalogue) == torch.device("cpu")
    assert read(str(stated), catalogue).sha256 == measured  # where it was measured is no part of what was
    stated.write_text(plain % 'device = "tpu"\n')
    with pytest.raises(SuiteError, match="device"):
        read(str(stated), catalogue)


@pytest.mark.parametrize(("limit", "trimmed"), [(None, 0), (1.0, 1)])
def test_memory_is_given_back_only_where_somebody_is_short_of_it(
    monkeypatch: pytest.MonkeyPatch, limit: float | None, trimmed: int
) -> None:
    calls = []
    monkeypatch.setattr(memory, "_trim", lambda: calls.append(1))
    with contextlib.suppress(SuiteError):
        shared_out(Need(1.0, 1.0, 1.0), torch.zeros(4, 1, 2, 2), 4, 1, limit)
    assert len(calls) == trimmed
