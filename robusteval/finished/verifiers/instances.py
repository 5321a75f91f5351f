"""The undecided samples of a run as a folder of instances: the model's file, a VNN-LIB file each, and instances.csv."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robusteval.errors import RecordError
from robusteval.finished.verifiers.undecided import Open, name_of, open_at, usual_eps
from robusteval.finished.verifiers.vnnlib import box, text
from robusteval.metrics._common import columns
from robusteval.record.run import Record
from robusteval.record.store import write_atomically
from robusteval.runtime.answers import Runtime
from robusteval.runtime.files import read_content
from robusteval.verify.parts.asking import reopened
from robusteval.verify.parts.evidence import CLEAN, inside, read_tensors

MODEL, LIST = "model.onnx", "instances.csv"
SECONDS = 300  # for each instance, in the list; whoever runs the verifier may change it


def write_instances(record: Record, folder: Path, model: Path | None, target: Path, share: float | None) -> Open:
    """Writes the instances into the folder `target`, which is there and empty. share: of the pixel range; None: the
    budget that the run quotes first.

    Raises RecordError where the run does not say what is undecided, has no images, or its model is not there, is
    another one, or one that the format cannot describe.
    """
    state = open_at(record, usual_eps(record) if share is None else share * columns.span(record))
    runtime, content = _model(record, model)
    if record.witnesses is None:
        raise RecordError("This run stored no images.", "Run it again.")
    tensors, found = read_tensors(folder / inside(record.witnesses.file))
    clean = tensors.get(CLEAN, np.zeros(0))
    if found != record.witnesses.sha256 or clean.shape[1:] != runtime.reading.shape:
        raise RecordError("The stored images are not those of the run.", "Give the folder that the run wrote.")
    write_atomically(target / MODEL, content)
    lines = []
    for sample in state.undecided:
        low, high = box(runtime, clean[sample], state.eps)
        name = name_of(record, state.eps, sample)
        asked = text(low, high, record.data.labels[sample], runtime.reading.classes)
        write_atomically(target / name, asked.encode())
        lines.append(f"{MODEL},{name},{SECONDS}\n")
    write_atomically(target / LIST, "".join(lines).encode())
    return state


def _model(record: Record, path: Path | None) -> tuple[Runtime, bytes]:
    """The model as it was read, and its bytes."""
    if path is None or not path.exists():
        raise RecordError(f"The model {record.model.file} is not where it was.", "Give its path with --model MODEL.")
    runtime = reopened(path, record)
    reading, session = runtime.reading, runtime.session
    faults = {
        "its weights lie in other files": bool(reading.external),
        f"its input is {reading.type}": reading.type not in ("tensor(float)", "tensor(double)"),
        "it takes whole numbers": reading.whole is not None,
        "its answer is no tensor with a score a class": reading.kind != "tensor" or reading.one_score,
        "it has other inputs or outputs as well": len(session.get_inputs()) + len(session.get_outputs()) != 2,
        f"it takes batches of {reading.batch}": reading.batch not in (None, 1),
    }
    fault = next((told for told, holds in faults.items() if holds), "")
    if fault:
        raise RecordError(
            f"The model cannot be asked about in VNN-LIB: {fault}.", "Export the model to ONNX otherwise."
        )
    return runtime, read_content(path)
