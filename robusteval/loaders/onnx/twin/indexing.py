"""Gathering, scattering, sorting, and sampling on grids."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.twin.node import Fn, Node, Rule, check_size, numbers


def _positive(index: Tensor, size: int) -> Tensor:
    index = index.long()
    return torch.where(index < 0, index + size, index)


def _gather(node: Node) -> Fn:
    axis = node.get_int("axis")

    def gather(x: Tensor, index: Tensor) -> Tensor:
        at = axis % x.dim()
        if index.dim() == 0 and index.device.type == "cpu":
            return x.select(at, int(index))
        flat = _positive(index, x.shape[at]).reshape(-1).to(x.device)
        return x.index_select(at, flat).reshape(*x.shape[:at], *index.shape, *x.shape[at + 1 :])

    return gather


def _gather_elements(node: Node) -> Fn:
    axis = node.get_int("axis")
    return lambda x, index: torch.gather(x, axis, _positive(index, x.shape[axis]))


def _nd_index(x: Tensor, index: Tensor, batch: int) -> tuple[Tensor, ...]:
    lead = [
        torch.arange(x.shape[i], device=x.device).reshape([-1 if j == i else 1 for j in range(index.dim() - 1)])
        for i in range(batch)
    ]
    last = [_positive(index[..., k], x.shape[batch + k]) for k in range(index.shape[-1])]
    return (*lead, *last)


def _gather_nd(node: Node) -> Fn:
    batch = node.get_int("batch_dims")
    return lambda x, index: x[_nd_index(x, index.to(x.device), batch)]


def _scatter_elements(node: Node) -> Fn:
    axis, how = node.get_int("axis"), node.get_str("reduction", "none")
    names = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}

    def scatter(x: Tensor, index: Tensor, updates: Tensor) -> Tensor:
        at = _positive(index, x.shape[axis])
        if how == "none":
            return x.scatter(axis, at, updates)
        return x.scatter_reduce(axis, at, updates, names[how], include_self=True)

    return scatter


def _scatter_nd(node: Node) -> Fn:
    how = node.get_str("reduction", "none")

    def scatter(x: Tensor, index: Tensor, updates: Tensor) -> Tensor:
        at = _nd_index(x, index.to(x.device), 0)
        if how == "none":
            return x.index_put(at, updates)
        if how == "add":
            return x.index_put(at, updates, accumulate=True)
        places = torch.arange(x.numel(), device=x.device).reshape(x.shape)[at].reshape(-1)
        name = {"mul": "prod", "max": "amax", "min": "amin"}[how]
        return x.reshape(-1).scatter_reduce(0, places, updates.reshape(-1), name).reshape(x.shape)

    return scatter


def _one_hot(node: Node) -> Fn:
    axis = node.get_int("axis", -1)

    def one_hot(index: Tensor, depth: Tensor, values: Tensor) -> Tensor:
        count = int(numbers(depth)[0])
        check_size([count, index.numel()], "OneHot")
        rank = index.dim() + 1
        at = axis % rank
        classes = torch.arange(count, device=index.device).reshape([-1 if i == at else 1 for i in range(rank)])
        hit = _positive(index, count).unsqueeze(at) == classes
        off, on = values.to(index.device).unbind()
        return torch.where(hit, on, off)

    return one_hot


def _compress(node: Node) -> Fn:
    axis = node.get_int("axis") if "axis" in node.attrs else None

    def compress(x: Tensor, condition: Tensor) -> Tensor:
        at = torch.nonzero(condition.reshape(-1)).reshape(-1)
        return x.reshape(-1)[at] if axis is None else x.index_select(axis, at.to(x.device))

    return compress


def _top_k(node: Node) -> Fn:
    axis, largest, ordered = node.get_int("axis", -1), bool(node.get_int("largest", 1)), bool(node.get_int("sorted", 1))

    def top_k(x: Tensor, k: Tensor | None = None) -> tuple[Tensor, Tensor]:
        count = int(numbers(k)[0]) if k is not None else node.get_int("k")
        index = torch.sort(x, dim=axis, descending=largest, stable=ordered).indices.narrow(axis, 0, count)
        return torch.gather(x, axis, index), index

    return top_k


def _reverse_sequence(node: Node) -> Fn:
    batch_axis, time_axis = node.get_int("batch_axis", 1), node.get_int("time_axis", 0)

    def reverse(x: Tensor, lengths: Tensor) -> Tensor:
        moved = x.movedim((batch_axis, time_axis), (0, 1))
        rows = []
        for row, n in zip(moved, numbers(lengths), strict=True):
            rows.append(torch.cat([row[: int(n)].flip(0), row[int(n) :]]))
        return torch.stack(rows).movedim((0, 1), (batch_axis, time_axis))

    return reverse


def _grid_sample(node: Node) -> Fn:
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(
        node.get_str("mode", "bilinear"), node.get_str("mode", "bilinear")
    )
    padding, corners = node.get_str("padding_mode", "zeros"), bool(node.get_int("align_corners"))
    return lambda x, grid: F.grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=corners)


def _affine_grid(node: Node) -> Fn:
    corners = bool(node.get_int("align_corners"))
    return lambda theta, size: F.affine_grid(theta, [int(n) for n in numbers(size)], align_corners=corners)


def _array_feature(x: Tensor, index: Tensor) -> Tensor:
    out = x.index_select(-1, index.reshape(-1).long().to(x.device))
    return out.reshape(1, -1) if x.dim() == 1 else out


RULES: Mapping[str, Rule] = {
    "Gather": Rule(_gather, host=(1,)),
    "GatherElements": Rule(_gather_elements),
    "GatherND": Rule(_gather_nd),
    "Scatter": Rule(_scatter_elements),
    "ScatterElements": Rule(_scatter_elements),
    "ScatterND": Rule(_scatter_nd),
    "OneHot": Rule(_one_hot, host=(1,)),
    "Compress": Rule(_compress, host=(1,)),
    "NonZero": Rule(lambda node: lambda x: torch.nonzero(x).T, steps=True),
    "TopK": Rule(_top_k, host=(1,)),
    "ReverseSequence": Rule(_reverse_sequence, host=(1,)),
    "GridSample": Rule(_grid_sample),
    "AffineGrid": Rule(_affine_grid, host=(1,)),
    "ArrayFeatureExtractor": Rule(lambda node: _array_feature),
}
