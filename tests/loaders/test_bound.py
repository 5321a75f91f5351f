"""Tensors that ONNX Runtime reads where they lie, and answers beside: the same answers as by way of numpy, and whose
memory is whose. Here the session's device is the processor; but for its name the code is that of a GPU."""

from __future__ import annotations

import pickle
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from robusteval.contracts.classifier import LoadOptions
from robusteval.errors import ModelError
from robusteval.loaders.onnx.classifier import OnnxClassifier, load_onnx
from robusteval.loaders.onnx.reading import bound, reference
from robusteval.loaders.onnx.reading import session as sessions
from robusteval.loaders.onnx.reading.bound import Bound, device_of, rounded
from robusteval.runtime.answers import Runtime
from robusteval.runtime.reading import Reading, from_json
from robusteval.runtime.session import open_session
from tests.loaders.test_uneven import wider
from tests.verify.guises import GUISES, write

CPU = torch.device("cpu")
EXAMPLE = Path(__file__).parents[2] / "examples" / "fashion-cnn.onnx"


@pytest.fixture(scope="module")
def example() -> OnnxClassifier:
    return load_onnx(EXAMPLE, LoadOptions())


def images(count: int, *shape: int) -> Tensor:
    return torch.rand((count, *shape), generator=torch.Generator().manual_seed(0))


def asked(classifier: OnnxClassifier) -> tuple[onnxruntime.InferenceSession, Reading]:
    return open_session(classifier._file.blob), from_json(classifier.info.reading)


