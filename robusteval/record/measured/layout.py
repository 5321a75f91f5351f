"""Which fields of a record have an entry a sample, and what they are called in samples.parquet.

One list for all that has to know: writing, reading, hashing. Fields keep the names that they have had since version 1;
columns of the table have the field's own words (`detector_score` for `suspicion`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar, cast

from robusteval.record.measured import Cell, Data, Model, Pipeline, Strength, Witness, Witnesses
from robusteval.record.measured.samples_file import SamplesFile

SAMPLES_FILE = "samples.parquet"
Owner = TypeVar("Owner", Data, Pipeline, Cell, Strength)


class Columned(Protocol):
    """What of a record has columns; `Record` itself knows this room, and is not known here."""

    model: Model
    data: Data
    pipelines: list[Pipeline]
    cells: list[Cell]
    probes: list[Cell]
    witnesses: Witnesses | None
    per_sample: SamplesFile | None


R = TypeVar("R", bound=Columned)


@dataclass(frozen=True)
class Field:
    """A column. name: in the record; column: in the table; optional: may have no entry for a sample; nested: a row of
    entries a sample; across: so in the table only, an entry for each of a cell's strengths."""

    name: str
    column: str
    kind: Literal["number", "whole", "truth", "text"]
    optional: bool = False
    nested: bool = False
    across: bool = False

    @property
    def is_list(self) -> bool:
        """Whether the table has a list a row."""
        return self.nested or self.across


OF_DATA = (
    Field("labels", "label", "whole"),
    Field("l2", "clean_l2", "number"),
    Field("names", "file", "text"),
    Field("hashes", "hash", "text"),
)
OF_PIPELINE = (
    Field("prediction", "prediction", "whole"),
    Field("label", "class_prediction", "whole"),
    Field("confidence", "confidence", "number"),
    Field("suspicion", "detector_score", "number"),
    Field("certified", "certified_l2", "number"),
)
OF_CELL = (
    Field("distance", "distance", "number", optional=True),
    Field("l2", "l2", "number", optional=True),
    Field("prediction", "prediction", "whole", optional=True),
    Field("suspicion", "detector_score", "number", optional=True),
    Field("survives_8bit", "survives_8bit", "truth", optional=True),
    Field("forwards", "forwards", "whole"),
    Field("backwards", "backwards", "whole"),
    Field("blind", "blind", "whole"),
    Field("member", "member", "text", optional=True),
    Field("by_target", "by_target", "number", optional=True, nested=True),
)
OF_STRENGTH = (
    Field("fools_model", "strength_fools_model", "truth", across=True),
    Field("prediction", "strength_prediction", "whole", across=True),
    Field("suspicion", "strength_detector_score", "number", across=True),
)
OF_WITNESS = (
    Field("cell", "cell", "text"),
    Field("defense", "defense", "text"),
    Field("norm", "norm", "text"),
    Field("sample", "sample", "whole"),
    Field("label", "label", "whole"),
    Field("distance", "distance", "number"),
    Field("prediction", "prediction", "whole"),
    Field("tensor", "tensor", "text"),
    Field("row", "row", "whole"),
    Field("sha256", "sha256", "text"),
)
# What a row is about; the same in all rows of a part, but in those of witnesses.
ABOUT = ("kind", "cell", "attack", "defense", "knowledge", "norm")
_OF: dict[type, tuple[Field, ...]] = {Data: OF_DATA, Pipeline: OF_PIPELINE, Cell: OF_CELL, Strength: OF_STRENGTH}
Change = Callable[[Sequence[Any], Field, str], Sequence[Any]]


@dataclass(frozen=True)
class Part:
    """Rows of the table that belong together: one row group. about: the texts of ABOUT, None where there is none."""

    kind: Literal["sample", "clean", "attack", "probe", "witness"]
    of: str  # the pipeline's defence, or the cell's id
    where: str  # in the record
    owner: Data | Pipeline | Cell | None  # None: the witnesses
    about: dict[str, str | None] = field(default_factory=dict)


def parts(record: Columned) -> Iterator[Part]:
    """Every part that a record may have, in the order of the file."""
    yield Part("sample", "", "data", record.data, _about("sample"))
    for index, row in enumerate(record.pipelines):
        yield Part("clean", row.defense, f"pipelines[{index}]", row, _about("clean") | {"defense": row.defense})
    for index, cell in enumerate(record.cells):
        yield Part("attack", cell.id, f"cells[{index}]", cell, _of_cell(cell, "attack"))
    for index, cell in enumerate(record.probes):
        yield Part("probe", cell.id, f"probes[{index}]", cell, _of_cell(cell, "probe"))
    if record.witnesses is not None:
        yield Part("witness", "", "witnesses.entries", None, _about("witness"))


def _about(kind: str) -> dict[str, str | None]:
    return dict.fromkeys(ABOUT) | {"kind": kind}


def _of_cell(cell: Cell, kind: str) -> dict[str, str | None]:
    said = {name: getattr(cell, name) for name in ("attack", "defense", "knowledge", "norm")}
    return _about(kind) | {"cell": cell.id} | said


def changed(record: R, change: Change, entries: Callable[[Sequence[Witness]], Sequence[Witness]]) -> R:
    """A copy of the record with every column as `change(column, field, where)` makes it, and with the witnesses that
    `entries` makes; all else is shared."""
    witnesses = record.witnesses
    if witnesses is not None:
        made = cast("list[Witness]", entries(witnesses.entries))
        witnesses = dataclasses.replace(witnesses, entries=made)
    copy: R = dataclasses.replace(
        cast("Any", record),
        data=_with(record.data, change, "data"),
        pipelines=[_with(row, change, f"pipelines[{index}]") for index, row in enumerate(record.pipelines)],
        cells=[_cell(cell, change, f"cells[{index}]") for index, cell in enumerate(record.cells)],
        probes=[_cell(cell, change, f"probes[{index}]") for index, cell in enumerate(record.probes)],
        witnesses=witnesses,
    )
    return copy


def _with(owner: Owner, change: Change, where: str) -> Owner:
    fields = _OF[type(owner)]
    made = {item.name: change(getattr(owner, item.name), item, f"{where}.{item.name}") for item in fields}
    return dataclasses.replace(owner, **cast("dict[str, Any]", made))


def _cell(cell: Cell, change: Change, where: str) -> Cell:
    strengths = [_with(row, change, f"{where}.strengths[{index}]") for index, row in enumerate(cell.strengths)]
    return dataclasses.replace(_with(cell, change, where), strengths=strengths)
