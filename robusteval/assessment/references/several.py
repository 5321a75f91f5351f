"""What several models' records say together: one table, for each norm the curves, and the models among known ones."""

from __future__ import annotations

from collections.abc import Sequence

from robusteval.assessment.references.several_known import known
from robusteval.record.column import RELATIVE, SHARE, at_budget
from robusteval.record.run import Column, Curve, Point, Record, Result, Scalar
from robusteval.record.units import WORST_CASE, norm_width

NAME = "comparison"
_OWN = ("accuracy-curve", "rho-adv")  # metrics whose figures stand in the table: a plugin's tags put none there
_HEADS = (
    Column("model", "Model"),
    Column("clean-accuracy", "Clean accuracy", SHARE),
    Column("clean-low", "Clean low", SHARE),
    Column("clean-high", "Clean high", SHARE),
)
_TAILS = (Column("rho_adv", "rho_adv", "ratio"), Column("trust-grade", "Trust grade"))


def derive(records: Sequence[tuple[str, Record]]) -> list[Result]:
    """The table of models, for each norm the worst case and each attack with one line a model, and the models among
    known ones. Distances are shares of each model's pixel range (l0: pixels), as ranges may differ."""
    pairs: dict[tuple[str, str, str], list[Curve]] = {}
    for key, record in records:
        for result in record.results:
            if result.metric != "accuracy-curve" or result.kind != "curves" or result.tags.get("defense") != "none":
                continue
            for curve in result.curves:
                role = str(curve.tags.get("role"))
                if role in ("attack", "worst"):
                    attack = str(curve.tags.get("attack", "")) if role == "attack" else ""
                    at = (str(result.tags.get("norm")), role, attack)
                    pairs.setdefault(at, []).append(_scaled(key, record, curve, at))
    order = {"l2": 0, "linf": 1, "l1": 2, "l0": 3}
    listed = sorted(pairs.items(), key=lambda item: (item[0][1] != "worst", order.get(item[0][0], 9)))
    curves = [_one_attack(norm, role, attack, lines) for (norm, role, attack), lines in listed]
    return [_models(records), *curves, *known(records, NAME)]


def _one_attack(norm: str, role: str, attack: str, lines: list[Curve]) -> Result:
    who = "Worst case over attacks" if role == "worst" else attack
    unit = "pixels changed" if norm == "l0" else "share of the pixel range"
    return Result(
        NAME, f"models/{norm}/{role}/{attack}", "curves", f"{who}, {norm}",
        "One line a model, on the same samples.", tags={"norm": norm, "role": role, "attack": attack},
        x_title=f"Distance in {norm} ({unit})", y_title="Accuracy", curves=lines,
    )  # fmt: skip


def _scaled(key: str, record: Record, curve: Curve, at: tuple[str, str, str]) -> Curve:
    width = norm_width(at[0], record.model.bounds)
    points = [Point(point.x / width, point.y, point.low, point.high) for point in curve.points]
    return Curve(key, points, at[0], {"model": key, "attack": at[2], "norm": at[0], "role": at[1]})


def _models(records: Sequence[tuple[str, Record]]) -> Result:
    """One row a model: clean accuracy, accuracy at each reference budget, median distances, rho_adv."""
    columns = [*_HEADS]
    norms = list(dict.fromkeys(cell.norm for _, record in records for cell in record.done(knowledge="none")))
    rows: list[list[Scalar]] = []
    for key, record in records:
        clean = _scalar(record, "clean-accuracy", {})
        row: list[Scalar] = [key]
        row += [clean.value, clean.low, clean.high] if clean is not None else [None, None, None]
        for norm in norms:
            width = norm_width(norm, record.model.bounds)
            robust = _scalar(record, "robust-accuracy", {"norm": norm, "reference": True})
            eps = robust.tags.get("eps") if robust is not None else None
            row += [eps / width if isinstance(eps, int | float) else None, robust.value if robust is not None else None]
            median = _scalar(record, "median-distance", {"norm": norm, "attack": WORST_CASE})
            row.append(median.value / width if median is not None and median.value is not None else None)
        rho = _scalar(record, "rho-adv", {"key": "worst"})
        row += [rho.value if rho is not None else None, record.verdict.grade if record.verdict is not None else None]
        rows.append(row)
    for norm in norms:
        columns += [
            Column(at_budget("budget", norm), f"Budget {norm}", RELATIVE),
            Column(at_budget("accuracy", norm), f"Accuracy at {norm}", SHARE),
            Column(at_budget("median", norm), f"Median {norm}", RELATIVE),
        ]
    return Result(
        NAME, "models", "table", "The models side by side",
        "Worst case over attacks on the bare model. Budgets and distances are shares of each model's pixel range (l0: "
        "pixels). rho_adv: mean of ||delta||_2 / ||x||_2, which depends on where the range starts.",
        columns=[*columns, *_TAILS], rows=rows,
    )  # fmt: skip


def _scalar(record: Record, measure: str, tags: dict[str, Scalar]) -> Result | None:
    asked = tags | {"measure": measure, "defense": "none"}
    return next(
        (
            result
            for result in record.results
            if result.metric in _OWN
            and result.kind == "scalar"
            and all(result.tags.get(name) == value for name, value in asked.items())
        ),
        None,
    )
