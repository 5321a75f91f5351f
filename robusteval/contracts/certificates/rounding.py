"""How far a graph that is computed in float32 may be from the same graph in real numbers, node by node.

Attacks win on the true pipeline, which computes in float32; proofs are about real numbers. This closes the gap. Let y
be the value of a node that some program computed from the values x that it had computed before, and f the node's exact
function. Then y = f(x) + d, where by the standard model of rounding (Higham 2002, Accuracy and stability of numerical
algorithms, chapters 2 and 3) for a sum of n products in any order, fused or not,

    |d| <= g(n) (|W| |x| + |b|),   g(n) = n u / (1 - n u),   u = 2^-24.

A proof that holds for all d of that size holds for what the program answers, and, as d = 0 is among them, for real
numbers too. A certifier that uses `radius` for each node thus proves both.

n counts `SPARE` operations more than the node has: what ONNX Runtime does when it optimises a graph (batch norms and
constants multiplied into weights that are then rounded, biases added in another order) is a few more roundings of the
same products. Activations are taken to be within 2^-18 of the larger of 1 and the value (errors of sigmoid, tanh and
erf in ONNX Runtime are below 1e-6); ReLU, LeakyReLU, clipping and maxima are exact but for one product. Below
the normal numbers of float32 a product loses 2^-149 at most: `TINY` of it for each term.

Rounding to whole numbers loses nothing itself: a computed value is rounded exactly. But what is rounded may have been
computed a little beyond a half, and then the result is a whole step away. So the interval of what is rounded, widened
by the radius of the node before, is what is rounded, at both ends and to both sides of a half: no step is left out.

Integer kernels are within this too. ONNX Runtime computes q = z + round(m * a) for a quantised product, where the sum
of products a is exact in 32 bits, taken to float32 (1 rounding), and m = x_scale * w_scale / y_scale in float32 (2
roundings), multiplied (1); some kernels add z before they round (1, of the size of z). In the graph the same is a sum
of products, whose d may be 0, and a `scale` by 1 / y_scale with z among its `size`, whose d may be (2 + SPARE) u of
its value: 10 roundings for these 5. Kernels that sum dequantised values are sums of products in float32 again.

What this does not cover: products by other algorithms than sums of products (Winograd, FFT), TF32, halves, integer
products that saturate in 16 bits (8-bit weights on x86 processors without VNNI).

The certifier's own float64 arithmetic is covered by the same radii. What a backward substitution loses in an affine
node is bounded by g64(n) |A| |W| |x|, 2^-29 of what `radius` already takes off for that node; `OWN` covers it, and
sums over up to 2^20 elements, many times over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from robusteval.contracts.certificates.evaluate import affine
from robusteval.contracts.certificates.graph import Node

UNIT = 2.0**-24
SPARE = 8
OWN = 1.0 + 2.0**-8
LIBRARY = 2.0**-18
TINY = 2.0**-140
EXACT = 2.0**-32  # of values that float32 copies as they are, for the certifier's own products and sums in float64


def terms(node: Node) -> int:
    """How many products a value of the node is the sum of."""
    if node.op == "linear":
        return int(node.tensors["weight"].shape[1]) + 1
    if node.op in ("conv", "conv_transpose"):
        weight, groups = node.tensors["weight"], int(node.settings["groups"])
        channels = weight.shape[1] if node.op == "conv" else weight.shape[0] // groups
        return int(channels) * math.prod(weight.shape[2:]) + 1
    if node.op == "sum":
        return int(node.tensors["members"].shape[1])
    return max(2, len(node.inputs))


def radius(node: Node, sizes: Sequence[Tensor], shapes: Sequence[tuple[int, ...]]) -> Tensor:
    """How far the computed value of an affine node may lie from the exact one of the same inputs, [B, n] >= 0.

    sizes: for each input the largest absolute value that its elements take, [B, m]. Only selecting (`gather`, `concat`)
    rounds nothing; what is returned for it covers the certifier's own sums.
    """
    count = terms(node) + SPARE
    relative = EXACT if node.op in ("gather", "concat") else count * UNIT / (1 - count * UNIT)
    return affine(node, sizes, shapes, absolute=True) * (relative * OWN) + count * TINY


def activation_radius(node: Node, low: Tensor, high: Tensor, value: Tensor) -> Tensor:
    """The same of an activation between low and high, whose values are at most `value` in size; all [B, n]."""
    kind, largest = node.settings["kind"], torch.maximum(low.abs(), high.abs())
    if kind in ("relu", "clip", "round"):
        return torch.maximum(value, largest) * EXACT
    if kind == "leaky_relu":
        return largest * (4 * UNIT) + TINY
    if kind in ("gelu", "silu", "hard_swish"):  # products with x: small values of a large x carry its rounding
        value = largest
    return value.clamp_min(1.0) * LIBRARY
