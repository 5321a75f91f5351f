"""Changes of images as nodes of a graph, for certifiers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.api import GraphNode
from robusteval_defenses._common.filters import taps


def selection(shape: tuple[int, int, int], change: Callable[[Tensor], Tensor], source: int) -> GraphNode:
    """A change of images of a shape that only moves, repeats or leaves out pixels, asked about numbered ones."""
    count = shape[0] * shape[1] * shape[2]
    places = torch.arange(count, dtype=torch.float64, device="cpu").reshape(1, *shape)
    moved = change(places)[0].round().long()
    fill = torch.zeros(moved.numel(), dtype=torch.float64, device="cpu")
    return GraphNode("gather", (source,), tuple(moved.shape), {"index": moved.flatten(), "fill": fill})


def gaussian_steps(shape: tuple[int, int, int], sigma: float, bounds: tuple[float, float]) -> tuple[GraphNode, ...]:
    """`filters.gaussian` of images, clipped to the bounds."""
    channels, height, width = shape
    weight = taps(sigma).float().double()  # as the filter has them, in float32
    reach = len(weight) // 2
    edges = selection(shape, lambda x: F.pad(x, (reach,) * 4, mode="replicate"), 0)
    nodes = [GraphNode("input", (), shape), edges]
    for size, kernel in (((height, width + 2 * reach), (-1, 1)), ((height, width), (1, -1))):
        tensors = {
            "weight": weight.reshape(1, 1, *kernel).expand(channels, 1, -1, -1).clone(),
            "bias": torch.zeros(channels, dtype=torch.float64, device="cpu"),
        }
        settings = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": channels}
        nodes.append(GraphNode("conv", (len(nodes) - 1,), (channels, *size), tensors, settings, "the blur"))
    clip = {"kind": "clip", "low": bounds[0], "high": bounds[1]}
    return (*nodes, GraphNode("activation", (len(nodes) - 1,), shape, {}, clip, "the range"))
