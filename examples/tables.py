"""The figures of the example models: `models.json` for programs, and the table in README.md for people."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import onnxruntime
import torch
from export import sha256

BEGIN, END = "<!-- begin figures: written by train.py -->", "<!-- end figures -->"


@dataclass(frozen=True)
class Row:
    """What was measured of one file. Accuracies are shares; `seconds` is the training on one thread."""

    file: str
    sha256: str
    bytes: int
    parameters: int
    accuracy_test_10000: float
    accuracy_bundled_1000: float
    robust_accuracy_test_10000: float | None
    certified_accuracy_test_10000: float | None  # by interval bounds
    seconds: float
    machine: str


def describe_machine() -> str:
    """The processor, its count of cores, and the versions that decide the result."""
    cpuinfo = Path("/proc/cpuinfo")
    names = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in names if line.startswith("model name")]
    return (
        f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores shared, one thread, "
        f"torch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}"
    )


def row_of(
    path: Path,
    accuracies: tuple[float, float],
    parameters: int,
    robust: float | None,
    certified: float | None,
    seconds: float,
) -> Row:
    """The figures of the file at `path`; `accuracies` are on the 10,000 test images and on the bundled 1,000.

    None: not measured, or not covered.
    """
    return Row(
        file=path.name,
        sha256=sha256(path),
        bytes=path.stat().st_size,
        parameters=parameters,
        accuracy_test_10000=round(accuracies[0], 4),
        accuracy_bundled_1000=round(accuracies[1], 4),
        robust_accuracy_test_10000=None if robust is None else round(robust, 4),
        certified_accuracy_test_10000=None if certified is None else round(certified, 4),
        seconds=round(seconds, 1),
        machine=describe_machine(),
    )


def read_rows(folder: Path) -> dict[str, Row]:
    """The rows that `models.json` in `folder` holds by model name; none when there is no such file."""
    path = folder / "models.json"
    if not path.exists():
        return {}
    return {name: Row(**row) for name, row in json.loads(path.read_text())["models"].items()}


def write_rows(folder: Path, rows: dict[str, Row], attack: str, proof: str) -> None:
    """Writes `models.json`, and the table in README.md when `folder` holds one.

    `attack` and `proof` say in words how `robust_accuracy_test_10000` and `certified_accuracy_test_10000` were
    measured.
    """
    document = {
        "dataset": "fashion-mnist",
        "robust_accuracy_attack": attack,
        "certified_accuracy_proof": proof,
        "models": {name: asdict(row) for name, row in rows.items()},
    }
    (folder / "models.json").write_text(json.dumps(document, indent=2) + "\n")
    readme = folder / "README.md"
    if readme.exists():
        before, _, rest = readme.read_text().partition(BEGIN)
        readme.write_text(f"{before}{BEGIN}\n\n{table(rows)}\n{END}{rest.partition(END)[2]}")


def table(rows: dict[str, Row]) -> str:
    """The Markdown table of all rows."""
    heads = (
        "10,000 test images",
        "bundled 1,000",
        "under PGD-40",
        "proved by ibp",
        "parameters",
        "bytes",
        "trained in",
    )
    lines = [f"| file | {' | '.join(heads)} | sha256 |", f"| --- |{' ---: |' * len(heads)} --- |"]
    for row in rows.values():
        robust = "not measured" if row.robust_accuracy_test_10000 is None else f"{row.robust_accuracy_test_10000:.2%}"
        proved = row.certified_accuracy_test_10000
        certified = "not covered" if proved is None else f"{proved:.2%}"
        lines.append(
            f"| `{row.file}` | {row.accuracy_test_10000:.2%} | {row.accuracy_bundled_1000:.1%} | {robust} "
            f"| {certified} | {row.parameters:,} | {row.bytes:,} | {row.seconds:,.0f} s | `{row.sha256}` |"
        )
    machines = sorted({row.machine for row in rows.values()})
    return "\n".join(lines) + "\n\nMeasured on: " + "; ".join(machines) + ".\n"
