"""Random quantised classifiers as files, in the forms that quantisers write, and what ONNX Runtime makes of points."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Generator, Tensor

from robusteval import ops
from robusteval.api import Norm, Statement
from robusteval.contracts.certificates.evaluate import scores
from robusteval.contracts.classifier import LoadOptions
from robusteval.loaders.onnx.classifier import OnnxClassifier, load_onnx

SHAPE, CLASSES = (2, 6, 6), 4
FORMS = ("qdq", "qdq, signed", "qoperator", "integer")


@dataclass
class Draft:
    """A file in the making: operators by their names, constants by their values."""

    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def put(self, value: Any, kind: type) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def __call__(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], f"n{len(self.nodes)}", domain=domain, **attributes))
        return name

    def saved(self, last: str, folder: Path, shape: tuple[int, ...] = SHAPE, classes: int = CLASSES) -> Path:
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])
        out = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", classes])
        model = helper.make_model(
            helper.make_graph(self.nodes, "g", [given], [out], self.constants),
            opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)],
        )
        model.ir_version = 8
        path = folder / "net.onnx"
        onnx.save(model, path)
        return path


@dataclass
class Layer:
    """A quantised value: its name, scale, zero point."""

    name: str
    scale: np.float32
    zero: int


def made(form: str, seed: int, folder: Path) -> OnnxClassifier:
    """A convolution, a pool or none, and two dense layers, each quantised to a few or to many of its 256 numbers."""
    rng = np.random.default_rng(seed)
    draft = Draft(rng)
    kind = np.int8 if "signed" in form else np.uint8
    x = draft("Mul", draft("Sub", "x", draft.put(0.37, np.float32)), draft.put(2.3, np.float32))
    levels = float(rng.choice([12.0, 200.0]))
    layer = _quantised(draft, x, np.float32(2.3 / levels), int(levels * 0.37) - (128 if kind is np.int8 else 0), kind)
    layer = _product(draft, form, layer, "Conv", (4, 2, 3, 3), kind)
    if seed % 3 == 0:
        layer = _pooled(draft, form, layer)
    layer = _flat(draft, form, layer)
    size = 4 * 6 * 6 if seed % 3 else 4 * 3 * 3
    layer = _product(draft, form, layer, "Gemm", (8, size), kind)
    layer = _product(draft, form, layer, "MatMul" if seed % 2 else "Gemm", (CLASSES, 8), kind, seed % 4 < 2)
    return load_onnx(draft.saved(layer.name, folder), LoadOptions())


def _quantised(draft: Draft, x: str, scale: np.float32, zero: int, kind: type) -> Layer:
    return Layer(draft("QuantizeLinear", x, draft.put(scale, np.float32), draft.put(zero, kind)), scale, zero)


def _real(draft: Draft, layer: Layer, kind: type) -> str:
    return draft("DequantizeLinear", layer.name, draft.put(layer.scale, np.float32), draft.put(layer.zero, kind))


@dataclass
class Numbers:
    """Of a product: its weights as the operator takes them, its scales and biases by row, what the result is quantised
    to, and attributes. last: whether the result stays real; None: it does not, and is no score."""

    op: str
    weight: Any
    scale: Any
    bias: Any
    out: np.float32
    zero: int
    last: bool | None
    places: dict[str, Any]


def _product(
    draft: Draft, form: str, layer: Layer, op: str, shape: tuple[int, ...], kind: type, last: bool | None = None
) -> Layer:
    rng, fan = draft.rng, int(np.prod(shape[1:]))
    weight = rng.integers(-60, 61, shape).astype(np.int8)  # 7 bits, so that no processor saturates
    scale = (rng.random(shape[0]) * 0.02 + 0.01).astype(np.float32) / np.float32(fan**0.5)
    bias = rng.integers(-2000, 2000, shape[0]).astype(np.int32)
    out = np.float32(float(layer.scale) * 70 / float(rng.choice([4.0, 60.0])))
    zero = 0 if last is None and rng.random() < 0.5 else int(rng.integers(90, 140))
    zero -= 128 if kind is np.int8 else 0
    places: dict[str, Any] = {"pads": [1, 1, 1, 1]} if op == "Conv" else {"transB": 1} if op == "Gemm" else {}
    weight = weight.T.copy() if op == "MatMul" else weight
    numbers = Numbers(op, weight, scale, bias, out, zero, last, places)
    if form == "integer":
        return _integer(draft, layer, numbers)
    if form == "qoperator":
        return _operator(draft, layer, numbers)
    return _pairs(draft, layer, numbers, kind)


def _pairs(draft: Draft, layer: Layer, numbers: Numbers, kind: type) -> Layer:
    zeros = np.zeros(len(numbers.scale))
    w = [draft.put(numbers.weight, np.int8), draft.put(numbers.scale, np.float32), draft.put(zeros, np.int8)]
    given = [_real(draft, layer, kind), draft("DequantizeLinear", *w, axis=1 if numbers.op == "MatMul" else 0)]
    if numbers.op != "MatMul":
        factor = draft.put((numbers.scale * layer.scale).astype(np.float32), np.float32)
        b = [draft.put(numbers.bias, np.int32), factor, draft.put(zeros, np.int32)]
        given.append(draft("DequantizeLinear", *b, axis=0))
    y = draft(numbers.op, *given, **numbers.places)
    if numbers.last:
        return Layer(y, np.float32(1), 0)
    if numbers.last is None and draft.rng.random() < 0.5:
        y = draft("Relu", y)
    quantised = _quantised(draft, y, numbers.out, numbers.zero, kind)
    return quantised if numbers.last is None else Layer(_real(draft, quantised, kind), np.float32(1), 0)


def _operator(draft: Draft, layer: Layer, numbers: Numbers) -> Layer:
    zeros = np.zeros(len(numbers.scale))
    given = [layer.name, draft.put(layer.scale, np.float32), draft.put(layer.zero, np.uint8)]
    given += [draft.put(numbers.weight, np.int8), draft.put(numbers.scale, np.float32), draft.put(zeros, np.int8)]
    after = [draft.put(numbers.out, np.float32), draft.put(numbers.zero, np.uint8)]
    bias = draft.put(numbers.bias, np.int32)
    if numbers.op == "Conv":
        name = draft("QLinearConv", *given, *after, bias, **numbers.places)
    elif numbers.op == "Gemm":
        name = draft("QGemm", *given, bias, *after, domain="com.microsoft", **numbers.places)
    else:
        name = draft("QLinearMatMul", *given, *after)
    quantised = Layer(name, numbers.out, numbers.zero)
    return quantised if numbers.last is None else Layer(_real(draft, quantised, np.uint8), np.float32(1), 0)


def _integer(draft: Draft, layer: Layer, numbers: Numbers) -> Layer:
    op, places = ("ConvInteger", numbers.places) if numbers.op == "Conv" else ("MatMulInteger", {})
    weight = numbers.weight.T.copy() if numbers.op == "Gemm" else numbers.weight
    name = draft(op, layer.name, draft.put(weight, np.int8), draft.put(layer.zero, np.uint8), **places)
    shape, factor = (-1, 1, 1) if numbers.op == "Conv" else (-1,), numbers.scale * layer.scale
    y = draft("Mul", draft("Cast", name, to=TensorProto.FLOAT), draft.put(factor.reshape(shape), np.float32))
    y = draft("Add", y, draft.put((numbers.bias * factor).reshape(shape), np.float32))
    if numbers.last is not None:
        return Layer(y, np.float32(1), 0)
    return _quantised(draft, y, numbers.out, numbers.zero, np.uint8)


def _pooled(draft: Draft, form: str, layer: Layer) -> Layer:
    kind = np.int8 if "signed" in form else np.uint8
    if form.startswith("qdq"):
        y = draft("MaxPool", _real(draft, layer, kind), kernel_shape=[2, 2], strides=[2, 2])
        return _quantised(draft, y, layer.scale, layer.zero, kind)
    return Layer(draft("MaxPool", layer.name, kernel_shape=[2, 2], strides=[2, 2]), layer.scale, layer.zero)


def _flat(draft: Draft, form: str, layer: Layer) -> Layer:
    kind = np.int8 if "signed" in form else np.uint8
    if form.startswith("qdq"):
        return _quantised(draft, draft("Flatten", _real(draft, layer, kind)), layer.scale, layer.zero, kind)
    return Layer(draft("Flatten", layer.name), layer.scale, layer.zero)


def asked(model: OnnxClassifier, norm: Norm, eps: float, rng: Generator, images: int = 2) -> Statement:
    """About random images with the labels that the file gives them."""
    graph = model.graph()
    x = (torch.rand((images, *model.info.input_shape), generator=rng, device="cpu") * 1.4 - 0.2).clamp(0.0, 1.0)
    label = model.logits(x).argmax(1)
    right = torch.nn.functional.one_hot(label, graph.classes).bool()
    radius = torch.full((images,), eps, dtype=torch.float64, device="cpu")
    return Statement(graph, x.double(), label, right, norm, radius, (0.0, 1.0))


def lowest(model: OnnxClassifier, statement: Statement, points: int, rng: Generator) -> Tensor:
    """The smallest margin that ONNX Runtime gives at points of the balls, [B]: the images, corners, random points, and
    a descent with gradients that go straight through the roundings."""
    x, found = statement.x, torch.full_like(statement.eps, torch.inf)

    def meet(point: Tensor) -> Tensor:
        near = ops.project(x, point, statement.norm, statement.eps, statement.bounds)
        held = near.float()
        held = torch.where(held.double() > near, torch.nextafter(held, x.float()), held)
        held = torch.where(held.double() < near, torch.nextafter(held, x.float()), held)
        inside = ops.size(held.double() - x, statement.norm) <= statement.eps
        answers = model.logits(held).double()
        lead = answers.gather(1, statement.label[:, None]) - answers
        margin = lead.scatter(1, statement.label[:, None], torch.inf).amin(1)
        found.copy_(torch.where(inside, torch.minimum(found, margin), found))
        return near

    meet(x)
    for number in range(points):
        draw = ops.random_on_sphere if number % 3 else ops.random_in_ball
        meet(x + draw(x, statement.norm, statement.eps, rng))
    point = x
    for number in range(10):
        leaf = point.detach().requires_grad_(True)
        answers = scores(statement.graph, leaf)
        lead = answers.gather(1, statement.label[:, None]) - answers
        low = lead.scatter(1, statement.label[:, None], torch.inf).amin(1).sum()
        (grad,) = torch.autograd.grad(low, leaf)
        step = ops.per_sample(statement.eps, x) * (2.0 if number == 0 else 0.5)
        point = meet(point - step * ops.ascent(grad, statement.norm)).detach()
    return found
