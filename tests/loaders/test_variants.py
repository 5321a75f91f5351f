"""The same small network as different submitters would hand it in."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from robusteval.contracts.classifier import LoadOptions
from robusteval.errors import AccessError, ModelError
from robusteval.loaders.onnx.classifier import OnnxClassifier, load_onnx
from tests.loaders import exports, zoo


def images(n: int = 4, shape: tuple[int, ...] = (3, 16, 16)) -> torch.Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(5))


def load(path: Path, **options: Any) -> OnnxClassifier:
    return load_onnx(path, LoadOptions(**options))


def same_scores(classifier: OnnxClassifier, x: torch.Tensor, want: torch.Tensor, tolerance: float = 1e-4) -> None:
    assert torch.allclose(classifier.logits(x), want, atol=tolerance)
    assert torch.allclose(classifier.twin(x), want, atol=tolerance)


@pytest.mark.parametrize("opset", [9, 13, 17, 20])
def test_every_opset_means_the_same(opset: int, tmp_path: Path) -> None:
    module = exports.cnn()
    classifier = load(exports.export(module, tmp_path / "m.onnx", opset=opset))
    assert (classifier.info.opset, classifier.info.rung) == (opset, "A")
    with torch.no_grad():
        same_scores(classifier, images(), module(images()))


def test_channels_last_flat_and_two_axis_inputs_become_canonical(tmp_path: Path) -> None:
    module, x = exports.cnn(), images()
    want = module(x).detach()
    last = exports.export(exports.Wrapped(module, lambda v: v.permute(0, 3, 1, 2)), tmp_path / "l.onnx", (16, 16, 3))
    nhwc = load(last)
    assert (nhwc.info.layout, nhwc.info.input_shape) == ("NHWC", (3, 16, 16))
    assert any("NHWC" in note for note in nhwc.info.notes)
    same_scores(nhwc, x, want)
    unflat = exports.Wrapped(module, lambda v: v.reshape(-1, 3, 16, 16))
    for file_shape in ((768,), (768, 1), (1, 768, 1)):
        path = exports.export(unflat, tmp_path / "f.onnx", file_shape)
        flat = load(path)
        assert (flat.info.layout, flat.info.input_shape) == ("flat", (768,))
        same_scores(flat, x.flatten(1), want)
        shaped = load(path, input_shape=(3, 16, 16))
        assert shaped.info.input_shape == (3, 16, 16)
        same_scores(shaped, x, want)
    grey = zoo.S(zoo.cbr(1, 8), zoo.head(8)).eval()
    plain = load(exports.export(exports.Wrapped(grey, lambda v: v[:, None]), tmp_path / "g.onnx", (16, 16)))
    assert (plain.info.layout, plain.info.input_shape) == ("other", (1, 16, 16))
    same_scores(plain, x[:, :1], grey(x[:, :1]).detach())


def test_a_fixed_batch_is_no_obstacle(tmp_path: Path) -> None:
    module, x = exports.cnn(), images(5)
    want = module(x).detach()
    for batch in (1, 4):
        fixed = load(exports.export(module, tmp_path / "m.onnx", batch=batch))
        assert (fixed.info.batch, fixed.info.rung) == (batch, "A")
        same_scores(fixed, x, want)
    vit = zoo.make("vit")
    stuck = load(exports.export(vit, tmp_path / "v.onnx", batch=1))
    assert (stuck.info.rung, stuck.info.gradients) == ("D", "exact")
    same_scores(stuck, x, vit(x).detach())
    leaf = x.clone().requires_grad_(True)
    stuck.twin(leaf)[:, 3].sum().backward()
    own = x.clone().requires_grad_(True)
    vit(own)[:, 3].sum().backward()
    assert leaf.grad is not None
    assert own.grad is not None
    assert torch.allclose(leaf.grad, own.grad, atol=1e-5)


def test_open_sizes_ask_for_a_shape(tmp_path: Path) -> None:
    path = exports.export(exports.cnn(), tmp_path / "m.onnx", open_axes=(2, 3))
    with pytest.raises(ModelError, match="--shape"):
        load(path)
    assert load(path, input_shape=(3, 16, 16)).info.input_shape == (3, 16, 16)
    with pytest.raises(ModelError, match="takes inputs"):
        load(path, input_shape=(1, 16, 16))


def test_probabilities_become_logarithms_and_gradients_do_not_saturate(tmp_path: Path) -> None:
    module, x = exports.cnn(), images()
    logits = module(x).detach()
    soft = load(exports.export(exports.Wrapped(module, None, lambda y: torch.softmax(y, 1)), tmp_path / "s.onnx"))
    assert (soft.info.output, soft.info.rung, soft.info.parity["compared"]) == ("probabilities", "A", "logits")
    same_scores(soft, x, torch.log_softmax(logits, 1))
    hot = load(exports.export(exports.Wrapped(module, None, lambda y: torch.softmax(200 * y, 1)), tmp_path / "h.onnx"))
    assert hot.info.rung == "C"
    leaf = x.clone().requires_grad_(True)
    top = hot.twin(leaf).topk(2, 1).values
    grad = torch.autograd.grad((top[:, 0] - top[:, 1]).sum(), leaf)[0]
    assert (grad.flatten(1).abs().amax(1) > 0).all()
    assert torch.equal(hot.logits(x).argmax(1), logits.argmax(1))
    logs = load(exports.export(exports.Wrapped(module, None, lambda y: torch.log_softmax(y, 1)), tmp_path / "l.onnx"))
    assert logs.info.output == "log-probabilities"
    same_scores(logs, x, torch.log_softmax(logits, 1))


def test_a_single_score_stands_for_two_classes(tmp_path: Path) -> None:
    module, x = exports.cnn(), images()
    z = module(x).detach()[:, :1]
    sig = load(exports.export(exports.Wrapped(module, None, lambda y: torch.sigmoid(y[:, :1])), tmp_path / "s.onnx"))
    assert (sig.info.classes, sig.info.output) == (2, "probabilities")
    same_scores(sig, x, torch.cat([torch.nn.functional.logsigmoid(-z), torch.nn.functional.logsigmoid(z)], 1))
    raw = load(exports.export(exports.Wrapped(module, None, lambda y: y[:, :1]), tmp_path / "r.onnx"))
    same_scores(raw, x, torch.cat([torch.zeros_like(z), z], 1))


def test_half_precision_is_computed_in_single(exported: Callable[[str], Path], tmp_path: Path) -> None:
    half = load(exports.halved(exported("vgg"), tmp_path / "h.onnx"))
    assert (half.info.precision, half.info.rung) == ("float16", "A")
    assert half.logits(images()).dtype == torch.float32
    assert 1e-6 < float(half.info.parity["max_relative_gap"]) < 5e-3


def test_mean_and_std_are_applied_inside(exported: Callable[[str], Path]) -> None:
    x, mean, std = images(), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    classifier = load(exported("vgg"), mean=mean, std=std)
    normal = (x - torch.tensor(mean).reshape(3, 1, 1)) / torch.tensor(std).reshape(3, 1, 1)
    same_scores(classifier, x, exports.cnn()(normal).detach())
    with pytest.raises(ModelError, match="channels"):
        load(exported("vgg"), mean=(0.5, 0.5))
    with pytest.raises(ModelError, match="positive"):
        load(exported("vgg"), std=(0.0,))


def byte_model(source: Path, target: Path) -> Path:
    """The same network behind a uint8 input, which it divides by 255 itself."""
    model = onnx.load(str(source))
    model.graph.node.insert(0, helper.make_node("Cast", ["bytes"], ["reals"], to=TensorProto.FLOAT))
    model.graph.node.insert(1, helper.make_node("Div", ["reals", "k255"], ["x"]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(255.0, np.float32), "k255"))
    model.graph.input[0].name = "bytes"
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    target.write_bytes(model.SerializeToString())
    return target


def test_a_file_of_bytes_is_asked_in_bytes(exported: Callable[[str], Path], tmp_path: Path) -> None:
    path = byte_model(exported("vgg"), tmp_path / "u8.onnx")
    x = (images() * 255).round()
    want = exports.cnn()(x / 255).detach()
    for bounds, given in (((0.0, 255.0), x), ((0.0, 1.0), x / 255)):
        classifier = load(path, bounds=bounds)
        assert (classifier.info.rung, classifier.info.gradients) == ("B", "straight-through")
        assert any("rounded" in note for note in classifier.info.notes)
        same_scores(classifier, given, want)
    stretched = load(path)
    assert torch.equal(stretched.logits(x / 255 + 0.3 / 255), stretched.logits(x / 255))  # the rounding is real


@pytest.mark.parametrize("how", ["qdq", "qoperator", "dynamic"])
@pytest.mark.parametrize("name", ["vgg", "mobilenet_v3", "vit"])
@pytest.mark.filterwarnings("ignore")  # the quantiser's own
def test_int8_passes_gradients_straight_through(
    name: str, how: str, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    classifier = load(exports.quantised(exported(name), tmp_path / "q.onnx", how))
    info = classifier.info
    assert (info.precision, info.rung, info.gradients) == ("int8", "B", "straight-through")
    assert float(info.parity["max_relative_gap"]) <= 1e-1
    assert info.batch == (1 if how == "dynamic" else None)
    leaf = images().requires_grad_(True)
    scores = classifier.twin(leaf)
    assert torch.equal(scores.argmax(1), classifier.logits(images()).argmax(1))
    grad = torch.autograd.grad(scores[:, 0].sum(), leaf)[0]
    real = images().requires_grad_(True)
    plain = torch.autograd.grad(zoo.make(name)(real)[:, 0].sum(), real)[0]
    cosine = torch.nn.functional.cosine_similarity(grad.flatten(), plain.flatten(), dim=0)
    assert cosine > 0.8  # of the network before it was quantised


def test_steps_are_found_by_measurement(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(64, 10)).astype(np.float32)
    nodes = [
        helper.make_node("Mul", ["x", "k"], ["a"]),
        helper.make_node("Round", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
    ]
    path = exports.save(tmp_path / "r.onnx", nodes, {"k": np.float32(16), "w": weights}, x=["n", 64], y=["n", 10])
    rounded = load(path)
    assert (rounded.info.rung, rounded.info.gradients) == ("B", "straight-through")
    assert "Round" in rounded.info.gradients_reason
    nodes[1] = helper.make_node(
        "Floor", ["a"], ["f"]
    )  # x - floor(x): exact gradients are right, straight ones are zero
    nodes.insert(2, helper.make_node("Sub", ["a", "f"], ["b"]))
    path = exports.save(tmp_path / "f.onnx", nodes, {"k": np.float32(1.5), "w": weights}, x=["n", 64], y=["n", 10])
    assert (load(path).info.rung, load(path).info.gradients) == ("A", "exact")


@pytest.mark.statistical
def test_it_travels_as_bytes(exported: Callable[[str], Path]) -> None:
    classifier, x = load(exported("resnet")), images()
    before = classifier.logits(x), classifier.twin(x)
    blob = pickle.dumps(classifier)
    copy = pickle.loads(blob)
    assert copy.info == classifier.info
    assert torch.equal(copy.logits(x), before[0])
    assert torch.equal(copy.twin(x), before[1])
    assert len(blob) < 2 * exported("resnet").stat().st_size + 20_000


def test_empty_batches_and_wrong_shapes(exported: Callable[[str], Path]) -> None:
    classifier = load(exported("vgg"))
    assert classifier.logits(images(0)).shape == (0, 10)
    assert classifier.twin(images(0)).shape == (0, 10)
    with pytest.raises(ModelError, match="3 x 16 x 16"):
        classifier.logits(torch.rand(2, 1, 16, 16))


def test_weights_listed_as_inputs_and_metadata(exported: Callable[[str], Path], tmp_path: Path) -> None:
    model = onnx.load(str(exported("vgg")))
    model.ir_version = 3
    for t in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(t.name, t.data_type, t.dims))
    helper.set_model_props(model, {"class_names": ",".join("abcdefghij"), "dataset": "fashion-mnist"})
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    info = load(tmp_path / "m.onnx").info
    assert info.rung == "A"
    assert info.class_names == tuple("abcdefghij")
    assert info.dataset == "fashion-mnist"


def test_without_a_rule_it_is_a_black_box_and_says_why(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unique", ["x"], ["u"]),
        helper.make_node("Shape", ["u"], ["k"]),
        helper.make_node("Cast", ["k"], ["f"], to=1),
        helper.make_node("Add", ["x", "f"], ["y"]),
    ]
    classifier = load(exports.save(tmp_path / "u.onnx", nodes, {}, x=["n", 10], y=["n", 10]))
    assert (classifier.info.rung, classifier.info.gradients) == ("E", "none")
    assert "Unique" in classifier.info.gradients_reason
    assert classifier.logits(torch.rand(2, 10)).shape == (2, 10)
    with pytest.raises(AccessError, match="Unique"):
        classifier.twin(torch.rand(2, 10))
    argmax = [helper.make_node("ArgMax", ["x"], ["y"], axis=1, keepdims=0)]
    labels = load(exports.save(tmp_path / "a.onnx", argmax, {}, x=["n", 10], y=["n"], out=TensorProto.INT64))
    assert (labels.info.rung, labels.info.output, labels.info.classes) == ("C", "labels", 10)
    assert "before ArgMax" in labels.info.gradients_reason
    x = torch.rand(6, 10)
    assert torch.equal(labels.logits(x).argmax(1), x.argmax(1))
