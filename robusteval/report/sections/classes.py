"""The tables of classes: what is left of each, and what flips to what."""

from __future__ import annotations

from collections.abc import Collection

from robusteval.record.run import Record, Result, Scalar
from robusteval.report.charts import pieces
from robusteval.report.charts.pieces import Table, Text, Value
from robusteval.report.formats.numbers import MISSING, norm_title, number, percent, scalar
from robusteval.report.sections.budgets import MOST_CLASSES, class_key
from robusteval.report.sections.coverage import class_name
from robusteval.report.sections.gallery import behind_class

CLASS_ROWS = 40
MATRIX_CLASSES = 16  # up to so many classes the flips are drawn as a matrix


def classes(record: Record, sliding: Collection[str] = ()) -> list[Table]:
    """Per class, the weakest first; long lists are cut, with a word about it. sliding: norms whose table of the bare
    model follows the slider."""
    views = []
    for found in _by_norm(record, "per-class/"):
        listed = pieces.named_rows(found)
        listed.sort(key=lambda row: _weak(row.get("robust-accuracy"), row.get("median-distance")))
        norm, bare = str(found.tags.get("norm")), found.tags.get("defense") == "none"
        slides = bare and norm in sliding and len(listed) <= MOST_CLASSES
        rows = [_class_row(record, row, norm, bare, slides) for row in listed[:CLASS_ROWS]]
        note = found.description
        if len(listed) > CLASS_ROWS:
            note += f" The {CLASS_ROWS} weakest of {len(listed)} classes are shown; the rest is in record.json."
        caption = (
            f"{pieces.display(str(found.tags.get('defense')))}, {norm_title(found.tags.get('norm'))}: per class, "
            "weakest first"
        )
        head: Text = Value("Accuracy under attack", live=f"{norm} head") if slides else "Accuracy under attack"
        columns = ["Class", "Images", "Clean accuracy", head, "Median distance", "Flips most to"]
        views.append(Table(caption, columns, rows, words=(5,), note=note, summary=_ends(caption, listed)))
    return views


def _by_norm(record: Record, name: str) -> list[Result]:
    """The tables of classes with that name: pipeline by pipeline, the norms as everywhere on the page."""
    found = [result for result in pieces.of_kind(record, "per-class", "table") if result.name.startswith(name)]
    pipelines, norms = list(dict.fromkeys(str(result.tags.get("defense")) for result in found)), pieces.norms(record)
    return sorted(
        found,
        key=lambda result: (
            pipelines.index(str(result.tags.get("defense"))),
            norms.index(str(result.tags.get("norm"))) if result.tags.get("norm") in norms else len(norms),
        ),
    )


def bare_norms(record: Record) -> int:
    """How many of the first tables of classes are the bare model's."""
    return sum(result.tags.get("defense") == "none" for result in _by_norm(record, "per-class/"))


def _ends(caption: str, listed: list[dict[str, Scalar]]) -> str:
    """The weakest and the strongest class."""
    if not listed:
        return caption
    ends = [f"{row.get('name')} {percent(row.get('robust-accuracy'))}" for row in (listed[0], listed[-1])]
    return f"{caption.removesuffix(': per class, weakest first')}, by class: from {' to '.join(ends)}"


def _class_row(record: Record, row: dict[str, Scalar], norm: str, bare: bool, slides: bool) -> list[Text]:
    flips = MISSING
    if row.get("flips-most-to") is not None:
        flips = f"{row.get('flips-to-name')} ({percent(row.get('share-of-its-flips'), 0)})"
    name = f"{row.get('name')}"
    kept = percent(row.get("robust-accuracy"))
    return [
        behind_class(record, norm, row.get("class"), name) if bare else name,
        scalar(row.get("samples")),
        percent(row.get("clean-accuracy")),
        Value(kept, live=f"{norm} {class_key(row.get('class'))}") if slides else kept,
        number(row.get("median-distance")),
        flips,
    ]


def flips(record: Record) -> list[Table]:
    """What flips to what, bare model first: a matrix of a few classes, else the most frequent pairs."""
    views = []
    for found in _by_norm(record, "flips/"):
        who = (
            f"{pieces.display(str(found.tags.get('defense')))}, {norm_title(found.tags.get('norm'))}: what flips to "
            "what"
        )
        rows = pieces.named_rows(found)
        cut = found.description.endswith(" pairs.")
        views.append(_matrix(record, who, rows) if record.model.classes <= MATRIX_CLASSES else _pairs(who, rows, cut))
    return views


def _matrix(record: Record, caption: str, rows: list[dict[str, Scalar]]) -> Table:
    counts = {(row.get("class"), row.get("flips-to")): row for row in rows}
    names = [class_name(record, index) for index in range(record.model.classes)]
    body: list[list[Text]] = []
    for index, name in enumerate(names):
        cells: list[Text] = []
        for other in range(len(names)):
            row = counts.get((index, other))
            share = row.get("share") if row is not None else None
            blank = MISSING if other == index else ""
            cells.append(
                pieces.shade(share)._replace(text=scalar(row.get("samples")))
                if row is not None and isinstance(share, int | float)
                else blank
            )
        body.append([name, *cells])
    note = (
        "Rows: the true class; columns: the answer to the closest adversarial; images right when clean, worst case "
        "over attacks."
    )
    return Table(caption, ["Class", *names], body, note=note)


def _pairs(caption: str, rows: list[dict[str, Scalar]], cut: bool) -> Table:
    listed = sorted(rows, key=lambda row: _weak(row.get("samples")), reverse=True)
    body: list[list[Text]] = [
        [f"{row.get('name')}", f"{row.get('flips-to-name')}", scalar(row.get("samples")), percent(row.get("share"), 0)]
        for row in listed[:CLASS_ROWS]
    ]
    note = f"The most frequent pairs; {'the first' if cut else 'all'} {len(rows)} are in record.json."
    return Table(caption, ["Class", "Flips to", "Images", "Share of its flips"], body, words=(1,), note=note)


def _weak(*values: object) -> tuple[float, ...]:
    return tuple(float(value) if isinstance(value, int | float) else float("inf") for value in values)
