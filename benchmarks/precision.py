"""What proposals in bfloat16 cost in strength and save in time: the attacks of a suite on the same images, both ways,
in one run.

    ROBUSTEVAL_TEST_DATA=... python benchmarks/precision.py --out benchmarks/results

Everything found is judged in full precision, whichever way it was proposed. Attacks of thousands of steps part company
after one rounding, so the same is done a third time in float32 by other kernels: what that changes is chance.
Every cell is attacked in the three ways one after the other, so that ratios of time hold where other work runs beside
it.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from setting import data_folder, machine
from torch import Tensor

from robusteval.api import load_model
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended
from robusteval.contracts.tuning import AUTO, FULL_ONLY, REDUCED, Tuning
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.plan.job import plan_of
from robusteval.engine.references.build import attacks_only
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.schedule import precision
from robusteval.engine.schedule.pass_timing import applied, in_words, measure
from robusteval.engine.units.chunk import Context
from robusteval.engine.units.unit import chunks, run_unit

ROOT = Path(__file__).parents[1]
MODELS = ("lenet", "conv4", "resnet20-cifar10", "fashion-cnn", "fashion-robust", "fashion-vit")
FULL_WAY, ROUNDED, CHANCE = "float32", "bfloat16", "float32 again"


def model_and_images(name: str) -> tuple[Path, Tensor, Tensor]:
    """The file, its test images [N, C, H, W] in [0, 1], and their labels [N]."""
    if name.startswith("fashion"):
        with np.load(ROOT / "robusteval" / "data" / "fashion_mnist.npz") as arrays:
            x, y = arrays["x_test"], arrays["y_test"]
        return (
            ROOT / "examples" / f"{name}.onnx",
            torch.from_numpy(x)[:, None].float() / 255,
            torch.from_numpy(y).long(),
        )
    folder = data_folder()
    if name == "resnet20-cifar10":
        with np.load(folder / "cifar10_1380.npz") as arrays:
            x, y = arrays["x"], arrays["y"]
        return folder / "models" / f"{name}.onnx", torch.from_numpy(x).permute(0, 3, 1, 2) / 255, torch.from_numpy(y)
    with np.load(folder / "mnist" / "mnist.npz") as arrays:
        x, y = arrays["x_test"], arrays["y_test"]
    x = torch.from_numpy(x).reshape(-1, 1, 28, 28).float() / 255
    return folder / "models" / f"{name}.onnx", x, torch.from_numpy(y).long()


def ways(exact: Tuning, rounded: Tuning) -> dict[str, Tuning]:
    """The three ways by name."""
    again = replace(exact, own_kernels=not exact.own_kernels)
    return {FULL_WAY: exact, ROUNDED: rounded, CHANCE: again}


def compared(name: str, suite: str, images: int) -> dict[str, Any]:
    """The rows of one model: for every cell, each way's distances and seconds."""
    path, x, y = model_and_images(name)
    catalogue, classifier = discover(), load_model(path)
    options = RunOptions(suite=suite, data=(x.contiguous(), y), samples=images, precision=FULL_ONLY)
    job = prepare_job(classifier, catalogue, options)
    job = replace(job, suite=replace(attacks_only(job.suite), strengths=(), stretches=()))
    samples, model = job.samples.copy(), job.model
    exact = measure(model, samples.x[:64]).tuning
    auto = measure(model, samples.x[:64], AUTO).tuning
    rough = replace(exact, onednn=True, own_kernels=False, precision=REDUCED)
    rounded = auto if auto.precision == REDUCED else precision.rounded(model, samples.x[:64], exact, rough)
    if rounded is None:
        raise SystemExit(f"{name}: gradients in bfloat16 point elsewhere, so they are never taken.")
    right = model.logits(samples.x).argmax(1) == samples.y
    rows: list[dict[str, Any]] = []
    for planned in plan_of(job).planned:
        row: dict[str, Any] = {"cell": planned.cell.id, "norm": planned.cell.norm, "needs": planned.cell.needs}
        for way, tuning in ways(exact, rounded).items():
            context = Context({"none": Pipeline(Defended(model))}, samples, {"none": right}, job.seed, tuning=tuning)
            started = time.process_time()
            with applied(tuning):
                units = [run_unit(context, planned, part) for part in chunks(planned, len(samples))]
            seconds = time.process_time() - started
            distance = torch.cat([unit.distance for unit in units])[right]
            watched = {
                key: sum(unit.watched[key] for unit in units) for key in ("met", "lost", "fooled", "not_carried")
            }
            found = [None if math.isinf(item) else round(item, 6) for item in distance.tolist()]
            row[way] = {"seconds": seconds, "distance": found, **watched}
        rows.append(row)
        print(
            f"{name}: {row['cell']}", {way: round(row[way]["seconds"], 1) for way in ways(exact, rounded)}, flush=True
        )
    return {
        "model": name,
        "images": int(right.sum()),
        "exact": in_words(exact),
        "rounded": in_words(rounded),
        "auto": in_words(auto),
        "chosen": asdict(auto),
        "rows": rows,
    }


