"""Which formats there are, and writing them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from robusteval.assessment.standards import mapping
from robusteval.finished import per_sample
from robusteval.finished.exports.cyclonedx import cyclonedx
from robusteval.finished.exports.eval_results import eval_results
from robusteval.finished.exports.junit import junit
from robusteval.finished.exports.model_index import model_index
from robusteval.finished.exports.sarif import sarif
from robusteval.finished.exports.summary import summary
from robusteval.record.run import Record
from robusteval.record.store import write_atomically

FORMATS: Mapping[str, Callable[[Record], str | bytes]] = {
    "junit": junit,
    "sarif": sarif,
    "summary": summary,
    "model_index": model_index,
    "eval_results": eval_results,
    "cyclonedx": cyclonedx,
    "csv": lambda record: per_sample.as_csv(per_sample.table(record)),
    "parquet": lambda record: per_sample.as_parquet(per_sample.table(record)),
    "standards": mapping.to_json,
}


def export(record: Record, targets: Mapping[str, Path], changes: Sequence[str] = ()) -> None:
    """Writes the record in each format to its file, whole or not at all, in the place of an older one. changes: for the
    summary, what is said of the run beside a baseline. Raises RecordError where it cannot."""
    for name, path in targets.items():
        made = summary(record, changes) if name == "summary" else FORMATS[name](record)
        write_atomically(path, made if isinstance(made, bytes) else made.encode())
