"""How a run is cut into units, so that what is finished stays good when more samples are asked for.

Samples are drawn in a queue of which more samples are only a longer piece (`data/labels.py`). The queue is cut into
blocks that end at 100, 200, 500, 1000, 2000, ...; within a block samples stand in the order of the data, so that files
are read from front to back a few times and not once a sample. A chunk never lies in two blocks, so the chunks of whole
blocks are the same ones however many samples follow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CHUNK = 100  # samples a unit at most; fixed for a shape, as the numbers of stochastic attacks depend on it
_SIZES = (100, 50, 25, 20, 10, 5, 4, 2, 1)  # each goes into CHUNK, and so into every block
_VALUES = (
    3_100_000  # of a unit's samples: of larger images a unit takes fewer, so that memory and a unit's time stay small
)
_STEPS = (2.0, 2.5, 2.0)  # from 1 to 2 to 5 to 10


def chunk_of(shape: Sequence[int]) -> int:
    """Samples a unit, for inputs of this shape."""
    return largest_chunk(_VALUES / max(math.prod(shape), 1))


def largest_chunk(rows: float) -> int:
    """The most samples that a unit may hold where it is to hold no more than `rows`; 1 at least."""
    return next((size for size in _SIZES if size <= rows), 1)


def block_ends(count: int) -> list[int]:
    """Where the blocks of so many samples end, the last one with them."""
    ends, end = [], CHUNK
    while end < count:
        ends.append(end)
        end = int(end * _STEPS[(len(ends) - 1) % len(_STEPS)])
    return [*ends, count]
