"""Matrix products."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.twin.node import Fn, Node, Rule, fixed


def gemm(node: Node) -> Fn:
    """alpha * A' B' + beta * C with the file's transposes."""
    alpha, beta = node.get_float("alpha", 1.0), node.get_float("beta", 1.0)
    trans_a, trans_b = node.get_int("transA"), node.get_int("transB")

    def run(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        a = a.t() if trans_a else a
        if c is not None and alpha == beta == 1.0 and c.dim() == 1 and a.is_floating_point():
            return F.linear(a, b if trans_b else b.t(), c)
        out = torch.matmul(a, b.t() if trans_b else b)
        out = out if alpha == 1.0 else alpha * out
        if c is None or beta == 0.0:
            return out
        return out + (c if beta == 1.0 else beta * c)

    return run


def _einsum(node: Node) -> Fn:
    equation = node.get_str("equation")
    return lambda *xs: torch.einsum(equation, *xs)


RULES: Mapping[str, Rule] = {
    "MatMul": Rule(lambda node: torch.matmul),
    "Gemm": Rule(gemm),
    "Einsum": Rule(_einsum),
    "Det": Rule(fixed(torch.linalg.det)),
}