@pytest.mark.parametrize("name", ["batch-last", "int8-normalised", "zipmap", "columns"])
def test_a_classifier_answers_the_same_where_its_session_reads_tensors(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guise = GUISES[name]
    path, (x, _) = write(guise, tmp_path)
    model = load_onnx(path, LoadOptions(bounds=guise.bounds, **guise.options))
    plain = model.logits(torch.from_numpy(x))
    asks: list[int] = []
    scores = Bound.scores
    monkeypatch.setattr(reference, "device_of", lambda session: CPU)

    def watched(self: Bound, x: Tensor) -> Tensor:
        asks.append(len(x))
        return scores(self, x)

    monkeypatch.setattr(Bound, "scores", watched)
    there = pickle.loads(pickle.dumps(model))
    assert torch.equal(there.logits(torch.from_numpy(x)), plain)
    assert asks == [len(x)]
    assert there.logits(torch.from_numpy(x[:0])).shape == (0, 4)


def test_no_pixel_goes_through_numpy_or_the_host(example: OnnxClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    session, reading = asked(example)
    x = images(3, 1, 28, 28)
    expected = Runtime(session, reading).scores(x.numpy())

    def refused(*_: object, **__: object) -> Any:
        pytest.fail("it was copied to the host")

    for name in ("numpy", "__array__", "cpu", "tolist", "item"):
        monkeypatch.setattr(Tensor, name, refused)
    monkeypatch.setattr(torch, "from_numpy", refused)
    found = Bound(session, reading, CPU).scores(x)
    monkeypatch.undo()
    assert torch.equal(found, torch.from_numpy(expected))


def test_a_caller_s_tensor_is_never_what_a_model_holds(
    example: OnnxClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, reading = asked(example)
    told: dict[str, Any] = {}
    for name in ("bind_input", "bind_output"):
        inner = getattr(onnxruntime.IOBinding, name)

        def heard(self: Any, *args: Any, name: str = name, inner: Any = inner) -> None:
            told[name] = args
            inner(self, *args)

        monkeypatch.setattr(onnxruntime.IOBinding, name, heard)
    x = images(4, 1, 28, 28)
    before = x.clone()
    Bound(session, reading, CPU).scores(x)
    *said, address = told["bind_input"]
    assert said == [reading.input, "cpu", 0, np.float32, (4, 1, 28, 28)]
    assert not x.data_ptr() <= address < x.data_ptr() + x.nbytes
    assert told["bind_output"] == (reading.output, "cpu", 0)  # no memory of ours: ONNX Runtime makes it
    assert torch.equal(x, before)


def test_answers_stay_when_the_next_question_is_asked(example: OnnxClassifier) -> None:
    session, reading = asked(example)
    there = Bound(session, reading, CPU)
    first = there.scores(images(8, 1, 28, 28))
    kept = first.clone()
    for count in (8, 8, 3, 64):
        there.scores(1 - images(count, 1, 28, 28))
    assert torch.equal(first, kept)


@pytest.mark.parametrize("way", ["channels last", "a slice", "every other", "float64", "with a gradient"])
def test_whatever_lies_in_memory_otherwise_is_read_all_the_same(example: OnnxClassifier, way: str) -> None:
    session, reading = asked(example)
    x = images(12, 1, 28, 28)
    ways: dict[str, Callable[[], Tensor]] = {
        "channels last": lambda: x.transpose(2, 3).contiguous().transpose(2, 3),
        "a slice": lambda: torch.cat([x, x])[12:],
        "every other": lambda: x.repeat_interleave(2, 0)[::2],
        "float64": lambda: x.to(torch.float64),
        "with a gradient": lambda: x.clone().requires_grad_(True),
    }
    found = Bound(session, reading, CPU).scores(ways[way]())
    assert torch.equal(found, torch.from_numpy(Runtime(session, reading).scores(x.numpy())))
    assert not found.requires_grad


def test_what_a_file_answers_oddly_is_the_same_sentence(tmp_path: Path) -> None:
    session = open_session(wider(tmp_path / "w.onnx").read_bytes())
    reading = Reading("x", "tensor(float)", (10,), (10,), (0.0, 1.0), "y", 10)
    with pytest.raises(ModelError) as plain:
        Runtime(session, reading).scores(np.ones((64, 10), np.float32))
    with pytest.raises(ModelError) as there:
        Bound(session, reading, CPU).scores(torch.ones(64, 10))
    assert str(there.value) == str(plain.value)


def test_scores_are_rounded_as_by_numpy(example: OnnxClassifier) -> None:
    runtime = Runtime(*asked(example))
    rows = [[1.0, 1.0 + 1e-12, 0.0], [2.0, 1.0, 3.0], [np.nan, 1.0, 0.0], [1e300, 0, 1], [np.inf, 0, 0], [0, 0, 0]]
    exact = np.array([*rows, [-1.0, -1.0 + 1e-14, -1.0 + 1e-15]])
    assert np.array_equal(rounded(torch.from_numpy(exact)).numpy(), runtime.rounded(exact), equal_nan=True)


def test_the_gpu_of_a_session_is_the_one_that_it_was_opened_on() -> None:
    def session(name: str, **options: str) -> Any:
        made = types.SimpleNamespace(get_providers=lambda: [name, "CPUExecutionProvider"])
        made.get_provider_options = lambda: {name: options}
        return made

    assert device_of(session(bound.GPU, device_id="1")) == torch.device("cuda", 1)
    assert device_of(session(bound.GPU)) == torch.device("cuda", 0)
    assert device_of(session("CPUExecutionProvider")) is None


@pytest.fixture
def no_start(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """A GPU's provider that is listed and fails when a session starts; the providers that sessions were asked for."""
    wanted: list[list[Any]] = []
    start = onnxruntime.InferenceSession

    def starts(source: Any, options: Any, providers: list[Any], **more: Any) -> Any:
        wanted.append(providers)
        if len(providers) > 1:
            raise RuntimeError("libcudnn.so.9: cannot open shared object file")
        return start(source, options, providers=providers, **more)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [bound.GPU, "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", starts)
    return wanted


def test_a_provider_that_does_not_start_is_told_and_the_processor_answers(
    no_start: list[list[Any]], example: OnnxClassifier, capfd: pytest.CaptureFixture[str]
) -> None:
    model = load_onnx(EXAMPLE, LoadOptions(device="cuda:1"))
    name, options = no_start[0][0]
    assert (name, options["device_id"], options["use_tf32"]) == (bound.GPU, "1", "0")
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"  # not the fastest of some tries
    assert model.info.provider == example.info.provider
    assert any("no CUDA provider that starts on cuda:1" in note for note in model.info.notes)
    assert not any("CUDA" in note for note in example.info.notes)
    x = images(3, 1, 28, 28)
    assert torch.equal(model.logits(x), example.logits(x))
    assert capfd.readouterr().out == ""  # ONNX Runtime prints of what it falls back on; commands print JSON there


def test_a_file_at_fault_is_told_of_in_the_processor_s_words(no_start: list[list[Any]]) -> None:
    with pytest.raises(ModelError, match="does not accept"):
        sessions.open_session(b"nothing", device="cuda")
    assert [len(providers) for providers in no_start] == [2, 1]


def test_another_provider_in_another_process_is_refused(no_start: list[list[Any]], example: OnnxClassifier) -> None:
    there = pickle.loads(pickle.dumps(example))
    there._device = "cuda:0"
    there.info = types.SimpleNamespace(**vars(example.info) | {"provider": f"onnxruntime {bound.GPU}"})
    with pytest.raises(ModelError, match="CPUExecutionProvider answers in this process"):
        there.logits(images(1, 1, 28, 28))
