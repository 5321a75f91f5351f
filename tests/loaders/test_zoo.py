"""The twin against ONNX Runtime and against the gradients of the module that was exported."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from robusteval.contracts.classifier import Classifier, LoadOptions
from robusteval.loaders.onnx.classifier import OnnxClassifier, load_onnx
from robusteval.loaders.onnx.gradients.prepass import prepare
from robusteval.loaders.onnx.twin.graph import Twin
from tests.loaders import exports, zoo


def gradient_gap(path: Path, module: nn.Module) -> float:
    """Largest difference between the twin's gradient and the module's, both in float64, relative to the largest."""
    model = onnx.load(str(path))
    prepared = prepare(model, model.graph.output[0].name)
    twin = Twin(prepared.graph, prepared.opsets, types=prepared.types).double()
    rng = torch.Generator().manual_seed(3)
    x = torch.rand(3, 3, 16, 16, generator=rng, dtype=torch.float64)
    weights = torch.randn(3, 10, generator=rng, dtype=torch.float64)
    grads = []
    for f in (twin, copy.deepcopy(module).double()):
        leaf = x.clone().requires_grad_(True)
        grads.append(torch.autograd.grad((f(leaf) * weights).sum(), leaf)[0])
    return float((grads[0] - grads[1]).abs().max() / grads[1].abs().max())


def check_exact(classifier: OnnxClassifier) -> None:
    assert isinstance(classifier, Classifier)
    info = classifier.info
    assert (info.rung, info.gradients, info.gradients_reason) == ("A", "exact", "")
    assert float(info.parity["max_relative_gap"]) < 1e-5
    assert float(info.parity["gradient_drop"]) > float(info.parity["random_drop"])
    x = torch.rand(5, *info.input_shape)
    assert torch.allclose(classifier.twin(x), classifier.logits(x), atol=1e-5, rtol=1e-4)
    assert not classifier.logits(x).requires_grad


@pytest.mark.parametrize("name", list(zoo.ZOO))
def test_twin_is_exact_for_every_family(name: str, exported: Callable[[str], Path]) -> None:
    path = exported(name)
    check_exact(load_onnx(path, LoadOptions()))
    assert gradient_gap(path, zoo.make(name)) < 1e-6


QUICK = ("resnet", "vit", "mobilenet_v3", "swin", "unet", "instance_norm")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.long) for n in zoo.ZOO])
@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_twin_is_exact_for_the_newer_exporter(name: str, tmp_path: Path) -> None:
    module = zoo.make(name)
    path = exports.export_dynamo(module, tmp_path / "model.onnx")
    check_exact(load_onnx(path, LoadOptions()))
    assert gradient_gap(path, module) < 1e-6


@pytest.mark.parametrize("name", ["mlp", "vit", "convnext", "mixer", "efficientnet", "inception"])
def test_twin_knows_what_onnx_runtime_fuses(name: str, exported: Callable[[str], Path], tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    onnxruntime.InferenceSession(str(exported(name)), options, providers=["CPUExecutionProvider"])
    model = onnx.load(options.optimized_model_filepath)
    assert any(node.domain == "com.microsoft" for node in model.graph.node)
    check_exact(load_onnx(tmp_path / "fused.onnx", LoadOptions()))
    assert gradient_gap(tmp_path / "fused.onnx", zoo.make(name)) < 1e-6


def test_weights_are_frozen_and_the_walker_keeps_no_intermediates(exported: Callable[[str], Path]) -> None:
    model = onnx.load(str(exported("resnet")))
    prepared = prepare(model, model.graph.output[0].name)
    twin = Twin(prepared.graph, prepared.opsets, types=prepared.types)
    assert not list(twin.parameters())
    assert not any(b.requires_grad for b in twin.buffers())
    twin(torch.rand(2, 3, 16, 16))
    (plan,) = twin._plans.values()
    freed = {i for step in plan.steps for i in step.free}
    made = {i for step in plan.steps for i in step.outs}
    assert made - freed == {twin.program.output_slots[0]}


def test_shape_arithmetic_is_done_once_a_shape(exported: Callable[[str], Path]) -> None:
    model = onnx.load(str(exported("vit")))
    prepared = prepare(model, model.graph.output[0].name)
    twin = Twin(prepared.graph, prepared.opsets, types=prepared.types)
    for batch in (2, 5, 2, 1):
        assert twin(torch.rand(batch, 3, 16, 16)).shape == (batch, 10)
    assert len(twin._plans) == 3
    (plan, *_) = twin._plans.values()
    assert len(plan.steps) < len(twin.live)


@pytest.mark.parametrize("name", ["vit", "unet"])
def test_a_first_look_without_gradients_does_not_spoil_later_ones(name: str, exported: Callable[[str], Path]) -> None:
    classifier = load_onnx(exported(name), LoadOptions())
    x = torch.rand(4, 3, 16, 16)
    with torch.inference_mode():
        first = classifier.twin(x.clone())
    leaf = x.clone().requires_grad_(True)
    again = classifier.twin(leaf)
    again.sum().backward()
    assert leaf.grad is not None
    assert torch.allclose(first, again, atol=1e-6)
