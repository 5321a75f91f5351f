"""A convolution's transpose where most coefficients are zero: place by place, with the channels that count there.

Behind a pool and a ReLU most coefficients are zero for all functions of one image: of values that lost their window,
and of ReLUs that are off. A product for each place leaves them out.
"""

from __future__ import annotations

from torch import Tensor

from robusteval.api import GraphNode

_FEW = 0.4  # share of coefficients that are not zero, up to which leaving out pays
_HEAVY = 8192  # multiplications for one place and function from which on a product of its own pays
_MANY = 24  # functions at once, the same


def convolved_back(node: GraphNode, shape: tuple[int, ...], a: Tensor) -> Tensor | None:
    """Coefficients [S, *shape] of a convolution's input from those of its value, [S, C, h, w]; None where going through
    all of them is as fast."""
    weight = node.tensors["weight"]
    if int(node.settings["groups"]) != 1 or weight.numel() < _HEAVY or len(a) < _MANY:
        return None
    used = (a != 0).any(0)
    if float(used.double().mean()) > _FEW:
        return None
    (sh, sw), (ph, pw), (dh, dw) = (node.settings[key] for key in ("stride", "padding", "dilation"))
    channels, (_, height, width), (kh, kw) = shape[0], node.shape, weight.shape[2:]
    taps = weight.permute(0, 2, 3, 1).reshape(len(weight), -1)
    turned = a.permute(2, 3, 1, 0).reshape(height * width, len(weight), len(a))
    tall = max((height - 1) * sh + (kh - 1) * dh + 1, shape[1] + ph)
    wide = max((width - 1) * sw + (kw - 1) * dw + 1, shape[2] + pw)
    out = a.new_zeros(tall, wide, channels, len(a))
    places = used.permute(1, 2, 0).reshape(height * width, -1)
    lists = places.nonzero()[:, 1].split(places.sum(1).tolist())
    for place, some in enumerate(lists):
        if not len(some):
            continue
        i, j = (place // width) * sh, (place % width) * sw
        found = (taps[some].t() @ turned[place, some]).view(kh, kw, channels, len(a))
        out[i : i + (kh - 1) * dh + 1 : dh, j : j + (kw - 1) * dw + 1 : dw] += found
    return out[ph : ph + shape[1], pw : pw + shape[2]].permute(3, 2, 0, 1)
