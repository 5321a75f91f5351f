"""`robusteval inspect`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robusteval.cli import say, say_json
from robusteval.cli.options import SpacedCommand, data_options, load_options, model_options, pair

if TYPE_CHECKING:
    from robusteval.contracts.classifier import Classifier, ModelInfo
    from robusteval.engine.data.find import Kept
    from robusteval.engine.preflight.clean_accuracy import Preflight
    from robusteval.record.run import Check

_RUNGS = {
    "A": "exact gradients through our differentiable twin",
    "B": "straight-through gradients where the exact ones are zero (BPDA)",
    "C": "exact gradients of the scores in logarithms, or before what makes them flat",
    "D": "one sample at a time",
    "S": "gradients of a surrogate: its answers differ, its steps lower the true margin more than random ones",
    "E": "no useful gradient: black-box attacks only",
}


@click.command("inspect", cls=SpacedCommand)
@click.argument("model", type=click.Path())
@data_options
@model_options
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(
    model: str, data: str | None, fit_data: str | None, data_range: tuple[float, ...], as_json: bool, **reading: Any
) -> None:
    """Print how MODEL was understood: shape, layout, classes, opset, parity, rung of the gradient ladder and why.

    With data (given, beside the model, or named by its metadata), also the clean accuracy and what other settings give.
    """
    from robusteval.cli.progress import quiet_libraries
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.catalogue.open_model import load_model
    from robusteval.engine.data.peek import peeker

    quiet_libraries()
    path, seen = Path(model), pair(data_range, "--data-range", ordered=False)
    kept: Kept = {}
    peek = peeker(path, Path(data) if data else None, discover().datasets(), seen, kept)
    classifier = load_model(path, load_options(**reading, peek=peek), discover())
    look, checks, note = look_at(classifier, path, data, fit_data, seen, kept)
    if as_json:
        facts = dataclasses.asdict(classifier.info)
        facts["learnt"] = facts.pop("training_fingerprints")  # the name in the file, and in what was printed before
        facts["rung_meaning"] = _RUNGS.get(classifier.info.rung, "")
        facts["clean"] = dataclasses.asdict(look) if look is not None else None
        facts["data_note"] = note
        facts["checks"] = [dataclasses.asdict(check) for check in checks]
        say_json(facts)
        return
    _print(classifier.info)
    say()
    say(look.sentence if look is not None else f"No data looked at: {note}")
    if look is not None:
        say(note)
        _print_checks(checks)


def look_at(
    model: Classifier,
    path: Path,
    data: str | None,
    fit_data: str | None,
    data_range: tuple[float, float] | None,
    kept: Kept,
) -> tuple[Preflight | None, list[Check], str]:
    """The clean accuracy on the data and what was checked, or why none were looked at. Data that the user named must be
    readable."""
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.data.find import find_data, prepare
    from robusteval.engine.preflight.checks import preflight_checks
    from robusteval.engine.preflight.clean_accuracy import clean_report
    from robusteval.engine.run.stability import stability
    from robusteval.engine.threads import one_thread
    from robusteval.errors import DataError

    images, fit = Path(data) if data else None, Path(fit_data) if fit_data else None
    try:
        raw, _ = find_data(path, model.info, images, fit, discover().datasets(), kept)
    except DataError as error:
        if data is not None or fit_data is not None:
            raise
        return None, [], error.message
    samples, note = prepare(raw, model.info, data_range, 1000)
    with one_thread():
        look = clean_report(model, raw, samples, data_range)
        return look, preflight_checks(look, model.info, samples) + stability(model, samples), note


def _print_checks(checks: list[Check]) -> None:
    from robusteval.cli.tables import console, table

    listed = table("", "check", "outcome", "what should hold, and what was measured")
    for check in checks:
        listed.add_row(check.id, check.outcome.replace("-", " "), f"{check.title}: {check.measured}")
    console().show(listed)


def _print(info: ModelInfo) -> None:
    from robusteval.cage.machine import holds
    from robusteval.cage.page import watched
    from robusteval.cli.tables import console, table

    def numbers(values: tuple[float, ...]) -> str:
        return ", ".join(f"{value:g}" for value in values)

    opset = f", opset {info.opset}" if info.opset is not None else ""
    rows = [
        ("name", info.name),
        ("format", f"{info.format}{opset}, {info.precision}"),
        ("sha256", info.sha256),
        ("input", f"{' x '.join(str(size) for size in info.input_shape)}, layout {info.layout} in the file"),
        ("batch", "any" if info.batch is None else f"only {info.batch}"),
        ("pixel range", f"{numbers(info.bounds)} (stated; eps is in its units)"),
        (
            "mean, std",
            f"{numbers(info.mean)}; {numbers(info.std)}" if info.mean or info.std else "none outside the file",
        ),
        ("classes", f"{info.classes}" + (f": {', '.join(info.class_names)}" if info.class_names else "")),
        ("output", info.output),
        ("answers from", info.provider),
        ("gradients", f"{info.gradients}: rung {info.rung}, {_RUNGS.get(info.rung, '')}"),
        ("why", info.gradients_reason),
        ("data set named", info.dataset),
        ("cage", holds() if watched() else ""),
    ]
    listed = table("", "", "")
    listed.show_header = False
    for name, value in rows:
        if value:
            listed.add_row(name, str(value))
    for name, figure in info.parity.items():
        shown = f"{figure:.3g}" if isinstance(figure, float) else str(figure)
        listed.add_row(f"parity: {name.replace('_', ' ')}", shown)
    for note in info.notes:
        listed.add_row("note", note)
    console().show(listed)
