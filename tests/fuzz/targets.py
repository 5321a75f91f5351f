"""What is asked about spoilt bytes. Each target takes them and a folder to write in, and gives a value or raises a
RobustEvalError; any other exception, and memory beyond a bound, is a fault of ours."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robusteval.cli.first_run import settings_file
from robusteval.contracts.classifier import ModelInfo
from robusteval.engine.catalogue.catalogue import Catalogue, discover
from robusteval.engine.data.find import opened, prepare, read
from robusteval.engine.suite import suite as suites
from robusteval.engine.units import store as unit_store
from robusteval.errors import RobustEvalError, SuiteError
from robusteval.loaders.onnx.gradients.prepass import merge_opsets
from robusteval.loaders.onnx.reading.file import read_model
from robusteval.record import store
from robusteval.record.run import Record
from robusteval.report.formats import marks
from robusteval.runtime.files import read_file
from robusteval.runtime.wire import label_lists, stored
from robusteval.verify.proofs.bound import margin
from robusteval.verify.proofs.graph import read as read_graph
from tests import records
from tests.engine.data_files import Y, idx
from tests.fuzz import seeds

MOST = 1.5e9  # bytes of memory that reading such a small file may take beyond what was there
INFO = ModelInfo("m", "onnx", "", (1, 3, 5), 3, class_names=("a", "b", "c"))


@dataclass(frozen=True)
class Target:
    """seeds: whole files to begin from; ask: what reads them."""

    seeds: Callable[[], list[bytes]]
    ask: Callable[[bytes, Path], object]


def holds(name: str, content: bytes, folder: Path) -> bool:
    """Whether a value came out, and not a sentence. Raises whatever else came out, and AssertionError for too much
    memory."""
    before = peak()
    refused: RobustEvalError | None = None
    try:
        TARGETS[name].ask(content, folder)
    except RobustEvalError as error:
        refused = error
    assert peak() - before < MOST, name
    assert refused is None or (refused.message and "\n" not in refused.message + refused.hint)
    return refused is None


def peak() -> float:
    """The most memory that this process ever took, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def _onnx(content: bytes, folder: Path) -> None:
    """Whatever is read of a file before a child process is asked to open it, and what `verify` reads."""
    path = folder / "m.onnx"
    path.write_bytes(content)
    (folder / "w.bin").write_bytes(b"\0" * 192)
    failed: RobustEvalError | None = None
    for part in (_front, read_file, lambda _: stored(content), lambda _: label_lists(content)):
        try:
            part(path)
        except RobustEvalError as error:
            failed = error
    if failed is not None:
        raise failed


def _front(path: Path) -> None:
    model = read_model(path).proto()
    merge_opsets(model)


def _read(
    name: str, beside: dict[str, Callable[[], bytes]] | None = None, at: str = ""
) -> Callable[[bytes, Path], object]:
    """Reading data, and putting them into a model's form. at: what is read, where it is not the spoilt file."""

    def ask(content: bytes, folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        for other, made in (beside or {}).items():
            (folder / other).write_bytes(made())
        raw = read(folder / (at or name))
        opened(raw, INFO)
        np.asarray(raw.images[:])
        prepare(raw, INFO)

    return ask


@functools.cache
def catalogue() -> Catalogue:
    return discover()


def _suite(content: bytes, _: Path) -> None:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:  # as `suite.text` has it
        raise SuiteError("no text") from error
    suites.parse(text, "s.toml", catalogue())


def _settings(content: bytes, folder: Path) -> None:
    path = folder / settings_file.FILE
    path.write_bytes(content)
    settings_file.read(path)


def _record(content: bytes, folder: Path) -> None:
    for name, whole in seeds.run().items():
        (folder / name).write_bytes(whole)
    (folder / store.RECORD_FILE).write_bytes(content)
    store.digest(store.load(folder))


@functools.cache
def _marked() -> Record:
    return records.make(20)


def _marks(content: bytes, folder: Path) -> None:
    """Marks of a page's pictures."""
    path = folder / "marks.json"
    path.write_bytes(content)
    marks.load(path, _marked())


def _samples(content: bytes, folder: Path) -> None:
    """The table of a run, with its hash mended in the record."""
    from tests.record.tables import mend

    (folder / store.RECORD_FILE).write_bytes(seeds.run()[store.RECORD_FILE])
    mend(folder, content)
    store.load(folder)


def _unit(content: bytes, _: Path) -> None:
    sealed = unit_store._sealed(content)
    for found in (
        unit_store.attack_unit(sealed, seeds.PLAN, seeds.CELL, 0),
        unit_store.judged_unit(sealed, seeds.PLAN, seeds.CELL, 0),
        unit_store.attack_unit(content, seeds.PLAN, seeds.CELL, 0),
    ):
        if found is not None:
            return
    raise SuiteError("no unit")  # None is how the reader says so


def _proofs(content: bytes, _: Path) -> None:
    """The graph beside certificates, and a bound of it."""
    graph = read_graph(content)
    margin(graph, np.zeros(graph.nodes[0].numel), 0, "linf", 0.1, (0.0, 1.0))


TARGETS: dict[str, Target] = {
    "onnx": Target(lambda: [seeds.net(), seeds.net(outside=True), seeds.net(loop=True)], _onnx),
    "npz": Target(lambda: [seeds.npz(), seeds.npz(packed=True)], _read("d.npz")),
    "idx": Target(
        lambda: [seeds.idx_pair(), seeds.idx_pair(packed=True)],
        _read("t10k-images-idx3-ubyte", {"t10k-labels-idx1-ubyte": lambda: idx(Y.astype(np.uint8))}),
    ),
    "idx-labels": Target(
        lambda: [idx(Y.astype(np.uint8))],
        _read("t10k-labels-idx1-ubyte", {"t10k-images-idx3-ubyte": seeds.idx_pair}, "t10k-images-idx3-ubyte"),
    ),
    "images": Target(
        lambda: [seeds.picture(kind) for kind in ("PNG", "JPEG", "BMP", "TIFF", "PPM", "WEBP")],
        _read("d/c/0.png", at="d"),
    ),
    "parquet": Target(lambda: [seeds.parquet()], _read("d.parquet")),
    "suite": Target(lambda: [seeds.SUITE.encode()], _suite),
    "settings": Target(lambda: [seeds.SETTINGS.encode()], _settings),
    "record": Target(lambda: [seeds.run()[store.RECORD_FILE]], _record),
    "marks": Target(lambda: [seeds.marks(_marked())], _marks),
    "samples": Target(lambda: [seeds.run()["samples.parquet"]], _samples),
    "proofs": Target(lambda: [seeds.proofs()], _proofs),
    "unit": Target(lambda: [seeds.unit(), seeds.unit(judged=True)], _unit),
}
