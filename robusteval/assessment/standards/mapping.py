"""What a run is evidence for, by the ids of regulation, standards and taxonomies: a pure function of the record.

A row says what was measured, that it was not tested, or that it failed. Evidence for a requirement is no statement that
the requirement is met; which level is enough is for others to say.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from robusteval.assessment.standards import ids
from robusteval.assessment.standards.figures import Figure, figures
from robusteval.record.run import Cell, Record

SCHEMA = "robusteval-standards-1"
SCOPE = (
    "Evidence for what is named, from one evaluation of one model on one set of images. No statement that any "
    "requirement is met; what was not tested is said to be so."
)
AI_ACT = "Regulation (EU) 2024/1689 (AI Act)"
NIST, RMF, ATLAS = "NIST AI 100-2 E2025", "NIST AI RMF 1.0", f"MITRE ATLAS {ids.ATLAS_RELEASE}"
TR_24029, IS_24029, OWASP = "ISO/IEC TR 24029-1:2021", "ISO/IEC 24029-2:2023", "OWASP ML Top 10 (2023)"
NOT_HERE = "No attack or test of this tool is about it."


@dataclass
class Row:
    """One id. evidence: ids of cells, pipelines or checks in the record; figures: those that were measured."""

    source: str
    id: str
    title: str
    status: Literal["measured", "not tested", "failed"]
    said: str
    figures: list[Figure] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Known:
    """A record with its figures, which are derived once."""

    record: Record
    figures: list[Figure]


def mapping(record: Record) -> list[Row]:
    """Every row, in the order of the sources. Where the evaluation is inconclusive, what it measured is `failed`."""
    known = _Known(record, figures(record))
    rows = [*_ai_act(known), *_nist(known), *_rmf(known), *_atlas(known), *_iso(known), *_owasp(known)]
    if record.verdict is not None and record.verdict.status == "conclusive":
        return rows
    for row in rows:
        if row.status == "measured":
            row.status, row.figures = "failed", []
            row.said = "The evaluation is inconclusive, so nothing that it measured counts."
    return rows


def to_json(record: Record) -> str:
    """The rows as one JSON document."""
    document = {
        "schema": SCHEMA,
        "scope": SCOPE,
        "tool": record.tool,
        "model": {"name": record.model.name, "sha256": record.model.sha256},
        "data": {"name": record.data.name, "samples": record.data.samples, "sha256": record.data.sha256},
        "plan_sha256": record.plan_sha256,
        "rows": [dataclasses.asdict(row) for row in mapping(record)],
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _bare(record: Record) -> list[Cell]:
    return [cell for cell in record.cells if cell.knowledge == "none" and cell.plugin != "noise"]


def _by(known: _Known, source: str, name: str, title: str, said: str, cells: Iterable[Cell], shown: bool = True) -> Row:
    """A row whose evidence are attacks: measured where one finished, failed where only failed ones are there."""
    chosen = list(cells)
    done = [cell.id for cell in chosen if cell.status == "done"]
    if done:
        figured = [figure for figure in known.figures if figure.kind == "robust-accuracy"] if shown else []
        reached = [figure for figure in figured if figure.value is not None]
        if reached or not shown:
            return Row(source, name, title, "measured", said, reached, done)
        reasons = "; ".join(dict.fromkeys(figure.reason for figure in figured))
        return Row(source, name, title, "failed", f"Attacks finished, and their figures cannot be quoted: {reasons}.")
    failed = [cell.id for cell in chosen if cell.status == "failed"]
    if failed:
        return Row(source, name, title, "failed", f"{len(failed)} attacks were made, and none finished.", [], failed)
    return _untested(source, name, title, "The suite made no such attack.")


def _untested(source: str, name: str, title: str, said: str = NOT_HERE) -> Row:
    return Row(source, name, title, "not tested", said)


def _figured(known: _Known, source: str, name: str, title: str, said: str, wanted: Callable[[Figure], bool]) -> Row:
    """A row whose evidence are figures."""
    chosen = [figure for figure in known.figures if wanted(figure)]
    reached = [figure for figure in chosen if figure.value is not None]
    if reached:
        return Row(source, name, title, "measured", said, reached)
    if not chosen:
        return _untested(source, name, title, "Nothing of the kind was asked for.")
    reasons = "; ".join(dict.fromkeys(figure.reason for figure in chosen))
    return Row(source, name, title, "failed", f"Asked for, and not measured: {reasons}.")


def _ai_act(known: _Known) -> Iterator[Row]:
    every = "All figures of the run; which level is appropriate is the provider's to say."
    yield _figured(known, AI_ACT, "Art. 15(1)", "Appropriate level of accuracy and robustness", every, lambda _: True)
    said = "Figures with their definitions and intervals, for the instructions for use."
    yield _figured(known, AI_ACT, "Art. 15(3)", "Metrics of accuracy that are declared", said, lambda _: True)
    yield _untested(
        AI_ACT,
        "Art. 15(4)",
        "Resilience to errors, faults and inconsistencies",
        "No corruptions were run on the images.",
    )
    said = "Accuracy under attack, worst case over the attacks that were made."
    title = "Adversarial examples and model evasion"
    yield _by(known, AI_ACT, "Art. 15(5) evasion", title, said, _bare(known.record))
    yield _untested(AI_ACT, "Art. 15(5) poisoning", "Data and model poisoning")
    yield _untested(AI_ACT, "Art. 15(5) confidentiality", "Confidentiality attacks")
    said = "The record, its checks and their sources, as test logs and metrics of the technical documentation."
    row = Row(AI_ACT, "Annex IV 2(g)", "Validation and testing procedures, metrics, test logs", "measured", said)
    row.evidence = [check.id for check in known.record.checks]
    yield row if row.evidence else _untested(AI_ACT, row.id, row.title, "The record has no checks.")


def _nist(known: _Known) -> Iterator[Row]:
    for name, title in ((ids.NIST_EVASION, "Evasion"), (ids.NIST_BLACK_BOX, "Black-box evasion")):
        cells = [cell for cell in _bare(known.record) if ids.nist_of(cell) == name]
        yield _by(known, NIST, name, title, f"{len(cells)} attacks on the bare model.", cells, name == ids.NIST_EVASION)
    for name, title in ids.NIST_UNTESTED.items():
        yield _untested(NIST, name, title)


def _rmf(known: _Known) -> Iterator[Row]:
    said = "Accuracy on images that the model was not trained on, as far as the data are such."
    kind = "clean-accuracy"
    title = "Validity and reliability"
    yield _figured(known, RMF, "MEASURE 2.5", title, said, lambda figure: figure.kind == kind)
    yield _untested(RMF, "MEASURE 2.6", "Safety")
    said = "Accuracy under attack, worst case over the attacks that were made."
    yield _by(known, RMF, "MEASURE 2.7", "Security and resilience", said, _bare(known.record))


def _atlas(known: _Known) -> Iterator[Row]:
    said = "Accuracy under attack, worst case over the attacks that were made."
    yield _by(known, ATLAS, ids.ATLAS_EVADE, ids.ATLAS_TECHNIQUES[ids.ATLAS_EVADE], said, _bare(known.record))
    for name in (ids.WHITE_BOX, ids.BLACK_BOX, ids.TRANSFER, ids.FULL_ACCESS, ids.INFERENCE_ACCESS, ids.PROXY):
        cells = [cell for cell in _bare(known.record) if name in ids.technique_of(cell)]
        attacks = sorted({cell.attack for cell in cells if cell.status == "done"})
        yield _by(known, ATLAS, name, ids.ATLAS_TECHNIQUES[name], f"By {', '.join(attacks)}.", cells, shown=False)
    yield _untested(ATLAS, ids.ATLAS_PHYSICAL, ids.ATLAS_TECHNIQUES[ids.ATLAS_PHYSICAL])
    title = ids.ATLAS_TECHNIQUES[ids.ATLAS_VERIFY]
    witnesses = known.record.witnesses
    if witnesses is not None and witnesses.entries:
        said = f"{len(witnesses.entries)} adversarials are stored, and `robusteval verify` asks the model again."
        yield Row(ATLAS, ids.ATLAS_VERIFY, title, "measured", said, [], [witnesses.file])
    else:
        yield _untested(ATLAS, ids.ATLAS_VERIFY, title, "The run stored no adversarials.")
    yield from _mitigations(known.record)


def _mitigations(record: Record) -> Iterator[Row]:
    """Defences count by attackers who know them, and by no others."""
    for name, title in dict.fromkeys(ids.MITIGATIONS.values()):
        tried = [row for row in record.pipelines if ids.MITIGATIONS.get(row.kind) == (name, title)]
        known = [cell for row in tried for cell in record.done(knowledge="adaptive", defense=row.defense)]
        said = f"Attacked by somebody who knows it: {', '.join(sorted({cell.defense for cell in known}))}."
        if known:
            yield Row(ATLAS, name, title, "measured", said, [], [cell.id for cell in known])
        elif tried:
            said = "Tried, and no attack of somebody who knows it finished, so nothing is said for it."
            yield Row(ATLAS, name, title, "failed", said, [], [row.defense for row in tried])
        else:
            yield _untested(ATLAS, name, title, "The suite has no such defence.")


def _iso(known: _Known) -> Iterator[Row]:
    kinds = {
        "statistical": "Shares of samples with their intervals.",
        "empirical": "Worst case over attacks: an upper bound on the truth.",
        "formal": "Proved, whatever the attack.",
    }
    for method, said in kinds.items():
        title = f"{method.capitalize()} methods"
        yield _figured(known, TR_24029, method, title, said, lambda figure, kind=method: figure.method == kind)  # type: ignore[misc]  # mypy does not infer a lambda with a default
    said = "Stability: the share of samples that are right and proved to stay so within the budget."
    yield _figured(
        known, IS_24029, "stability", "Formal stability", said, lambda figure: figure.kind == "certified-accuracy"
    )


def _owasp(known: _Known) -> Iterator[Row]:
    said = "Accuracy under attack, worst case over the attacks that were made."
    yield _by(known, OWASP, "ML01:2023", "Input manipulation attack", said, _bare(known.record))
    for name, title in (
        ("ML02:2023", "Data poisoning attack"), ("ML05:2023", "Model theft"), ("ML10:2023", "Model poisoning"),
    ):  # fmt: skip
        yield _untested(OWASP, name, title)
    title = "Inadequate detection or handling of adversarial input perturbations"
    yield _by(known, "CWE", ids.CWE, title, said, _bare(known.record))
