"""Several models among the known ones: one table for each reference set and norm, a row for each model that it fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from robusteval.record.column import DISTANCE, RELATIVE, at_budget, parts_of
from robusteval.record.run import Column, Record, Result, Scalar
from robusteval.record.units import norm_width


@dataclass
class _Group:
    """Tables of several records that say the same in the same columns; budgets as shares of each model's pixel
    range."""

    first: Result
    columns: list[Column]
    mine: list[list[Scalar]] = field(default_factory=list)
    others: dict[str, list[Scalar]] = field(default_factory=dict)  # by name


def known(records: Sequence[tuple[str, Record]], metric: str) -> list[Result]:
    """Tables from the records' own ones of metric `references`: first the models, named by their keys, then the known
    ones.

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
    width = norm_width(str(norm), record.model.bounds)
    columns = [_share(column, width) for column in found.heads()]
    known = record.references[index].sha256 if isinstance(index, int) and index < len(record.references) else ""
    keys = [column.key for column in columns]
    group = groups.setdefault((norm, known, found.tags.get("images"), *keys), _Group(found, columns))
    at = {key: spot for spot, key in enumerate(keys)}
    for known_row in found.rows:
        row = list(known_row)
        name, median = str(row[at["model"]]), row[at["median-distance"]]
        row[at["median-distance"]] = median / width if isinstance(median, int | float) else median
        if row[at["role"]] == "this":
            row[at["model"]], row[at["about"]] = key, f"this run: {name}"
            row[at["trust-grade"]] = record.verdict.grade if record.verdict is not None else None
            group.mine.append(row)
            continue
        if row[at["role"]] == "same" or name not in group.others:
            group.others[name] = row  # where it is the very file of one of the models, its row says so


def _share(column: Column, width: float) -> Column:
    """A budget's column with its budget as a share of the pixel range, and so are distances; other columns as they
    are."""
    what, norm, eps = parts_of(column.key)
    if not eps:
        return replace(column, unit=RELATIVE) if column.unit == DISTANCE else column
    share = f"{float(eps) / width:.6g}"
    return replace(column, key=at_budget(what, norm, share), title=column.title.replace(eps, share))


def _table(metric: str, index: int, group: _Group) -> Result:
    tags = {name: group.first.tags.get(name) for name in ("norm", "file", "images")}
    return Result(
        metric, f"known/{index}/{tags['norm']}", "table", group.first.title,
        f"{group.first.description} Budgets and distances are shares of each model's pixel range (l0: pixels).",
        tags=tags | {"role": "known"},
        columns=group.columns, rows=[*group.mine, *group.others.values()],
    )  # fmt: skip
