"""The known models that the run is shown beside: those of a shipped set are in that set, on these images, as
printed."""

from __future__ import annotations

from dataclasses import replace

from robusteval.assessment.references.compared import compare, compared
from robusteval.record import reference_set
from robusteval.record.run import Record
from robusteval.verify.parts.result import Verification
from robusteval.verify.parts.same import differences

OWN = "reference sets that the user gave, or that do not come with this robusteval"


def check_known(record: Record, result: Verification, shipped: list[reference_set.LoadedSet] | None = None) -> None:
    """Compares record.references with what the shipped sets say. shipped: read here where not given."""
    sources = reference_set.shipped() if shipped is None else shipped
    known = {source.sha256: source for source in sources}
    foreign = 0
    for index, reference in enumerate(record.references):
        source = known.get(reference.sha256)
        if source is not None:  # also where the user gave the file by its path
            again = compare(replace(source, shipped=reference.shipped), record)
            result.judge(list(differences(reference, again, f"references[{index}]"))[:3], "references")
        elif reference.shipped and reference.file:
            result.judge([f"no set that ships with this robusteval has its hash ({reference.file})"], "references")
        elif reference.file:
            foreign += 1
        elif reference.models or reference.status == "done":
            result.judge(["it is of no file, so nothing says whose figures these are"], f"references[{index}]")
    result.leave(OWN, foreign)
    if not foreign and all(reference.shipped for reference in record.references):
        result.judge(list(differences(record.references, compared(sources, record), "references"))[:3], "references")
