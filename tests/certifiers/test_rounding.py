"""What the proofs take ONNX Runtime's float32 to be: within the derived radius of every node, and not far within."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from robusteval_certifiers.crown import Crown
from torch import nn

from robusteval.api import affine_radius, affine_value
from robusteval.contracts.certificates.evaluate import scores
from robusteval.contracts.certificates.graph import Node
from robusteval.contracts.certificates.rounding import LIBRARY, activation_radius, terms
from robusteval.contracts.classifier import LoadOptions
from robusteval.loaders.onnx.classifier import load_onnx
from robusteval.testing.certificates.graphs import statement
from tests.loaders.exports import export

EXACT: dict[str, Callable[[Any], Any]] = {
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Tanh": np.tanh,
    "Erf": lambda x: torch.erf(torch.from_numpy(x)).numpy(),
}


@pytest.mark.parametrize("operator", list(EXACT))
def test_onnx_runtime_computes_activations_within_what_is_taken_for_granted(operator: str) -> None:
    node = helper.make_node(operator, ["x"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in "xy"]
    model = helper.make_model(
        helper.make_graph([node], "g", values[:1], values[1:]), opset_imports=[helper.make_opsetid("", 13)]
    )
    model.ir_version = 8
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.concatenate([np.linspace(-30, 30, 200_001), np.linspace(-1e-3, 1e-3, 2001)]).astype(np.float32)
    found = session.run(None, {"x": x})[0].astype(np.float64)
    assert np.abs(found - EXACT[operator](x.astype(np.float64))).max() < LIBRARY / 2


def test_the_radius_of_a_sum_holds_and_is_not_vast() -> None:
    """Of a product of 400 terms, in float32: below the radius, and above a thousandth of it."""
    rng = torch.Generator("cpu").manual_seed(0)
    weight, bias = torch.randn(64, 400, generator=rng), torch.randn(64, generator=rng)
    x = torch.rand(50, 400, generator=rng)
    node = Node("linear", (0,), (64,), {"weight": weight.double(), "bias": bias.double()})
    assert terms(node) == 401
    exact = affine_value(node, [x.double()], [(400,)])
    gap = (torch.nn.functional.linear(x, weight, bias).double() - exact).abs()
    radius = affine_radius(node, [x.double()], [(400,)])
    assert (gap <= radius).all()
    assert gap.max() > radius.max() / 1000


def test_a_proof_holds_for_what_onnx_runtime_answers_at_the_image_itself(tmp_path: Path) -> None:
    """At radius 0 the bound is below the file's own margin, however many layers round."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers: list[nn.Module] = [nn.Flatten()]
        for _ in range(8):
            layers += [nn.Linear(64, 64), nn.ReLU()]
        net = nn.Sequential(*layers, nn.Linear(64, 5))
        for layer in net.modules():
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    model = load_onnx(export(net, tmp_path / "deep.onnx", (1, 8, 8)), LoadOptions())
    graph = model.graph()
    asked = statement(graph, "linf", 0.0, torch.Generator("cpu").manual_seed(1), images=20)
    top = model.logits(asked.x.float()).double().topk(2, 1).values
    bound = Crown().bound(asked).margin
    assert (bound <= top[:, 0] - top[:, 1]).all()
    true = scores(graph, asked.x).topk(2, 1).values
    assert (bound <= true[:, 0] - true[:, 1]).all()


def test_small_values_of_large_inputs_carry_the_rounding_of_the_input() -> None:
    node = Node("activation", (0,), (1,), {}, {"kind": "gelu"})
    low, high = torch.tensor([[-900.0]]).double(), torch.tensor([[-800.0]]).double()
    assert float(activation_radius(node, low, high, torch.zeros_like(low))) >= 900 * LIBRARY
