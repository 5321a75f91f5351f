"""RNN, GRU and LSTM, step by step as the specification writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.twin.node import Fn, Node, Rule

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "softsign": F.softsign,
    "softplus": F.softplus,
}


class Weights(NamedTuple):
    """One direction: input and hidden matrices, and their biases."""

    w: Tensor
    r: Tensor
    wb: Tensor
    rb: Tensor


State = tuple[Tensor, ...]
Cell = Callable[[Tensor, State, Weights, list[Callable[[Tensor], Tensor]], "Node", Tensor | None], State]


def _clipped(x: Tensor, node: Node) -> Tensor:
    limit = node.get_float("clip")
    return torch.clamp(x, -limit, limit) if limit > 0 else x


def _rnn_cell(
    x: Tensor, state: State, p: Weights, act: list[Callable[[Tensor], Tensor]], node: Node, _: Tensor | None
) -> State:
    return (act[0](_clipped(x @ p.w.T + state[0] @ p.r.T + p.wb + p.rb, node)),)


def _gru_cell(
    x: Tensor, state: State, p: Weights, act: list[Callable[[Tensor], Tensor]], node: Node, _: Tensor | None
) -> State:
    h = state[0]
    wz, wr, wh = (x @ p.w.T + p.wb).chunk(3, -1)
    rz, rr, rh = p.r.chunk(3, 0)
    bz, br, bh = p.rb.chunk(3, -1)
    z = act[0](_clipped(wz + h @ rz.T + bz, node))
    r = act[0](_clipped(wr + h @ rr.T + br, node))
    if node.get_int("linear_before_reset"):
        new = act[1](_clipped(wh + r * (h @ rh.T + bh), node))
    else:
        new = act[1](_clipped(wh + (r * h) @ rh.T + bh, node))
    return ((1 - z) * new + z * h,)


def _lstm_cell(
    x: Tensor, state: State, p: Weights, act: list[Callable[[Tensor], Tensor]], node: Node, peep: Tensor | None
) -> State:
    h, c = state
    i, o, f, g = (x @ p.w.T + h @ p.r.T + p.wb + p.rb).chunk(4, -1)
    pi, po, pf = peep.chunk(3, -1) if peep is not None else (0.0, 0.0, 0.0)
    i = act[0](_clipped(i + pi * c, node))
    f = 1 - i if node.get_int("input_forget") else act[0](_clipped(f + pf * c, node))
    c = f * c + i * act[1](_clipped(g, node))
    return act[0](_clipped(o + po * c, node)) * act[2](c), c


def _recurrent(gates: int, states: int, cell: Cell, defaults: tuple[str, ...]) -> Callable[[Node], Fn]:
    def build(node: Node) -> Fn:
        names = [s.decode().lower() for s in node.attrs["activations"].strings] if "activations" in node.attrs else []
        directions = 2 if node.get_str("direction", "forward") == "bidirectional" else 1
        names = names or list(defaults) * directions
        if any(n not in ACTIVATIONS for n in names):
            raise node.refuse(f"the activations {names} have no torch rule")
        backward = [node.get_str("direction", "forward") == "reverse", True]

        def run(
            x: Tensor,
            w: Tensor,
            r: Tensor,
            b: Tensor | None = None,
            lengths: Tensor | None = None,
            *rest: Tensor | None,
        ) -> tuple[Tensor, ...]:
            if node.get_int("layout"):
                x = x.transpose(0, 1)
            if lengths is not None and any(int(n) != x.shape[0] for n in lengths.tolist()):
                raise node.refuse("sequences of different lengths have no torch rule")
            hidden = r.shape[-1]
            outs, finals = [], []
            for d in range(directions):
                bias = b[d] if b is not None else x.new_zeros(2 * gates * hidden)
                p = Weights(w[d], r[d], *bias.chunk(2))
                first = [_start(rest, i, d, x, hidden, node) for i in range(states)]
                peep = rest[2][d] if len(rest) > 2 and rest[2] is not None else None
                act = [ACTIVATIONS[n] for n in names[d * len(defaults) :][: len(defaults)]]
                ys, last = _unroll(x.flip(0) if backward[d] else x, tuple(first), p, act, node, peep, cell)
                outs.append(ys.flip(0) if backward[d] else ys)
                finals.append(last)
            y = torch.stack(outs, 1)
            ends = [torch.stack([f[i] for f in finals]) for i in range(states)]
            if node.get_int("layout"):
                y, ends = y.permute(2, 0, 1, 3), [e.transpose(0, 1) for e in ends]
            return (y, *ends)

        return run

    return build


def _start(rest: tuple[Tensor | None, ...], i: int, d: int, x: Tensor, hidden: int, node: Node) -> Tensor:
    given = rest[i] if len(rest) > i else None
    if given is None:
        return x.new_zeros(x.shape[1], hidden)
    return given[:, d] if node.get_int("layout") else given[d]


def _unroll(
    x: Tensor,
    state: State,
    p: Weights,
    act: list[Callable[[Tensor], Tensor]],
    node: Node,
    peep: Tensor | None,
    cell: Cell,
) -> tuple[Tensor, State]:
    ys = []
    for step in x.unbind(0):
        state = cell(step, state, p, act, node, peep)
        ys.append(state[0])
    return torch.stack(ys), state


RULES: Mapping[str, Rule] = {
    "RNN": Rule(_recurrent(1, 1, _rnn_cell, ("tanh",))),
    "GRU": Rule(_recurrent(3, 1, _gru_cell, ("sigmoid", "tanh"))),
    "LSTM": Rule(_recurrent(4, 2, _lstm_cell, ("sigmoid", "tanh", "tanh"))),
}
