"""`robusteval train`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robusteval.cli import say, say_json, stream
from robusteval.cli.options import Numbers, SpacedCommand, load_options, model_options, pair, value_of
from robusteval.plain import real
from robusteval.record.units import NORM_TITLES

if TYPE_CHECKING:
    from robusteval.contracts.training import Epoch
    from robusteval.engine.catalogue.catalogue import Catalogue
    from robusteval.engine.fit.proved import ProvedShare
    from robusteval.engine.fit.train import Lesson


@click.command("train", cls=SpacedCommand)
@click.argument("defence")
@click.argument("model", type=click.Path())
@click.option(
    "--fit-data",
    type=click.Path(),
    help="What to learn from: .npz, IDX pair, folder of class folders, or the name of an installed data set. "
    "One image in ten is held out.  [default: the fit part of the model's own data]",
)
@click.option(
    "--data-range", type=Numbers(), default="", help="Values of black,white in the data, where not the model's range."
)
@click.option("--out", required=True, type=click.Path(), help="The ONNX file to write; its weights go beside it.")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the defence, such as eps=0.05; may be repeated. `robusteval plugins show DEFENCE` lists them.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace --out where it exists.")
@model_options
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary instead of text.")
def command(
    defence: str,
    model: str,
    fit_data: str | None,
    data_range: tuple[float, ...],
    out: str,
    params: tuple[str, ...],
    seed: int,
    overwrite: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Train DEFENCE on a copy of MODEL and write the hardened model as ONNX.

    \b
    robusteval train adversarial-training model.onnx --fit-data train.npz --out hardened.onnx

    MODEL itself is not changed. The file takes pixels in the range that --range states; normalisation and layout are
    inside. An interrupted training goes on from the last finished epoch when the same command is given again.
    """
    from robusteval.cli.progress import quiet_libraries
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.catalogue.open_model import load_model
    from robusteval.engine.data.find import Kept
    from robusteval.engine.data.peek import peeker
    from robusteval.engine.fit.export_onnx import write_model
    from robusteval.engine.fit.train import accuracy, lesson

    path = Path(out)
    _check_out(path, Path(model), overwrite)
    chosen = _parsed(params)
    quiet_libraries()
    catalogue = discover()
    fit, seen = Path(fit_data) if fit_data else None, pair(data_range, "--data-range", ordered=False)
    kept: Kept = {}
    peek = peeker(Path(model), None, catalogue.datasets(), seen, kept, fit, learning=True)
    classifier = load_model(Path(model), load_options(**reading, peek=peek), catalogue)
    task = lesson(
        defence,
        chosen,
        classifier,
        catalogue,
        model_path=Path(model),
        fit=fit,
        data_range=seen,
        seed=seed,
        kept=kept,
    )
    kept.clear()  # the lesson holds what it needs
    before, seen_before = task.before(), task.seen_before()
    say(f"{defence}: {len(task.training)} samples to learn from, {len(task.held)} held out. {task.note}", err=True)
    defended = task.train(_say)
    gap = write_model(defended.model, classifier.info, path, task.facts(), task.held.x[:16], task.marks())
    after = accuracy(defended.model, task.held)
    share = _proved(task, path, catalogue)
    weights = path.with_suffix(".safetensors")
    if as_json:
        row = {"model": str(path), "weights": str(weights), "before": before, "after": after, "onnx_gap": gap}
        certified = {} if share is None else {"certified": asdict(share) | {"accuracy": share.accuracy}}
        say_json(row | task.facts() | {"held_out": len(task.held), "held_out_seen_before": seen_before} | certified)
        return
    say(f"Clean accuracy on {len(task.held)} samples held out: {before:.1%} before, {after:.1%} after.")
    say(_known_before(seen_before, len(task.held)))
    if share is not None:
        say(_sentence(share, task.held.bounds))
    say(f"Model: {path} (ONNX Runtime agrees to {gap:.1g} of the largest score)")
    say(f"Weights: {weights}")
    say(f"What it is worth: robusteval run {path}")


def _known_before(seen: int | None, held: int) -> str:
    """What the model may have known of the samples held out, before it was trained here."""
    if seen == 0:
        return "By the marks in its file the model had not been trained on any of them."
    better = "the first figure, and others as far as they build on its weights, look better than they are on new images"
    if seen is None:
        return f"The model's file does not say what it was trained on: if it was on some of them, {better}."
    return f"By the marks in its file the model had been trained on {seen} of these {held}: {better}."


def _proved(task: Lesson, path: Path, catalogue: Catalogue) -> ProvedShare | None:
    """What is proved of the written file, where it was trained for that."""
    from robusteval.engine.fit.proved import proved_share

    aim = task.aim()
    if aim is None:
        return None
    say(f"Asking the certifier {aim.certifier} about the {len(task.held)} samples held out.", err=True)
    return proved_share(path, aim, task.held, catalogue)


def _sentence(share: ProvedShare, bounds: tuple[float, float]) -> str:
    about = (
        f"Certified accuracy within {NORM_TITLES[share.norm]} {share.eps:g} (pixels in {bounds[0]:g} to {bounds[1]:g})"
    )
    if share.accuracy is None:
        return f"{about}: not known, because {share.reason}."
    return (
        f"{about} on the same samples: {share.accuracy:.1%}, {share.proved} of {share.samples} proved by the certifier "
        f"{share.certifier} on the written file."
    )


def _check_out(path: Path, model: Path, overwrite: bool) -> None:
    """Raises click.BadParameter before anything is trained."""
    if path.suffix != ".onnx":
        raise click.BadParameter(f"{path} does not end in .onnx", param_hint="--out")
    if real(path) == real(model):
        raise click.BadParameter("it is the model itself, which is never written to", param_hint="--out")
    existing = [file for file in (path, path.with_suffix(".safetensors")) if file.exists()]
    if existing and not overwrite:
        raise click.BadParameter(f"{existing[0]} exists; give another name, or --overwrite", param_hint="--out")


def _parsed(params: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE, where the value is JSON if it can be, else text. Raises click.BadParameter."""
    found: dict[str, Any] = {}
    for text in params:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not of the form name=value", param_hint="--param")
        if name in found:
            raise click.BadParameter(f"{name} is given twice", param_hint="--param")
        found[name] = value_of(value)
    return found


def _say(epoch: Epoch) -> None:
    """One line an epoch, with the time left."""
    stage = f"{epoch.stage}, " if epoch.stage else ""
    if epoch.resumed:
        say(f"{stage}taking up an earlier training: {epoch.done} of {epoch.epochs} epochs are done", err=True)
        return
    left = epoch.seconds * (epoch.epochs - epoch.done)
    tail = f", about {left:.0f} s left" if left else ""
    say(f"{stage}epoch {epoch.done}/{epoch.epochs}: loss {epoch.loss:.4g}, {epoch.seconds:.1f} s{tail}", err=True)
    stream(err=True).flush()
