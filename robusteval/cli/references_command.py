"""`robusteval references`: sets of known models that runs are shown beside."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robusteval.cli import say, say_json
from robusteval.cli.options import (
    SpacedCommand,
    data_options,
    each_reading,
    load_options,
    model_options,
    pair,
    resource_options,
    resources,
    value_of,
)

if TYPE_CHECKING:
    from robusteval.engine.catalogue.catalogue import Catalogue
    from robusteval.engine.plan.job import Job
    from robusteval.engine.references.build import Wanted
    from robusteval.record.reference_set import ReferenceSet
    from robusteval.record.run import Record, Reference

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")


@click.group("references")
def command() -> None:
    """Build and list sets of known models that runs on the same data are shown beside."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def list_sets(as_json: bool) -> None:
    """The sets that ship with robusteval."""
    from robusteval.cli.tables import console, table
    from robusteval.record.reference_set import shipped

    rows = [(known.file, known.content) for known in shipped()]
    if as_json:
        summaries = [
            {"name": name, "suite": content.suite.name, "version": content.suite.version, "images": len(content.images)}
            | {"models": [model.name for model in content.models]}
            for name, content in rows
        ]
        say_json(summaries)
        return
    shown = table("", "set", "suite", ">images", "models")
    for name, content in rows:
        shown.add_row(
            name,
            f"{content.suite.name} {content.suite.version}",
            str(len(content.images)),
            ", ".join(model.name for model in content.models),
        )
    console().show(shown)