def median(distances: Sequence[float | None]) -> float:
    """The lower of the middle two; inf where half were never lost."""
    ordered = sorted(math.inf if distance is None else distance for distance in distances)
    return ordered[(len(ordered) - 1) // 2]


def ratio(row: dict[str, Any], way: str) -> float:
    """Geometric mean over the images that both ways lost of the way's distance to that of float32."""
    pairs = zip(row[way]["distance"], row[FULL_WAY]["distance"], strict=True)
    logs = [math.log(pair / other) for pair, other in pairs if pair and other]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def worst(rows: list[dict[str, Any]], norm: str) -> dict[str, Any]:
    """The nearest of all cells of a norm, as a row."""
    made: dict[str, Any] = {"cell": f"worst case, {norm}"}
    for way in (FULL_WAY, ROUNDED, CHANCE):
        columns = [row[way]["distance"] for row in rows if row["norm"] == norm]
        nearest = [
            min((item for item in group if item is not None), default=None) for group in zip(*columns, strict=True)
        ]
        made[way] = {"distance": nearest, "seconds": sum(row[way]["seconds"] for row in rows if row["norm"] == norm)}
        made[way] |= {key: sum(row[way][key] for row in rows if row["norm"] == norm) for key in ("met", "lost")}
    return made


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    medians = [median(row[way]["distance"]) for way in (FULL_WAY, ROUNDED, CHANCE)]
    lost = [sum(item is not None for item in row[way]["distance"]) for way in (FULL_WAY, ROUNDED, CHANCE)]
    forgot = "/".join(f"{row[way]['lost']}" for way in (FULL_WAY, ROUNDED))
    figures = [f"{entry:.4g}" for entry in medians]
    figures += [f"{ratio(row, ROUNDED):.4f}", f"{ratio(row, CHANCE):.4f}", "/".join(map(str, lost)), forgot]
    spent = row[ROUNDED]["seconds"] / max(row[FULL_WAY]["seconds"], 1e-9)
    return f"| {row['cell']} | " + " | ".join(figures) + f" | {spent:.2f} |"


def markdown(result: dict[str, Any]) -> str:
    """One table a model."""
    lines = ["# Proposals in bfloat16", "", "Machine: " + ", ".join(f"{k} {v}" for k, v in result["machine"].items())]
    lines += [
        "",
        (
            f"The attacks of suite `{result['suite']}` on the bare model. Median distances in the three ways; "
            "geometric mean of the ratio of distances to those of float32, image by image; images lost; wins met on "
            "the way and not returned (float32 / bfloat16); CPU time of bfloat16 as a share of that of float32, "
            "judging and search included. Cells without gradients ask the true model only, so nothing changes there."
        ),
    ]
    for item in result["models"]:
        lines += ["", f"## {item['model']}, {item['images']} images", ""]
        lines += [
            f"float32: {item['exact']}. bfloat16: {item['rounded']}. `--precision auto` here: {item['auto']}.",
            "",
        ]
        lines += ["| cell | float32 | bfloat16 | float32 again | ratio | by chance | lost | forgot | time |"]
        lines += ["|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
        rows = [row for row in item["rows"] if row["needs"] == "gradient"]
        lines += [line(row) for row in rows]
        lines += [line(worst(item["rows"], norm)) for norm in sorted({row["norm"] for row in item["rows"]})]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="separated by commas")
    parser.add_argument("--images", type=int, default=64, help="evenly over the classes")
    parser.add_argument("--suite", default="standard")
    parser.add_argument(
        "--out", type=Path, help="folder for precision.json and precision.md; models there already stay"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    known = options.out / "precision.json" if options.out else None
    old = json.loads(known.read_text())["models"] if known is not None and known.exists() else []
    done = {item["model"]: item for item in old}
    for name in options.models.split(","):
        done[name] = compared(name, options.suite, options.images)
        models = [done[item] for item in MODELS if item in done]
        result = {"machine": machine(), "suite": options.suite, "models": models}
        if options.out and known is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            known.write_text(json.dumps(result) + "\n")
            (options.out / "precision.md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
