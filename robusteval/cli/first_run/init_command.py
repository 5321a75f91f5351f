"""`robusteval init`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robusteval.cli import say
from robusteval.cli.options import SpacedCommand, data_options, gate_options, load_options, model_options, pair

if TYPE_CHECKING:
    from robusteval.contracts.classifier import ModelInfo
    from robusteval.engine.preflight.clean_accuracy import Preflight

_STATED = ("data", "fit_data", "data_range", "mean", "std", "layout", "shape", "output", "out")
_OWN = ("loader", "arch", "trust")
_MOST = 3  # settings that are asked about, one after the other


@click.command("init", cls=SpacedCommand)
@click.argument("model", type=click.Path())
@data_options
@model_options
@click.option("--suite", default="standard", show_default=True, help="Name of a suite, or a TOML file.")
@click.option("--out", type=click.Path(), help="The run's folder, inside the model's.  [default: as `run` has it]")
@gate_options
@click.option("--yes", is_flag=True, help="Ask nothing: write what the flags say.")
@click.option("--overwrite", is_flag=True, help="Replace a robusteval.toml that is there.")
def command(
    model: str, suite: str, out: str | None, fail_under: tuple[str, ...], yes: bool, overwrite: bool, **given: Any
) -> None:
    """Look at MODEL and the data beside it, and write a robusteval.toml there: then `robusteval run MODEL` is enough,
    and in that folder `robusteval run`.

    Where another setting, such as the pixel range, would give a better clean accuracy, it is told, and asked about in a
    terminal; nothing is changed unasked.
    """
    from robusteval.cli.first_run.settings_file import FILE, read, text
    from robusteval.cli.progress import quiet_libraries
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.suite.suite import read as read_suite
    from robusteval.record.store import write_atomically
    from robusteval.verify.statements.write import check_free

    quiet_libraries()
    path = Path(model)
    target = path.parent / FILE
    check_free(target, overwrite, "settings")
    read_suite(suite, discover())
    ask = not yes and sys.stdin.isatty()
    info, look, note = _look(path, given)
    for _ in range(_MOST):
        if look is None or not look.suggestions or not ask:
            break
        best = look.suggestions[0]
        if not best.flags.startswith("--") or best.by_hand or best.accuracy <= look.accuracy:
            break
        if not click.confirm(f"{look.sentence} Take {best.flags}?", default=True, err=True):
            break
        given |= _parsed(path, best.flags)
        info, look, note = _look(path, given)
    said = look.sentence if look is not None else f"No data looked at: {note}"
    values = {key: value for key, value in given.items() if key in _STATED and value not in (None, "", ())}
    values |= {"range": info.bounds, "suite": suite} | ({"out": out} if out else {})
    remarks = [f"input {'x'.join(map(str, info.input_shape))}, {info.layout}; {info.classes} classes", said]
    made = text(path.name, _placed(values, path.parent), list(fail_under), [remark[:300] for remark in remarks])
    write_atomically(target, made.encode())
    read(target)
    say(said)
    own = [f"--{name}" for name in _OWN if given.get(name)]
    if own:
        say(f"Not in the file, as it lets code run or chooses a plugin: {', '.join(own)}. Give it with each command.")
    say(f"Settings: {target}. Next: robusteval run {shlex.quote(model)}")


def _look(path: Path, given: dict[str, Any]) -> tuple[ModelInfo, Preflight | None, str]:
    """The model as it was understood, and its clean accuracy where there are data."""
    from robusteval.cli.inspect_command import look_at
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.catalogue.open_model import load_model
    from robusteval.engine.data.find import Kept
    from robusteval.engine.data.peek import peeker

    data, fit_data = given["data"], given["fit_data"]
    seen = pair(given["data_range"], "--data-range", ordered=False)
    reading = {key: value for key, value in given.items() if key not in ("data", "fit_data", "data_range")}
    kept: Kept = {}
    peek = peeker(path, Path(data) if data else None, discover().datasets(), seen, kept)
    classifier = load_model(path, load_options(**reading, peek=peek), discover())
    look, _, note = look_at(classifier, path, data, fit_data, seen, kept)
    return classifier.info, look, note


def _parsed(path: Path, flags: str) -> dict[str, Any]:
    """The values of flags that were suggested."""
    context = command.make_context("init", [str(path), *shlex.split(flags)])
    return {
        name: value
        for name, value in context.params.items()
        if name in ("bounds", "mean", "std", "data_range")
        and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }


def _placed(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paths as seen from the folder that the file lies in, as long as they are inside; others in full."""
    placed = dict(values)
    for key in ("data", "fit_data", "suite"):
        there = Path(str(values.get(key, "")))
        if key in values and there.exists():
            real, inside = there.resolve(), folder.resolve()
            placed[key] = str(real.relative_to(inside) if real.is_relative_to(inside) else real)
    return placed
