"""Linear bounds on parts of a ball (beta-CROWN, Wang et al. 2021).

On a part where s z >= 0 for the value z before a split ReLU, f >= f - b s z for every multiplier b >= 0. So f - b s z
is bounded over the whole ball, with the split ReLU as the straight line that it is on the part: b is one more
coefficient of z in the backward substitution, which takes off what rounding may do to z as it does of all others. Every
b >= 0 and every slope between `bend` and 1 is sound.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from robusteval_certifiers._branching.parts import Frame, Parts
from robusteval_certifiers._common.network import transposed


@dataclass(frozen=True)
class Sides:
    """What does not change while slopes and multipliers climb, [D, F] each. split: where a ReLU is; settled: its slope
    there; above, shift: the upper line of all."""

    split: Tensor
    settled: Tensor
    above: Tensor
    shift: Tensor


@dataclass
class Seen:
    """What a substitution came by: coefficients of undecided ReLUs' values by place [D, F], of the pixels [D, n]."""

    coefficients: dict[int, Tensor] = field(default_factory=dict)
    pixels: Tensor = field(default_factory=lambda: torch.zeros(0, device="cpu"))


def sides_of(frame: Frame, parts: Parts) -> dict[int, Sides]:
    """By place of the activation."""
    found = {}
    for place, known in frame.undecided.items():
        sign = parts.signs[place]
        split, settled = sign != 0, torch.where(sign > 0, 1.0, known.bend)
        above, shift = torch.where(split, settled, known.chord), torch.where(split, 0.0, known.shift)
        found[place] = Sides(split, settled, above, shift)
    return found


def least(frame: Frame, parts: Parts, sides: dict[int, Sides], seen: Seen | None = None) -> Tensor:
    """Lower bounds [D] of each part's function of the start node's value."""
    network, bounds = frame.network, frame.bounds
    at = {frame.start: parts.rows[None]}
    total = torch.zeros_like(parts.best)[None]
    for place in range(frame.start, 0, -1):
        a = at.pop(place, None)
        if a is None:
            continue
        node = network.nodes[place]
        total = total - a.abs() @ bounds.error[place][0]
        if place in frame.undecided:
            known, side = frame.undecided[place], sides[place]
            own = a[..., known.index]
            if seen is not None:
                seen.coefficients[place] = own[0]
            up, down = own.clamp_min(0.0), own.clamp_max(0.0)
            total = total + (down * side.shift).sum(-1)
            below = torch.where(side.split, side.settled, parts.slopes[place])
            turned = up * below + down * side.above - parts.multipliers[place] * parts.signs[place]
            sent = [(node.inputs[0], (a * known.others).index_copy(2, known.index, turned))]
        elif node.op == "activation":
            line = bounds.lines[place]
            up, down = a.clamp_min(0.0), a.clamp_max(0.0)
            total = total + up @ line.low_shift[0] + down @ line.high_shift[0]
            sent = [(node.inputs[0], up * line.low_slope + down * line.high_slope)]
        else:
            total = total + a @ network.constants[place]
            sent = list(zip(node.inputs, transposed(network, place, a), strict=True))
        for source, part in sent:
            at[source] = at[source] + part if source in at else part
    if seen is not None:
        seen.pixels = at[0][0] if 0 in at else torch.zeros_like(bounds.ball.x).expand(len(parts), -1)
    if 0 in at:
        total = total + bounds.ball.least(at[0], frame.dual)
    return total[0]
