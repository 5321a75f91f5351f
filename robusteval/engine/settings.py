"""What a caller states in numbers, checked before anything is read or run: NaN, infinities and wrong kinds are
refused."""

from __future__ import annotations

import math
from typing import Any

from robusteval.contracts.classifier import LoadOptions
from robusteval.contracts.tuning import FULL_ONLY, PRECISIONS
from robusteval.errors import DataError, ModelError, SuiteError

_MOST = 2**63


def check_settings(
    samples: object,
    seed: object,
    workers: object,
    time_budget: object,
    data_range: tuple[float, float] | None,
    memory: object = None,
    precision: object = FULL_ONLY,
) -> None:
    """Raises SuiteError or DataError for the first that is no number of its kind, or no precision."""
    if not _whole(seed) or not -_MOST <= int(seed) < _MOST:  # type: ignore[call-overload]
        raise SuiteError(f"The seed {seed!r} is not a whole number of 64 bits.", "Give one such as 0.")
    if samples is not None and not (_whole(samples) and 1 <= samples < _MOST):  # type: ignore[operator]
        raise SuiteError(f"{samples!r} is not a number of samples.", "Give a whole number from 1.")
    if workers is not None and not (_whole(workers) and 1 <= workers <= 256):  # type: ignore[operator]
        raise SuiteError(f"{workers!r} is not a number of workers.", "Give a whole number from 1 to 256.")
    if time_budget is not None and not (_finite(time_budget) and time_budget > 0):  # type: ignore[operator]
        raise SuiteError(f"{time_budget!r} is not a time budget.", "Give a number of seconds above 0.")
    if memory is not None and not (_finite(memory) and memory > 0):  # type: ignore[operator]
        raise SuiteError(f"{memory!r} is not an amount of memory.", "Give a number of bytes above 0.")
    if data_range is not None and not (_pair(data_range) and data_range[0] != data_range[1]):
        raise DataError(f"{data_range!r} is not a range of the data.", "Give two different numbers, such as (0, 255).")
    if precision not in PRECISIONS:
        raise SuiteError(f"{precision!r} is not a precision of proposals.", f"Give {' or '.join(PRECISIONS)}.")


def check_options(options: LoadOptions) -> None:
    """Raises ModelError for the first number that makes no sense."""
    if not (_pair(options.bounds) and options.bounds[0] < options.bounds[1]):
        raise ModelError(f"{options.bounds!r} is not a pixel range.", "Give two numbers, low,high, such as 0,255.")
    for name, values in (("mean", options.mean), ("std", options.std)):
        if not all(_finite(value) for value in values) or (name == "std" and 0 in values):
            raise ModelError(f"{values!r} is no {name} to normalise with.", f"Give finite numbers with --{name}.")
    if not all(_whole(size) and size >= 1 for size in options.input_shape):
        raise ModelError(f"{options.input_shape!r} is not a shape.", "Give whole numbers, such as --shape 3,32,32.")


def _whole(value: object) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)


def _pair(values: Any) -> bool:
    return isinstance(values, tuple | list) and len(values) == 2 and all(_finite(value) for value in values)
