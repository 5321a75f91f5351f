"""ONNX Runtime's fused operators (com.microsoft)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.twin.conv import convolution
from robusteval.loaders.onnx.twin.matmul import gemm
from robusteval.loaders.onnx.twin.node import Fn, Node, Rule, fixed
from robusteval.loaders.onnx.twin.norm import layer_norm, rms_norm


def _activation(node: Node, params: list[float] | None) -> Fn:
    kind, p = node.get_str("activation"), params or []
    table: Mapping[str, Fn] = {
        "": lambda x: x,
        "Relu": torch.relu,
        "Tanh": torch.tanh,
        "Sigmoid": torch.sigmoid,
        "LeakyRelu": lambda x: F.leaky_relu(x, p[0] if p else 0.01),
        "Clip": lambda x: torch.clamp(x, p[0], p[1]),
        "Elu": lambda x: F.elu(x, p[0] if p else 1.0),
        "Softplus": F.softplus,
        "Softsign": F.softsign,
        "HardSigmoid": lambda x: torch.clamp(p[0] * x + p[1], 0.0, 1.0),
    }
    if kind not in table:
        raise node.refuse(f"the activation {kind} has no torch rule")
    return table[kind]


def _fused_conv(node: Node) -> Fn:
    conv, act = convolution(node), _activation(node, node.get_floats("activation_params"))

    def run(x: Tensor, w: Tensor, b: Tensor | None = None, z: Tensor | None = None) -> Tensor:
        y = conv(x, w, b)
        out: Tensor = act(y if z is None else y + z)
        return out

    return run


def _fused_gemm(node: Node) -> Fn:
    product = gemm(node)
    params = [node.get_float(f"activation_{k}") for k in ("alpha", "beta") if f"activation_{k}" in node.attrs]
    act = _activation(node, params)
    return lambda a, b, c=None: act(product(a, b, c))


def _fused_matmul(node: Node) -> Fn:
    alpha = node.get_float("alpha", 1.0)
    flip_a, flip_b = node.get_int("transA"), node.get_int("transB")
    batch_a, batch_b = node.get_int("transBatchA"), node.get_int("transBatchB")

    def turned(t: Tensor, flip: int, batch: int) -> Tensor:
        if batch:  # the first axis goes behind the other batch axes
            t = t.movedim(0, -2)
        return t.transpose(-1, -2) if flip and t.dim() > 1 else t

    def run(a: Tensor, b: Tensor) -> Tensor:
        y = torch.matmul(turned(a, flip_a, batch_a), turned(b, flip_b, batch_b))
        return y if alpha == 1.0 else alpha * y

    return run


def _fast_gelu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.gelu(x if bias is None else x + bias, approximate="tanh")


def _quick_gelu(node: Node) -> Fn:
    alpha = node.get_float("alpha", 1.702)
    return lambda x: x * torch.sigmoid(alpha * x)


def _skip_norm(simple: bool) -> Callable[[Node], Fn]:
    """Normalises input + skip (+ bias); the sum itself may be a fourth output."""

    def build(node: Node) -> Fn:
        eps, outputs = node.get_float("epsilon", 1e-5 if simple else 1e-12), len(node.proto.output)

        def run(x: Tensor, skip: Tensor, gamma: Tensor, *rest: Tensor | None) -> Tensor | tuple[Tensor, ...]:
            beta = None if simple or not rest else rest[0]
            bias = next(iter(rest[0 if simple else 1 :]), None)
            total = x + skip if bias is None else x + skip + bias
            if simple:
                y = total * torch.rsqrt((total * total).mean(-1, keepdim=True) + eps) * gamma
            else:
                y = F.layer_norm(total, total.shape[-1:], gamma, beta, eps)
            empty = total.new_zeros(0)
            return y if outputs == 1 else (y, empty, empty, total)[:outputs]

        return run

    return build


def _bias_softmax(node: Node) -> Fn:
    axis = node.get_int("axis", 1)

    def run(x: Tensor, bias: Tensor) -> Tensor:
        y = x + bias
        at = axis % y.dim()
        return torch.softmax(y.flatten(at), -1).reshape(y.shape)

    return run


def _attention(node: Node) -> Fn:
    """Self-attention with one packed projection; without past, and with at most a bias added to the scores."""
    heads, sizes = node.get_int("num_heads", 1), node.get_ints("qkv_hidden_sizes")
    scale = node.get_float("scale")
    if node.get_int("unidirectional") or node.get_int("do_rotary"):
        raise node.refuse("causal and rotary attention have no torch rule")

    def run(x: Tensor, w: Tensor, b: Tensor | None = None, *rest: Tensor | None) -> Tensor:
        extra = rest[2] if len(rest) > 2 else None
        if any(r is not None for i, r in enumerate(rest) if i != 2):
            raise node.refuse("masks and past states have no torch rule")
        packed = x @ w if b is None else x @ w + b
        each = sizes or [packed.shape[-1] // 3] * 3
        q, k, v = torch.split(packed, each, -1)
        return _heads(q, k, v, heads, scale, extra)

    return run


def _heads(q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float, bias: Tensor | None) -> Tensor:
    n, length = q.shape[:2]
    q, k, v = (t.reshape(n, t.shape[1], heads, -1).transpose(1, 2) for t in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale or None)
    return y.transpose(1, 2).reshape(n, length, -1)


def _multi_head(node: Node) -> Fn:
    heads, scale = node.get_int("num_heads", 1), node.get_float("scale")
    if node.get_int("unidirectional"):
        raise node.refuse("causal attention has no torch rule")

    def run(q: Tensor, k: Tensor | None = None, v: Tensor | None = None, *rest: Tensor | None) -> Tensor:
        bias, mask, extra = (*rest, None, None, None)[:3]
        if k is None or v is None or k.dim() != 3 or mask is not None or any(r is not None for r in rest[3:]):
            raise node.refuse("packed, masked and past forms have no torch rule")
        if bias is not None:
            bq, bk, bv = torch.split(bias, [q.shape[-1], k.shape[-1], v.shape[-1]])
            q, k, v = q + bq, k + bk, v + bv
        return _heads(q, k, v, heads, scale, extra)

    return run


def _bias_add(x: Tensor, bias: Tensor, skip: Tensor) -> Tensor:
    return x + bias + skip


def _bias_split_gelu(x: Tensor, bias: Tensor) -> Tensor:
    left, right = (x + bias).chunk(2, -1)
    return left * F.gelu(right)


MICROSOFT: Mapping[str, Rule] = {
    "FusedConv": Rule(_fused_conv),
    "FusedGemm": Rule(_fused_gemm),
    "FusedMatMul": Rule(_fused_matmul),
    "TransposeMatMul": Rule(_fused_matmul),
    "Gelu": Rule(fixed(F.gelu)),
    "BiasGelu": Rule(fixed(lambda x, bias: F.gelu(x + bias))),
    "FastGelu": Rule(fixed(_fast_gelu)),
    "QuickGelu": Rule(_quick_gelu),
    "LayerNormalization": Rule(layer_norm),
    "SkipLayerNormalization": Rule(_skip_norm(False)),
    "SimplifiedLayerNormalization": Rule(rms_norm),
    "SkipSimplifiedLayerNormalization": Rule(_skip_norm(True)),
    "BiasSoftmax": Rule(_bias_softmax),
    "BiasAdd": Rule(fixed(_bias_add)),
    "BiasSplitGelu": Rule(fixed(_bias_split_gelu)),
    "Attention": Rule(_attention),
    "MultiHeadAttention": Rule(_multi_head),
    "Inverse": Rule(fixed(torch.linalg.inv)),
}
