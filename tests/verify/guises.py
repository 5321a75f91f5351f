"""One small network of 36 pixels and 4 classes, handed in as every kind of file that is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Node = onnx.NodeProto
PIXELS, CLASSES, IMAGES = 36, 4, 20
RNG = 11
TYPES = {
    "uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "uint16": TensorProto.UINT16, "int16": TensorProto.INT16,
    "int32": TensorProto.INT32, "int64": TensorProto.INT64, "double": TensorProto.DOUBLE, "half": TensorProto.FLOAT16,
}  # fmt: skip
node = helper.make_node


@dataclass(frozen=True)
class Guise:
    """dims: of the declared input; pre: nodes from x to flat [B, 36]; post: from scores [B, 4] to the outputs."""

    dims: tuple[Any, ...] = ("n", 1, 6, 6)
    pre: tuple[Node, ...] = (node("Flatten", ["x"], ["flat"]),)
    post: tuple[Node, ...] = ()
    outputs: tuple[tuple[str, tuple[Any, ...] | None, int], ...] = (("scores", ("n", CLASSES), TensorProto.FLOAT),)
    elem: int = TensorProto.FLOAT
    work: Any = np.float32  # the element type that the network works in
    consts: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = (1, 6, 6)  # of the images as they are stored
    bounds: tuple[float, float] = (0.0, 1.0)
    options: dict[str, Any] = field(default_factory=dict)
    turn: Callable[[Any], Any] = lambda flat: flat  # order in which the network reads the stored image's numbers
    external: bool = False


def weights() -> dict[str, Any]:
    """A network whose scores for images of [0, 1] spread over its classes."""
    rng = np.random.default_rng(RNG)
    first, last = rng.normal(size=(PIXELS, 12)) / 3, rng.normal(size=(12, CLASSES))
    return {"w1": first, "b1": -0.5 * first.sum(0), "w2": last, "b2": np.array([0.0, 0.1, -0.1, 0.05])}


def scores_of(flat: Any) -> Any:
    """The network in numpy: flat [n, 36] in [0, 1] -> [n, 4]."""
    w = weights()
    return np.maximum(flat @ w["w1"] + w["b1"], 0) @ w["w2"] + w["b2"]


def write(guise: Guise, folder: Path, one_score: bool = False) -> tuple[Path, tuple[Any, Any]]:
    """The file, and images with the network's own answers as labels."""
    core = [
        node("Gemm", ["flat", "w1", "b1"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("Gemm", ["r", "w2", "b2"], ["scores"]),
    ]
    consts = {name: value.astype(guise.work) for name, value in weights().items()} | guise.consts
    graph = helper.make_graph(
        [*guise.pre, *core, *guise.post],
        "g",
        [helper.make_tensor_value_info("x", guise.elem, guise.dims)],
        [_output(*output) for output in guise.outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in consts.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path = folder / "net.onnx"
    if guise.external:
        onnx.save_model(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    else:
        path.write_bytes(model.SerializeToString())
    unit = np.random.default_rng(RNG).random((IMAGES, *guise.shape))
    unit = np.round(unit * 255) / 255
    low, high = guise.bounds
    scores = scores_of(guise.turn(unit).reshape(IMAGES, -1))
    labels = (scores[:, 0] > 0).astype(np.int64) if one_score else scores.argmax(1)
    return path, ((low + (high - low) * unit).astype(np.float32), labels)


def _output(name: str, dims: tuple[Any, ...] | None, elem: int) -> onnx.ValueInfoProto:
    return onnx.ValueInfoProto(name=name) if dims is None else helper.make_tensor_value_info(name, elem, dims)


def whole(elem: str, bounds: tuple[float, float], span: tuple[float, float], **more: Any) -> Guise:
    """Takes whole numbers of `span`, and maps them onto [0, 1] itself."""
    pre = (
        node("Cast", ["x"], ["real"], to=TensorProto.FLOAT),
        node("Sub", ["real", "low"], ["moved"]),
        node("Div", ["moved", "width"], ["unit"]),
        node("Flatten", ["unit"], ["flat"]),
    )
    consts = {"low": np.float32(span[0]), "width": np.float32(span[1] - span[0])}
    return Guise(pre=pre, elem=TYPES[elem], consts=consts, bounds=bounds, **more)


def reshaped(dims: tuple[Any, ...], sizes: list[int] | None = None, **more: Any) -> Guise:
    """Reshapes its input, of whatever shape, to these sizes, [-1, 36] unless said."""
    consts = {"sizes": np.array(sizes or [-1, PIXELS], np.int64), **more.pop("consts", {})}
    return Guise(dims=dims, pre=(node("Reshape", ["x", "sizes"], ["flat"]),), consts=consts, **more)


def answers(*post: Node, outputs: Any = None, **more: Any) -> Guise:
    """Nodes behind the scores, and the outputs as (name, dims, type); dims None: not declared."""
    made = outputs if outputs is not None else [("y", ("n", CLASSES), TensorProto.FLOAT)]
    return Guise(post=post, outputs=tuple((o[0], o[1], o[2]) for o in made), **more)


def _mlp(elem: str, work: Any) -> Guise:
    return Guise(elem=TYPES[elem], work=work, outputs=(("scores", ("n", CLASSES), TYPES[elem]),))


F, I64 = TensorProto.FLOAT, TensorProto.INT64
ONE = np.array([1], np.int64)
LAST = (0, 2, 3, 1)
ROWS = {"rows": np.array([-1, 1, 1, CLASSES], np.int64)}
SQUEEZED = (("y", (CLASSES,), F),)
NO_BATCH = {"outputs": (("y", (CLASSES,), F),), "post": (node("Reshape", ["scores", "k"], ["y"]),)}
K = {"k": np.array([CLASSES], np.int64)}
SOFT = node("Softmax", ["scores"], ["p"], axis=1)
ZIP = node("ZipMap", ["p"], ["z"], domain="ai.onnx.ml", classlabels_strings=["d", "b", "a", "c"])
TOP = node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0)
AUX = (node("MatMul", ["r", "aux"], ["a1"]), node("MatMul", ["r", "aux"], ["a2"]))
AUX_W = {"aux": np.random.default_rng(3).normal(size=(12, CLASSES)).astype(np.float32)}
LABELLED = helper.make_tensor_value_info

GUISES: dict[str, Guise] = {
    "plain": Guise(),
    "external": Guise(external=True),
    "double": _mlp("double", np.float64),
    "half": _mlp("half", np.float16),
    **{f"{t}-unit": whole(t, (0.0, 1.0), (0, 255)) for t in ("uint8", "uint16", "int16", "int32", "int64")},
    "int8-unit": whole("int8", (0.0, 1.0), (-128, 127)),
    "int8-half": whole("int8", (-0.5, 0.5), (-128, 127)),
    "uint8-half": whole("uint8", (-0.5, 0.5), (0, 255)),
    "uint8-bytes": whole("uint8", (0.0, 255.0), (0, 255)),
    "uint16-wide": whole("uint16", (0.0, 65535.0), (0, 65535)),
    "int16-signed": whole("int16", (-300.0, 300.0), (-300, 300)),
    "int8-normalised": whole("int8", (0.0, 255.0), (-128, 127), options={"mean": (128.0,), "std": (1.0,)}),
    "normalised": Guise(
        pre=(node("Mul", ["x", "s"], ["v"]), node("Add", ["v", "m"], ["u"]), node("Flatten", ["u"], ["flat"])),
        consts={"s": np.float32(0.25), "m": np.float32(0.5)},
        options={"mean": (0.5,), "std": (0.25,)},
    ),
    "batch-1": reshaped((1, 1, 6, 6), [1, PIXELS], outputs=(("scores", (1, CLASSES), F),)),
    "batch-4": Guise(dims=(4, 1, 6, 6), outputs=(("scores", (4, CLASSES), F),)),
    "squeezed": answers(node("Squeeze", ["scores"], ["y"]), outputs=SQUEEZED, dims=(1, 1, 6, 6)),
    "squeezed-open": answers(node("Squeeze", ["scores"], ["y"]), outputs=[("y", None, F)]),
    "squeezed-first": answers(node("Squeeze", ["scores", "ax"], ["y"]), outputs=SQUEEZED, consts={"ax": ONE * 0}),
    "baked-1": reshaped(("n", 1, 6, 6), [1, PIXELS]),
    "baked-8": reshaped(("n", 1, 6, 6), [8, PIXELS]),
    "baked-5-after": answers(node("Reshape", ["scores", "five"], ["y"]), consts={"five": np.array([5, 4], np.int64)}),
    "no-batch": reshaped((1, 6, 6), [1, PIXELS], **NO_BATCH, consts=K),
    "no-batch-colour": reshaped((3, 2, 6), [1, PIXELS], **NO_BATCH, consts=K, shape=(3, 2, 6)),
    "no-batch-row": reshaped((3, 2, 6), [1, PIXELS], shape=(3, 2, 6), outputs=(("scores", (1, CLASSES), F),)),
    "no-batch-grey": reshaped((6, 6), [1, PIXELS], **NO_BATCH, consts=K),
    "no-batch-vector": reshaped((PIXELS,), [1, PIXELS], **NO_BATCH, consts=K),
    "flat": Guise(dims=("n", PIXELS)),
    "flat-ones": Guise(dims=("n", PIXELS, 1, 1)),
    "two-axes": Guise(dims=("n", 6, 6)),
    "open-sides": Guise(dims=("n", 1, "h", "w"), options={"input_shape": (1, 6, 6)}),
    "channels-last": Guise(dims=("n", 2, 6, 3), shape=(3, 2, 6), turn=lambda v: v.transpose(LAST)),
    "nine-last": Guise(dims=("n", 2, 2, 9), shape=(2, 2, 9)),
    "nine-last-stored-first": Guise(dims=("n", 2, 2, 9), shape=(9, 2, 2), turn=lambda v: v.transpose(LAST)),
    "nine-first": Guise(dims=("n", 9, 2, 2), shape=(9, 2, 2)),
    "batch-last": Guise(
        dims=(1, 6, 6, "n"), pre=(node("Transpose", ["x"], ["t"], perm=[3, 0, 1, 2]), node("Flatten", ["t"], ["flat"]))
    ),
    "columns": answers(node("Transpose", ["scores"], ["y"]), outputs=[("y", (CLASSES, "n"), F)]),
    "b11k": answers(node("Reshape", ["scores", "rows"], ["y"]), outputs=[("y", ("n", 1, 1, CLASSES), F)], consts=ROWS),
    "b1k": answers(
        node("Unsqueeze", ["scores", "ax"], ["y"]), outputs=[("y", ("n", 1, CLASSES), F)], consts={"ax": ONE}
    ),
    "bk11": answers(
        node("Unsqueeze", ["scores", "ax"], ["y"]),
        outputs=[("y", ("n", CLASSES, 1, 1), F)],
        consts={"ax": np.array([2, 3], np.int64)},
    ),
    "probabilities": answers(SOFT, outputs=[("p", ("n", CLASSES), F)]),
    "log-probabilities": answers(node("LogSoftmax", ["scores"], ["y"], axis=1)),
    "half-answers": answers(
        node("Cast", ["scores"], ["y"], to=TYPES["half"]), outputs=[("y", ("n", CLASSES), TYPES["half"])]
    ),
    "double-answers": answers(
        node("Cast", ["scores"], ["y"], to=TYPES["double"]), outputs=[("y", ("n", CLASSES), TYPES["double"])]
    ),
    "features-first": answers(outputs=[("r", ("n", 12), F), ("scores", ("n", CLASSES), F)]),
    "heads": answers(
        *AUX, outputs=[("a1", ("n", CLASSES), F), ("scores", ("n", CLASSES), F), ("a2", ("n", 4), F)], consts=AUX_W
    ),
    "named": answers(
        *AUX, outputs=[("a1", ("n", 4), F), ("scores", ("n", 4), F)], consts=AUX_W, options={"output": "scores"}
    ),
    "both-scales": answers(SOFT, outputs=[("p", ("n", CLASSES), F), ("scores", ("n", CLASSES), F)]),
    "labels-first": answers(TOP, outputs=[("label", ("n",), I64), ("scores", ("n", CLASSES), F)]),
    "labels-only": answers(TOP, outputs=[("label", ("n",), I64)]),
    "labels-and-features": answers(TOP, outputs=[("r", ("n", 12), F), ("label", ("n",), I64)]),
    "zipmap": answers(SOFT, ZIP, TOP, outputs=[("label", ("n",), I64), ("z", None, F)]),
    "one-score": answers(
        node("Gather", ["scores", "zero"], ["y"], axis=1), outputs=[("y", ("n", 1), F)], consts={"zero": ONE * 0}
    ),
    "one-sigmoid": answers(
        node("Gather", ["scores", "zero"], ["s"], axis=1),
        node("Sigmoid", ["s"], ["y"]),
        outputs=[("y", ("n", 1), F)],
        consts={"zero": ONE * 0},
    ),
}
