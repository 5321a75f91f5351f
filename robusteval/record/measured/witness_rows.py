"""The account of stored adversarials as a record that was read has it: columns that are read like a list of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import SupportsIndex, overload

from robusteval.record.measured import Witness
from robusteval.record.measured.layout import OF_WITNESS
from robusteval.record.measured.per_sample import PerSample


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class WitnessRows(Sequence[Witness]):
    """columns: by the names of a witness's fields, each with an entry a witness."""

    columns: dict[str, PerSample]

    def __len__(self) -> int:
        return len(self.columns["row"])

    @overload
    def __getitem__(self, place: SupportsIndex) -> Witness: ...
    @overload
    def __getitem__(self, place: slice) -> list[Witness]: ...
    def __getitem__(self, place: SupportsIndex | slice) -> Witness | list[Witness]:
        if isinstance(place, slice):
            return list(self)[place]
        return Witness(**{item.name: self.columns[item.name][place] for item in OF_WITNESS})

    def __iter__(self) -> Iterator[Witness]:
        names = [item.name for item in OF_WITNESS]
        for values in zip(*(self.columns[name] for name in names), strict=True):
            yield Witness(**dict(zip(names, values, strict=True)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list | WitnessRows) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # as of lists

    def __repr__(self) -> str:
        return repr(list(self))