@command.command("build", cls=SpacedCommand)
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    metavar="NAME=FILE",
    help="A known model, or the folder of a finished run of it; may be repeated.",
)
@click.option("--about", multiple=True, metavar="NAME=TEXT", help="How it was made, in one line.")
@click.option(
    "--defense",
    multiple=True,
    metavar="NAME=PLUGIN[:KEY=VALUE,...]",
    help="Put this defence around it; the attacks know it.",
)
@click.option(
    "--exact",
    multiple=True,
    metavar="NAME=KEY=VALUE[,...]",
    help="Its defence with these parameters has useless gradients: measure, as a warning, what attacks with those "
    "report.",
)
@click.option("--draws", multiple=True, metavar="NAME=N", help="Of a random defence, at each query.  [default: 8]")
@click.option("--limit", multiple=True, metavar="NAME=N", help="Attack this one on fewer images, as it is dear.")
@click.option("--suite", default="standard", show_default=True, help="Name of a suite, or a TOML file.")
@data_options
@click.option("--samples", type=click.IntRange(min=1), help="Attack so many samples, evenly over the classes.")
@model_options
@click.option(
    "--only",
    nargs=3,
    multiple=True,
    metavar="FILE OPTION VALUE",
    help="For this file only: range, mean, std, layout, shape or output, as in --only b.onnx range 0,255.",
)
@click.option("--out", required=True, type=click.Path(), help="The file to write, such as references.json.")
@click.option("--runs", type=click.Path(), help="Where the models' runs go.  [default: reports/references-OUT]")
@resource_options
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--overwrite", is_flag=True, help="Start anew where a run's folder holds another run, or a finished one.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary instead of text.")
def build(
    models: tuple[str, ...],
    about: tuple[str, ...],
    defense: tuple[str, ...],
    exact: tuple[str, ...],
    draws: tuple[str, ...],
    limit: tuple[str, ...],
    suite: str,
    data: str | None,
    fit_data: str | None,
    data_range: tuple[float, ...],
    samples: int | None,
    only: tuple[tuple[str, str, str], ...],
    out: str,
    runs: str | None,
    seed: int,
    overwrite: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Attack known models and write them as a set that later runs are shown beside.

    \b
    robusteval references build --data images.npz --model plain=a.onnx --model hardened=b.onnx --out references.json
    robusteval run mine.onnx --data images.npz --references references.json

    Runs are compared with a set of the same suite, on the images that both have. An interrupted one goes on where
    it stopped when the same command is given again.
    """
    from robusteval.cli.progress import quiet_libraries
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.catalogue.open_model import load_model
    from robusteval.engine.data.find import Kept
    from robusteval.engine.data.peek import peeker
    from robusteval.engine.references.build import assemble
    from robusteval.engine.run.options import RunOptions
    from robusteval.engine.run.prepare import prepare_job
    from robusteval.engine.suite.suite import read
    from robusteval.record.reference_set import save

    if Path(out).is_dir():
        raise click.BadParameter(f"{out} is a folder; name the file to write", param_hint="--out")
    requests = _wanted(models, about, defense, exact, draws, limit)
    quiet_libraries()
    catalogue = discover()
    means = resources(reading, suite, catalogue)
    files = tuple(entry.path for entry in requests)
    samples_asked = samples or read(suite, catalogue).samples
    images, seen = Path(data) if data else None, pair(data_range, "--data-range", ordered=False)
    datasets = catalogue.datasets()
    kept: Kept = {}
    todo: list[tuple[Wanted, Job | None]] = []
    for entry, options in zip(requests, each_reading(files, reading, only), strict=True):
        if _is_run(entry.path):
            todo.append((entry, None))
            continue
        peek = peeker(Path(entry.path), images, datasets, seen, kept)
        asked = RunOptions(
            suite=suite,
            data=images,
            fit_data=Path(fit_data) if fit_data else None,
            data_range=seen,
            samples=min(entry.limit, samples_asked) if entry.limit else samples_asked,
            seed=seed,
            **means,
            overwrite=overwrite,
            command=shlex.join(["robusteval", *sys.argv[1:]]),
        )
        classifier = load_model(Path(entry.path), load_options(**options, peek=peek, device=means["device"]), catalogue)
        job = prepare_job(classifier, catalogue, asked, model_path=Path(entry.path), kept=kept)
        todo.append((entry, replace(job, references=(), apart=True)))
    kept.clear()  # the jobs hold what they need
    root = Path(runs) if runs else Path("reports") / f"references-{Path(out).stem}"
    measured = [_measure(entry, job, root, catalogue, as_json) for entry, job in todo]
    result = assemble(measured, shlex.join(["robusteval", *sys.argv[1:]]), seed)
    _tell(result, save(result, Path(out)), as_json)


def _measure(
    request: Wanted, job: Job | None, root: Path, catalogue: Catalogue, as_json: bool
) -> tuple[Reference, Record]:
    """Runs what one model needs, or reads the run that is there."""
    from robusteval.cli.run_command import attack
    from robusteval.engine.plan.job import check_folder
    from robusteval.engine.references.build import jobs, reference
    from robusteval.record.store import load

    if job is None:
        record = load(Path(request.path))
        return reference(request, record, catalogue), record
    true, blind = jobs(request, job, root)
    records = []
    for half in (true, blind):
        if half is not None:
            check_folder(half.folder)
            records.append(attack(half, as_json))
    return reference(request, records[0], catalogue, records[1] if blind is not None else None), records[0]


def _is_run(path: str) -> bool:
    folder = Path(path)
    return folder.is_dir() or folder.suffix == ".json"


def _wanted(
    models: tuple[str, ...],
    about: tuple[str, ...],
    defense: tuple[str, ...],
    exact: tuple[str, ...],
    draws: tuple[str, ...],
    limit: tuple[str, ...],
) -> list[Wanted]:
    """What the options say of each model. Raises click.BadParameter."""
    from robusteval.engine.references.build import Wanted

    files = _named(models, "--model", None)
    for name in files:
        if not _NAME.fullmatch(name):
            raise click.BadParameter(f"{name!r} is no name: letters, digits and ._+-, 40 at most", param_hint="--model")
    words = _named(about, "--about", files)
    around = _named(defense, "--defense", files)
    useless = _named(exact, "--exact", files)
    counts = {flag: _named(given, flag, files) for flag, given in (("--draws", draws), ("--limit", limit))}
    requests = []
    for name, path in files.items():
        plugin, _, params = around.get(name, "").partition(":")
        if not plugin and (name in useless or name in counts["--draws"]):
            raise click.BadParameter(f"{name} has no defence", param_hint="--exact" if name in useless else "--draws")
        if _is_run(path) and (plugin or name in counts["--limit"]):
            raise click.BadParameter(f"{name} is a finished run; give the model's file instead", param_hint="--model")
        requests.append(
            Wanted(
                name,
                path,
                words.get(name, ""),
                plugin,
                _pairs(params, "--defense"),
                _pairs(useless.get(name, ""), "--exact"),
                _count(counts["--draws"].get(name), "--draws") or 8,
                _count(counts["--limit"].get(name), "--limit"),
            )
        )
    return requests


def _named(given: tuple[str, ...], flag: str, known: dict[str, str] | None) -> dict[str, str]:
    """NAME=VALUE, each name once and, where there are known ones, one of them."""
    values: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise click.BadParameter(f"{text!r} is not of the form NAME=VALUE", param_hint=flag)
        if name.lower() in {name.lower() for name in values}:
            raise click.BadParameter(f"{name} is given twice", param_hint=flag)
        if known is not None and name not in known:
            raise click.BadParameter(f"{name!r} is not one of the models: {', '.join(known)}", param_hint=flag)
        values[name] = value
    return values


def _pairs(text: str, flag: str) -> dict[str, Any]:
    """KEY=VALUE,KEY=VALUE; each value JSON where it can be read as that."""
    pairs: dict[str, Any] = {}
    for part in text.split(",") if text else ():
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{part!r} is not of the form KEY=VALUE", param_hint=flag)
        pairs[key] = value_of(value)
    return pairs


def _count(text: str | None, flag: str) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or not 1 <= int(text[:9]) <= 1_000_000:
        raise click.BadParameter(f"{text!r} is not a number from 1 to 1000000", param_hint=flag)
    return int(text)


def _tell(built: ReferenceSet, path: Path, as_json: bool) -> None:
    from robusteval.cli.tables import reference_table

    if as_json:
        rows = [{"name": model.name, "images": len(model.rows), "grade": model.grade} for model in built.models]
        say_json({"references": str(path), "images": len(built.images), "models": rows})
        return
    reference_table(built)
    say(f"References: {path} ({path.stat().st_size / 1000:.0f} kB)")
    say(f"Compare with them: robusteval run MODEL --references {path}")
