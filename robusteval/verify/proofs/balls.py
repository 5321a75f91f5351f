"""The least value of a linear function on a ball cut by the box, exact in Linf and by duality in L2 and L1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from robusteval.verify.proofs.graph import Array

ROUND = 2.0**-52


def least_on_ball(a: Array, x: Array, low: Array, high: Array, norm: str, eps: float) -> Array:
    """The least of a . z for z within eps of x [n] and between low and high [n]: [S, n] -> [S]."""
    down, up = low - x, high - x
    down, up = down * (1 + 4 * ROUND), up * (1 + 4 * ROUND)
    boxed = np.minimum(a * down, a * up).sum(1)
    reach = max(eps, 1e-12) * (1 + 4 * ROUND)
    dual: dict[str, Callable[[Array, Array, Array, float], Array]] = {"l2": _l2, "l1": _l1}
    drop = boxed if norm == "linf" else np.maximum(boxed, dual[norm](a, down, up, reach))
    sizes = np.maximum(np.abs(low), np.abs(high)) + np.abs(x)
    return np.asarray(a @ x + drop - np.abs(a) @ sizes * (ROUND * (a.shape[1] + 64)))


def _l2(a: Array, down: Array, up: Array, eps: float) -> Array:
    rate = np.maximum(np.linalg.norm(a, axis=1, keepdims=True) / eps, 1e-300)
    for _ in range(12):
        step = np.clip(-a / rate, down, up)
        rate = np.maximum(rate * np.linalg.norm(step, axis=1, keepdims=True) / eps, 1e-300)
    step = np.clip(-a / rate, down, up)
    spent = rate[:, 0] * eps**2 / 2
    return np.asarray((a * step + rate * step**2 / 2).sum(1) - spent * (1 + 16 * ROUND))


def _l1(a: Array, down: Array, up: Array, eps: float) -> Array:
    room = np.where(a > 0, -down, np.broadcast_to(up, a.shape))
    order = np.argsort(-np.abs(a), axis=1)
    spent = np.cumsum(np.take_along_axis(room, order, 1), 1)
    last = np.minimum((spent < eps).sum(1, keepdims=True), a.shape[1] - 1)
    rate = np.take_along_axis(np.abs(a), np.take_along_axis(order, last, 1), 1)
    over = np.maximum(np.abs(a) - rate, 0.0)
    return np.asarray(-(room * over).sum(1) - rate[:, 0] * eps * (1 + 16 * ROUND))
