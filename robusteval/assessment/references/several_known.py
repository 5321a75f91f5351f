"""Several models among the known ones: one table for each reference set and norm, a row for each model that it fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from robusteval.record.run import Record, Result, Scalar

HEADS = ("Accuracy at ", "Low at ", "High at ")


@dataclass
class _Group:
    """Tables of several records that say the same in the same columns; budgets as shares of each model's pixel range."""

    first: Result
    columns: list[str]
    mine: list[list[Scalar]] = field(default_factory=list)
    others: dict[str, list[Scalar]] = field(default_factory=dict)  # by name


def known(records: Sequence[tuple[str, Record]], metric: str) -> list[Result]:
    """Tables from the records' own ones of metric `references`: first the models, named by their keys, then the known ones.

    Models are put together where set, common images, norm and budgets are the same. Distances and budgets are shares of
    each model's pixel range (l0: pixels).
    """
    groups: dict[tuple[Scalar, ...], _Group] = {}
    for key, record in records:
        for found in record.results:
            if found.metric == "references" and found.kind == "table":
                _add(groups, key, record, found)
    return [_table(metric, index, group) for index, group in enumerate(groups.values())]


def _add(groups: dict[tuple[Scalar, ...], _Group], key: str, record: Record, found: Result) -> None:
    norm, index = found.tags.get("norm"), found.tags.get("set")
    low, high = record.model.bounds
    width = 1.0 if norm == "l0" else high - low
    columns = [_share(name, width) for name in found.columns]
    known = record.references[index].sha256 if isinstance(index, int) and index < len(record.references) else ""
    group = groups.setdefault((norm, known, found.tags.get("images"), *columns), _Group(found, columns))
    at = {name: spot for spot, name in enumerate(columns)}
    for known_row in found.rows:
        row = list(known_row)
        name, median = str(row[at["Model"]]), row[at["Median distance"]]
        row[at["Median distance"]] = median / width if isinstance(median, int | float) else median
        if row[at["Role"]] == "this":
            row[at["Model"]], row[at["About"]] = key, f"this run: {name}"
            row[at["Trust grade"]] = record.verdict.grade if record.verdict is not None else None
            group.mine.append(row)
            continue
        if row[at["Role"]] == "same" or name not in group.others:
            group.others[name] = row  # where it is the very file of one of the models, its row says so


def _share(name: str, width: float) -> str:
    """A budget's column with its budget as a share of the pixel range; other names as they are."""
    head = next((head for head in HEADS if name.startswith(head)), None)
    return name if head is None else f"{head}{float(name.removeprefix(head)) / width:.6g}"


def _table(metric: str, index: int, group: _Group) -> Result:
    tags = {name: group.first.tags.get(name) for name in ("norm", "file", "images")}
    return Result(
        metric, f"known/{index}/{tags['norm']}", "table", group.first.title,
        f"{group.first.description} Budgets and distances are shares of each model's pixel range (l0: pixels).",
        tags=tags | {"role": "known"},
        columns=group.columns, rows=[*group.mine, *group.others.values()],
    )  # fmt: skip
