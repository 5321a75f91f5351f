"""Quantiles of the beta distribution and of coin tosses, with the standard library alone: `verify` runs where scipy is
not."""

from __future__ import annotations

import functools
import math
from fractions import Fraction

_TINY = 1e-300
_STEPS = 100_000  # of the continued fraction; about sqrt(max(a, b)) are needed
_HALVINGS = 1_100  # down to the smallest float there is
_FAR = 2.0**-54  # width, as a share of the value, at which halving stops: half a unit in the last place


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), a, b > 0, by its continued fraction (Lentz's method).

    Raises ArithmeticError where the fraction does not settle, which no a, b below 1e9 has been seen to do.
    """
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # beyond its middle the other tail's fraction settles faster
        return 1.0 - _tail(1.0 - x, b, a)
    return _tail(x, a, b)


@functools.lru_cache(maxsize=1 << 14)  # the same shares come again in every curve
def beta_quantile(share: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = share, for 0 < share < 1, by halving: slow, and right to the last digits."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if high - low <= _FAR * high or middle in (low, high):
            break
        if beta_cdf(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@functools.lru_cache(maxsize=1 << 10)  # every attack on a pipeline has as many samples
def coin_quantile(share: float, tosses: int) -> int:
    """The least k such that at most k of so many tosses of a fair coin are heads with a probability of at least
    `share`."""
    ways_asked = Fraction(share) * 2**tosses
    ways, total = 1, 1
    heads = 0
    while total < ways_asked:
        ways = ways * (tosses - heads) // (heads + 1)
        total += ways
        heads += 1
    return heads


def _tail(x: float, a: float, b: float) -> float:
    """I_x(a, b) left of the middle."""
    front = a * math.log(x) + b * math.log1p(-x) - _log_beta(a, b) - math.log(a)
    return math.exp(front) * _fraction(x, a, b)


def _log_beta(a: float, b: float) -> float:
    """log B(a, b); where both are large by Stirling's series, as the difference of three logarithms of gamma loses
    digits."""
    if min(a, b) < 10:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    p, q = a / (a + b), b / (a + b)
    rest = _stirling(a) + _stirling(b) - _stirling(a + b)
    return a * math.log(p) + b * math.log(q) + 0.5 * math.log(2 * math.pi / (a * q)) + rest


def _stirling(n: float) -> float:
    """log gamma(n) - ((n - 1/2) log n - n + log(2 pi) / 2), for n >= 10."""
    inverse = 1 / (n * n)
    series = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
    total = 0.0
    for term in reversed(series):
        total = total * inverse + term
    return total / n


def _fraction(x: float, a: float, b: float) -> float:
    upper, lower = 1.0, 1 - (a + b) * x / (a + 1)
    lower = 1 / (lower if abs(lower) > _TINY else _TINY)
    value = lower
    for m in range(1, _STEPS):
        for part in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            lower = 1 + part * lower
            upper = 1 + part / upper
            lower = 1 / (lower if abs(lower) > _TINY else _TINY)
            upper = upper if abs(upper) > _TINY else _TINY
            value *= lower * upper
        if abs(lower * upper - 1) < 1e-16:
            return value
    raise ArithmeticError(f"the incomplete beta function did not settle at x = {x}, a = {a}, b = {b}")
