"""A part of a run's units, the same wherever and whenever it is asked for: `--shard 3/8`."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from robusteval.errors import SuiteError

MOST = 10_000


@dataclass(frozen=True)
class Shard:
    """Part `number`, from 1, of `count` parts."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def holds(self, cell_id: str, chunk: int) -> bool:
        """Whether a unit is of this part. It depends on nothing but the unit's name: the chunks of a cell go round the
        parts, from one that the cell's id chooses, so that a dear attack is everybody's."""
        start = int.from_bytes(hashlib.sha256(cell_id.encode()).digest()[:8], "big")
        return (start + chunk) % self.count == self.number - 1


def shard_of(text: str) -> Shard:
    """A shard as users write it, "3/8". Raises SuiteError for anything else."""
    found = re.fullmatch(r"\s*([0-9]{1,5})/([0-9]{1,5})\s*", text)
    shard = Shard(int(found[1]), int(found[2])) if found else Shard(0, 0)
    if not 1 <= shard.number <= shard.count <= MOST:
        raise SuiteError(
            f"{text[:40]!r} is no shard.", "Give its number and how many there are, such as 3/8: the third of eight."
        )
    return shard
