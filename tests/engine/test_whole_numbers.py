"""Files that take whole numbers: distances are of the image that the file receives, whatever its range and type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.numpy
import torch
from onnx import TensorProto, helper, numpy_helper

from robusteval.contracts.classifier import LoadOptions
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.data.find import RawData, opened
from robusteval.engine.data.survey import survey
from robusteval.engine.run import runner
from robusteval.engine.run.prepare import as_received
from robusteval.engine.search.judge import common_grid
from robusteval.engine.suite.suite import parse
from robusteval.errors import SuiteError
from robusteval.loaders.input_space import PixelSpace
from robusteval.loaders.onnx.classifier import OnnxClassifier, load_onnx
from robusteval.record.run import Record
from tests.engine import toys
from tests.sure import sure

SIZE, CLASSES = 12, 4
SUITE = """
name = "whole"
version = "1"
norms = ["l2", "linf", "l0"]
probe_samples = 0
[[attack]]
plugin = "ddn"
params = { loss = "margin", steps = 30 }
[[attack]]
plugin = "pgd"
norms = ["linf"]
params = { loss = "margin", steps = 10 }
search = 3
[[attack]]
plugin = "sigma-zero"
params = { steps = 30 }
[[cascade]]
name = "c"
eps = { linf = [0.1] }
[[cascade.member]]
plugin = "pgd"
params = { steps = 10 }
[[defense]]
plugin = "bit-depth"
adaptive = ["ddn"]
oblivious = ["ddn"]
"""
KINDS = [
    ("uint8", (0.0, 1.0), (0.0, 1.0, 255)),
    ("uint8", (0.0, 255.0), (0.0, 255.0, 255)),
    ("uint8", (-0.5, 0.5), (-0.5, 0.5, 255)),
    ("uint8", (0.5, 200.7), (1.0, 200.0, 199)),
    ("int8", (-128.0, 127.0), (-128.0, 127.0, 255)),
    ("int8", (0.0, 1.0), (0.0, 1.0, 255)),
    ("uint16", (0.0, 65535.0), (0.0, 65535.0, 65535)),
]


def _file(folder: Path, kind: str, whole: tuple[float, float]) -> Path:
    """A linear classifier of whole numbers, which it scales to 0..1 itself."""
    toy = toys.linear(SIZE, CLASSES)
    low, high = whole
    consts = {
        "low": np.array(low, np.float32),
        "width": np.array(high - low, np.float32),
        "w": toy.weight.numpy(),
        "b": toy.bias.numpy(),
    }
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["f", "low"], ["s"]),
        helper.make_node("Div", ["s", "width"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
    ]
    given = helper.make_tensor_value_info("x", getattr(TensorProto, kind.upper()), ["n", SIZE])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", CLASSES])
    graph = helper.make_graph(nodes, "g", [given], [out], [numpy_helper.from_array(v, k) for k, v in consts.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "whole.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(("kind", "bounds", "grid"), KINDS)
def test_distances_are_of_the_images_that_the_file_receives(
    tmp_path: Path, kind: str, bounds: tuple[float, float], grid: tuple[float, float, int]
) -> None:
    low, high = bounds
    stretched = high - low <= 1
    whole = ((-128.0, 127.0) if kind == "int8" else (0.0, 255.0)) if stretched else bounds
    model = load_onnx(_file(tmp_path, kind, whole), LoadOptions(bounds=bounds))
    assert model.info.grid == pytest.approx(grid)
    toy = toys.linear(SIZE, CLASSES)
    raw = toys.samples(toy, 10)
    x = (raw.x * (high - low) + low).clamp(low, high)
    labels = model.logits(x).argmax(1)
    seen = survey(as_received(model, opened(RawData(x.numpy(), labels.numpy()), model.info)[0], 0))
    received = seen.samples
    assert seen.rounded > 0
    assert torch.equal(model.logits(received.x[:]), model.logits(x)), "The file sees the same image as before."
    once = RawData(received.x[:].numpy(), labels.numpy())
    again = survey(as_received(model, opened(once, model.info)[0], 0))
    assert torch.equal(again.samples.x[:], received.x[:])
    assert again.rounded == 0
    catalogue = discover()
    record = runner.run(runner.Job(model, received, parse(SUITE, "s", catalogue), catalogue, tmp_path / "run"))
    assert {cell.status for cell in record.cells} == {"done"}, [(c.id, c.reason) for c in record.cells]
    assert record.model.grid == pytest.approx(list(grid))
    _check_witnesses(tmp_path, model, record, kind, whole, bounds)
    for cell in record.cells:
        if kind != "uint16" and grid[2] == 255:
            assert all(value in (True, None) for value in cell.survives_8bit), cell.id


def _check_witnesses(
    folder: Path, model: OnnxClassifier, record: Record, kind: str, whole: Any, bounds: tuple[float, float]
) -> None:
    """Every stored image, as the whole numbers that it becomes, is itself: asked of ONNX Runtime and measured anew."""
    tensors = safetensors.numpy.load_file(folder / "run" / sure(record.witnesses).file)
    session = onnxruntime.InferenceSession(folder / "whole.onnx")
    scale = (whole[1] - whole[0]) / (bounds[1] - bounds[0])
    clean = tensors["clean"].astype(np.float64)
    assert sure(record.witnesses).entries
    for entry in sure(record.witnesses).entries:
        x = tensors[entry.tensor][entry.row].astype(np.float64)
        steps = (x - bounds[0]) * scale + whole[0]
        assert np.abs(steps - steps.round()).max() < 1e-2 * max(1.0, scale / 255), entry
        back = (steps.round() - whole[0]) / scale + bounds[0]
        gap = np.abs(back - clean[entry.sample])
        size = {"l2": np.sqrt((gap**2).sum()), "linf": gap.max(), "l0": float((gap > 1e-3 / scale).sum())}[entry.norm]
        assert size == pytest.approx(entry.distance, rel=1e-4), entry
        if entry.defense == "none":
            (scores,) = session.run(None, {"x": steps.round()[None].astype(kind)})
            assert int(scores.argmax()) == entry.prediction != record.data.labels[entry.sample]


def test_suite_levels_must_be_among_the_files_whole_numbers() -> None:
    assert common_grid(0, (0.0, 1.0), (0.0, 1.0, 255)) == (0, (0.0, 1.0, 255))
    assert common_grid(51, (0.0, 1.0), (0.0, 1.0, 255)) == (51, ())
    assert common_grid(255, (0.0, 1.0), ()) == (255, ())
    assert common_grid(65535, (0.0, 1.0), (0.0, 1.0, 255)) == (0, (0.0, 1.0, 255))
    with pytest.raises(SuiteError, match="whole numbers, 256 of them"):
        common_grid(100, (0.0, 1.0), (0.0, 1.0, 255))


def test_a_normalised_range_of_whole_numbers() -> None:
    space = PixelSpace((4,), (4,), (0.0, 255.0), (127.5,), (51.0,), whole=(0.0, 255.0))
    first, last, steps = sure(space.grid or None)
    x = torch.linspace(first, last, steps + 1)
    file = space.to_file(x[:, None].expand(-1, 4))[:, 0]
    assert torch.equal(file, torch.arange(steps + 1) + file[0])
    assert (float(file[0]), float(file[-1])) == (-2.0, 2.0)
    assert PixelSpace((3, 2, 2), (3, 2, 2), (0.0, 255.0), (1.0, 2.0, 3.0), (), whole=(0.0, 255.0)).grid == ()
    assert PixelSpace((4,), (4,), (0.0, 1.0)).grid == ()
