"""Small files of every kind that is read, as they are before anybody spoils them."""

from __future__ import annotations

import functools
import gzip
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from robusteval.engine.certify.stored_graph import packed
from robusteval.engine.units.store import sealed_unit
from robusteval.record import store
from robusteval.record.run import Record
from robusteval.testing.certificates.graphs import network
from tests.engine import test_unit_store_edges as units
from tests.engine.data_files import X, Y, idx
from tests.record.tables import full

PLAN, CELL = units.PLAN, units.CELL
SUITE = """
name = "s"
version = "1"
norms = ["l2", "linf"]
samples = 20
probe_samples = 0
eps = { linf = 0.1 }
noise_draws = { samples = 5 }
[[attack]]
plugin = "pgd"
name = "p"
params = { steps = 3 }
search = 2
norms = ["linf"]
[[cascade]]
name = "pair"
eps = { l2 = [0.5] }
[[cascade.member]]
plugin = "fgsm"
[[defense]]
plugin = "blur"
adaptive = ["p"]
oblivious = ["p"]
"""


SETTINGS = """
model = "m.onnx"
data = "d.npz"
range = [0, 255]
mean = [0.5]
suite = "s.toml"
out = "run"
[gates]
fail_under = ["linf@8/255>=0.4", "grade>=B"]
"""


def value(name: str, kind: int, shape: list[int | str] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


@functools.cache
def net(outside: bool = False, loop: bool = False) -> bytes:
    """A classifier of images 1x4x4 with three classes; its weights beside it (in `w.bin`), or within a loop."""
    rng = np.random.default_rng(0)
    arrays = {"w": rng.normal(size=(16, 3)).astype(np.float32), "b": np.zeros(3, np.float32)}
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    if outside:
        for key, said in {"location": "w.bin", "offset": "0", "length": "192"}.items():
            tensors[0].external_data.add(key=key, value=said)
        tensors[0].ClearField("raw_data")
        tensors[0].data_location = TensorProto.EXTERNAL
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w", "b"], ["logits"], alpha=1.0),
        helper.make_node("Softmax", ["logits"], ["y"], axis=-1),
    ]
    if loop:
        body = helper.make_graph(
            [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Mul", ["v", "v"], ["u"])],
            "body",
            [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("v", TensorProto.FLOAT, None)],
            [value("on", TensorProto.BOOL, []), value("u", TensorProto.FLOAT, None)],
        )
        tensors += [numpy_helper.from_array(np.array(2), "n"), numpy_helper.from_array(np.array(True), "yes")]
        nodes[1:2] = [
            helper.make_node("Gemm", ["flat", "w", "b"], ["one"]),
            helper.make_node("Loop", ["n", "yes", "one"], ["logits"], body=body),
        ]
    x, y = value("x", TensorProto.FLOAT, ["n", 1, 4, 4]), value("y", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph(nodes, "net", [x], [y], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"name": "net", "class_names": "a,b,c"})
    return bytes(model.SerializeToString())


def npz(packed: bool = False) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, x=X, y=Y, class_names=np.array(["a", "b", "c"]))
    return buffer.getvalue()


def idx_pair(packed: bool = False) -> bytes:
    """Images; their labels go beside them."""
    return gzip.compress(idx(X)) if packed else idx(X)


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(X[0]).save(buffer, format=kind)
    return buffer.getvalue()


def parquet() -> bytes:
    buffer = io.BytesIO()
    names = {"info": {"features": {"label": {"names": ["a", "b", "c"]}}}}
    made = pa.table({"image": [picture("PNG")] * 4, "label": Y.tolist()})
    pq.write_table(made.replace_schema_metadata({"huggingface": json.dumps(names)}), buffer, row_group_size=3)
    return buffer.getvalue()


@functools.cache
def run() -> dict[str, bytes]:
    """The files of a run with its columns beside it: record.json and samples.parquet."""
    with tempfile.TemporaryDirectory() as place:
        store.save(full(), Path(place))
        return {path.name: path.read_bytes() for path in Path(place).iterdir()}


def marks(record: Record) -> bytes:
    """Marks of two pictures of a record."""
    rows = [{"sample": picture.sample, "cell": picture.cell} for picture in record.gallery[:2]]
    return json.dumps({"schema": "robusteval-marks-1", "record": store.digest(record), "marks": rows}).encode()


def unit(judged: bool = False) -> bytes:
    """A unit without its seal, which whoever spoils it puts on again."""
    sealed = sealed_unit(PLAN, CELL, 0, units.judged() if judged else units.unit(strengths=units.kept()))
    return sealed[: -units_seal()] + b"\0\0"


def proofs() -> bytes:
    """The graph of a small net, as a run with certificates keeps it."""
    return packed(network("two-branched", "relu", torch.Generator("cpu").manual_seed(0)))


def units_seal() -> int:
    from robusteval.engine.units import store as module

    return module._SEALED + 2
