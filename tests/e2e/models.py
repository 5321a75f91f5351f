"""The example CNN as a torch module, and re-exported the ways that submitters export."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def example_cnn() -> nn.Sequential:
    """The network of examples/networks.py with the weights of the committed file."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        from networks import cnn
    finally:
        sys.path.remove(str(EXAMPLES))
    weights = {
        item.name: numpy_helper.to_array(item) for item in onnx.load(EXAMPLES / "fashion-cnn.onnx").graph.initializer
    }
    network: nn.Sequential = cnn(weights["1.weight"].shape[0], weights["6.weight"].shape[0])
    network.load_state_dict({name: torch.from_numpy(weights[name].copy()) for name in network.state_dict()})
    return network.eval()


class ChannelsLast(nn.Module):
    """Takes [B, H, W, C]."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.inner(x.permute(0, 3, 1, 2))
        return answer


def export(
    module: nn.Module, path: Path, opset: int = 17, batch: int | None = None, shape: tuple[int, ...] = (1, 28, 28)
) -> Path:
    """An ONNX file of the module; a free batch axis unless batch is given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter announces its successor; it is the one that writes opset 9
        torch.onnx.export(
            module,
            (torch.rand(batch or 2, *shape),),
            str(path),
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=None if batch else {"x": {0: "n"}, "y": {0: "n"}},
            opset_version=opset,
        )
    return path


def half(source: Path, target: Path) -> Path:
    """The file in float16, by ONNX Runtime's own converter."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source)), target)
    return target
