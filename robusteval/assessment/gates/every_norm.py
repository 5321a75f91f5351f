"""`--fail-under`: whether a run shows that a model holds up to a distance. Fails closed: what was not measured meets no
gate."""

from __future__ import annotations

import math
from collections import Counter

from robusteval.assessment.evidence.white_box import asked, blind_norms
from robusteval.assessment.evidence.worst_case import envelope_of, held
from robusteval.record.run import Cell, Record


def gate_met(record: Record, fail_under: float) -> bool:
    """Whether the worst-case median distance reaches this in every norm that was asked about, in a run that can be
    relied on."""
    return not unmet(record, fail_under)


def unmet(record: Record, fail_under: float) -> str:
    """Why the gate is not met, in a few words; "" where it is.

    A norm without a measured value meets no gate, nor does a run that left out or lost an attack on the bare model, and
    samples that no attack took are only known to hold as far as the attacks with gradients went.
    """
    left = unmeasured(record)
    if left:
        return left
    short = [f"{known:.4g} in {norm}" for norm in asked(record) if not (known := held(record, norm)) >= fail_under]
    return f"half of the samples are only known to hold to {', '.join(short)}" if short else ""


def unmeasured(record: Record) -> str:
    """Why nothing is known of the distances in every norm that was asked about, in a few words; "" where it is."""
    if record.verdict is None or record.verdict.status != "conclusive":
        return "the run is inconclusive"
    norms = asked(record)
    missing = [norm for norm in norms if not record.done(norm=norm, knowledge="none")]
    if not norms or missing:
        return f"nothing was measured in {', '.join(missing) or 'any norm'}"
    left = gap(record)
    if left:
        return left
    blind = blind_norms(record)
    return f"no attack with working gradients was made in {', '.join(blind)}" if blind else ""


def gap(record: Record, norm: str = "") -> str:
    """What the attacks on the bare model left unmeasured, in words, in one norm or in all; attacks that the model's
    access excludes are no gap."""
    bare = [cell for cell in record.cells if cell.knowledge == "none" and norm in ("", cell.norm)]
    states = Counter(cell.status for cell in bare)
    for status in ("failed", "skipped", "pending"):
        if states[status]:
            return f"{states[status]} of {len(bare)} attacks on the bare model were {status}"
    shortened = next((cell.attack for cell in bare if cell.status == "done" and cell.without), "")
    if shortened:
        return f"a cascade was run {shortened.partition(' ')[2].split('@')[0]}"
    broken = next((cell.id for cell in bare if cell.status == "done" and not _whole(record, cell)), "")
    if broken:
        return f"the distances of {broken} are not those of all samples"
    worst = {name: envelope_of(record, name, "none") for name in ([norm] if norm else asked(record))}
    missing = [name for name, column in worst.items() if not column]
    if missing:
        return f"nothing was measured in {', '.join(missing)}"
    return "" if any(value for column in worst.values() for value in column) else "no sample was right when clean"


def _whole(record: Record, cell: Cell) -> bool:
    """Whether the cell has a valid distance, or a plain never, for each sample."""
    is_valid = all(value is None or (math.isfinite(value) and value >= 0) for value in cell.distance)
    return is_valid and len(cell.distance) == record.data.samples == len(record.data.labels)
