"""One honest small run with everything in it, and ways to check a changed record against its evidence in this
process."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robusteval.errors import RobustEvalError
from robusteval.record import reference_set
from robusteval.record.decode import decode
from robusteval.record.run import Record
from robusteval.record.sanity import check as make_sense
from robusteval.record.store import DOCUMENT
from robusteval.verify.parts.derived import built_in
from robusteval.verify.parts.evidence import Evidence, gather
from robusteval.verify.proofs.check import check_proofs
from robusteval.verify.run import check
from tests.documents import whole

ROOT = Path(__file__).parents[2]
CNN = ROOT / "examples" / "fashion-cnn.onnx"
SUITE = """
name = "everything"
version = "1"
norms = ["l2", "linf"]
samples = 10
probe_samples = 4
keep_strengths = true
strengths = [0.1, 0.2]
stretches = [1.0, 1.5]
planted = { samples = 2, inner = 20 }
noise_draws = { samples = 2, draws = 50 }
clever = { samples = 2, batches = 10, batch_size = 4 }
certify = { samples = 3, seconds = 600, halvings = 2, certifiers = ["ibp", "crown"], norms = ["linf"] }
[gates]
fail_under = ["linf@0.02>=0.1", "clean>=0", "grade>=F", "0"]
[[attack]]
plugin = "noise"
search = 1
[[attack]]
plugin = "pgd"
search = 2
params = { steps = 4 }
[[attack]]
plugin = "deepfool"
params = { steps = 8 }
[[cascade]]
name = "two"
eps = { linf = [0.02] }
[[cascade.member]]
plugin = "fgsm"
[[cascade.member]]
plugin = "pgd"
params = { steps = 4 }
[[defense]]
plugin = "bit-depth"
oblivious = ["pgd"]
adaptive = ["pgd"]
"""


@dataclass(frozen=True)
class Honest:
    """A finished run: its folder, its record as parsed JSON, and what it is checked against."""

    folder: Path
    data: dict[str, Any]
    evidence: Evidence
    metrics: dict[str, Any]
    shipped: list[reference_set.LoadedSet]

    def faults(self, data: dict[str, Any]) -> list[str]:
        """What is wrong with a record: what reading it raises, or what verification finds."""
        try:
            record = decode(Record, data)
            make_sense(record)
            evidence = self.evidence
            if data.get("schema") not in DOCUMENT.versions:
                return ["another schema"]
            file = record.witnesses.file if record.witnesses is not None else ""
            if data["model"] != self.data["model"] or file != self.data["witnesses"]["file"]:
                evidence = gather(record, self.folder, CNN)
            result = check(record, evidence, self.metrics, self.shipped)
            if data.get("proofs") != self.data["proofs"]:  # else the stored graph is what it was
                check_proofs(record, self.folder, evidence, result)
        except RobustEvalError as error:
            return [error.message]
        return result.failures

    def changed(self) -> dict[str, Any]:
        """A copy of the record to change."""
        return copy.deepcopy(self.data)


def open_run(folder: Path) -> Honest:
    """An honest run's folder, ready for checking."""
    data = whole(folder)
    evidence = gather(decode(Record, data), folder, CNN)
    return Honest(folder, data, evidence, built_in(), reference_set.shipped())
