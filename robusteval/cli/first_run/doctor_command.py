"""`robusteval doctor`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from pathlib import Path
from typing import Any

import click

from robusteval.cli import say_json

EXTRAS = {
    "cage": "pyseccomp",
    "pandas": "pandas",
    "ray": "ray",
    "sign": "securesystemslib",
}  # extra -> the package that it brings


@click.command("doctor")
@click.argument("model", required=False, type=click.Path())
@click.option("--data", type=click.Path(), help="Data to foretell the cost with.  [default: those beside the model]")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(model: str | None, data: str | None, as_json: bool) -> None:
    """Say what this machine offers: providers, devices, cores, memory, extras, plugins that are broken; with MODEL also
    what each suite would cost on it.

    A cost is foretold from timed passes, as by `robusteval run --dry-run`.
    """
    from robusteval.cli.progress import quiet_libraries

    quiet_libraries()
    facts: dict[str, Any] = {"machine": _machine(), "extras": _extras(), "plugins": _plugins()}
    if model is not None:
        facts["suites"] = _costs(Path(model), data)
    if as_json:
        say_json(facts)
        return
    _show(facts)


def _machine() -> dict[str, str]:
    """What there is to compute with."""
    import onnxruntime
    import torch

    from robusteval.cage.machine import holds
    from robusteval.engine.schedule.environment import processor
    from robusteval.plain import memory, size

    left = memory()
    cuda = torch.cuda
    cards = [f"cuda:{n} ({cuda.get_device_name(n)})" for n in range(cuda.device_count())] if cuda.is_available() else []
    return {
        "robusteval": importlib.metadata.version("robusteval"),
        "processor": processor(),
        "cores": str(os.cpu_count() or 1),
        "memory left": "unknown" if left is None else size(left),
        "devices": ", ".join(["cpu", *cards]),
        "ONNX Runtime": f"{onnxruntime.__version__}, built for {', '.join(map(_short, _providers()))}",
        "torch": torch.__version__,
        "cage": holds(),
    }


def _providers() -> list[str]:
    import onnxruntime

    return [str(name) for name in onnxruntime.get_available_providers()]


def _short(provider: str) -> str:
    """CUDAExecutionProvider -> CUDA."""
    return provider.removesuffix("ExecutionProvider").replace("Tensorrt", "TensorRT")


def _extras() -> dict[str, str]:
    """Of each extra whether it is installed."""
    there = {name: importlib.util.find_spec(package) is not None for name, package in EXTRAS.items()}
    return {name: "installed" if found else f"pip install 'robusteval[{name}]'" for name, found in there.items()}


def _plugins() -> dict[str, Any]:
    """How many plugins of each kind there are, and why others are broken."""
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.suite.suite import faults

    entries = discover().entries
    counts: dict[str, int] = {}
    for entry in entries:
        if not entry.broken:
            counts[entry.kind] = counts.get(entry.kind, 0) + 1
    broken = {f"{entry.kind} {entry.name}": entry.broken for entry in entries if entry.broken}
    return {"counts": counts, "broken": broken | {f"suite {name}": why for name, why in faults(discover()).items()}}


def _costs(model: Path, data: str | None) -> list[dict[str, Any]]:
    """What each suite would cost with this model; why, where it cannot be said."""
    from robusteval.contracts.classifier import LoadOptions
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.catalogue.open_model import load_model
    from robusteval.engine.data.find import Kept
    from robusteval.engine.data.peek import peeker
    from robusteval.engine.plan.job import plan_of
    from robusteval.engine.run.options import RunOptions
    from robusteval.engine.run.prepare import prepare_job
    from robusteval.engine.run.runner import forecast_of
    from robusteval.engine.suite.suite import names
    from robusteval.engine.threads import cores
    from robusteval.errors import RobustEvalError

    catalogue, images = discover(), Path(data) if data else None
    kept: Kept = {}
    peek = peeker(model, images, catalogue.datasets(), None, kept)
    classifier = load_model(model, LoadOptions(peek=peek), catalogue)
    rows: list[dict[str, Any]] = []
    for name in names(catalogue):
        row: dict[str, Any] = {"suite": name}
        try:
            asked = RunOptions(suite=name, data=images, workers=cores())
            job = prepare_job(classifier, catalogue, asked, model_path=model, kept=kept)
            coming = forecast_of(job).forecast(plan_of(job))
            row |= {"samples": len(job.samples), "passes": coming.passes, "seconds": coming.wall(job.workers)}
        except RobustEvalError as error:
            row["why"] = error.message
        rows.append(row)
    return rows


def _show(facts: dict[str, Any]) -> None:
    from robusteval.cli.tables import console, table

    screen = console()
    for title, rows in (("Machine", facts["machine"]), ("Extras", facts["extras"])):
        listed = table(title, "", "")
        listed.show_header = False
        for name, value in rows.items():
            listed.add_row(name, value)
        screen.show(listed)
    plugins = facts["plugins"]
    counted = [f"{kind} {count}" for kind, count in sorted(plugins["counts"].items())]
    screen.say(f"Plugins by kind: {', '.join(counted)}.")
    for name, why in plugins["broken"].items():
        screen.say(f"BROKEN: {name}: {why}")
    if "suites" in facts:
        listed = table("What each suite would cost", "suite", ">samples", ">passes", ">minutes", "")
        for row in facts["suites"]:
            figures = ("-", "-", "-", row["why"]) if "why" in row else _cost(row)
            listed.add_row(row["suite"], *figures)
        screen.show(listed)


def _cost(row: dict[str, Any]) -> tuple[str, str, str, str]:
    return str(row["samples"]), f"{row['passes']:,.0f}", f"{row['seconds'] / 60:.1f}", ""
