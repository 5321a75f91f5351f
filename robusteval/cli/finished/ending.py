"""How a run ends: its report, its gates, how it is beside a baseline, other formats, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robusteval.cli import say, say_json

if TYPE_CHECKING:
    from robusteval.engine.plan.job import Job
    from robusteval.finished.paired.document import Paired
    from robusteval.finished.paired.runs import Finished
    from robusteval.record.run import Record

COMPARE_JSON = "compare.json"


def baseline_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--baseline --fail-on-regression."""
    options = [
        click.option(
            "--baseline",
            type=click.Path(),
            metavar="RUN",
            help="A finished run on the same images under the same attacks; the report gets a page of what changed.",
        ),
        click.option(
            "--fail-on-regression",
            is_flag=True,
            help="With --baseline: exit with 3 where the run is worse by a paired test at 5 %, or nothing is decided.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@dataclass(frozen=True)
class Ending:
    """What is to be done with a finished run. exports: files by format."""

    baseline: Finished | None = None
    fail_on_regression: bool = False
    exports: Mapping[str, Path] = field(default_factory=dict)

    def check(self, job: Job) -> None:
        """Raises RecordError where the baseline and what is about to run cannot be compared: before hours of
        attacks."""
        if self.baseline is None:
            return
        from robusteval.engine.plan.fingerprint import attacks_sha256
        from robusteval.errors import RecordError
        from robusteval.finished.paired.runs import attacks_apart

        record = self.baseline.record
        told = "`robusteval compare` of finished runs says what can be said of them all the same."
        if sorted(record.data.hashes) != sorted(job.samples.contents()):
            drawn = f" The seed draws them: it was {record.seed}, and is {job.seed}." if record.seed != job.seed else ""
            raise RecordError(f"The baseline {self.baseline.folder} saw other images or labels.{drawn}", told)
        asked = attacks_sha256(job.suite, job.catalogue, job.target, job.model.info.input_shape)
        suites = [f"{suite.name} {suite.version}" for suite in (record.suite, job.suite)]
        if why := attacks_apart((record.suite.attacks_sha256, asked), suites):
            raise RecordError(f"The baseline {self.baseline.folder} is of other attacks. {why[0]}", told)

    def compared(self, record: Record, folder: Path) -> Paired | None:
        """The run beside its baseline; writes the page and the document into the run's folder."""
        if self.baseline is None:
            return None
        from robusteval.cli.finished.compare_command import COMPARE_FILE, write_page
        from robusteval.finished.paired.compare import compare
        from robusteval.finished.paired.document import to_json
        from robusteval.finished.paired.runs import named, of
        from robusteval.record.store import write_atomically

        first, second = named([self.baseline, of("run", folder, record)])
        paired = compare([first, second])
        write_page(paired, folder / COMPARE_FILE)
        write_atomically(folder / COMPARE_JSON, to_json(paired).encode())
        return paired


def ending_of(baseline: str | None, fail_on_regression: bool, given: dict[str, Any]) -> Ending:
    """What the options ask for. Raises click.UsageError, and RecordError where the baseline cannot be read."""
    from robusteval.cli.finished.export_command import targets

    if fail_on_regression and baseline is None:
        raise click.UsageError("--fail-on-regression needs --baseline RUN.")
    exports = targets(given)
    if baseline is None:
        return Ending(exports=exports)
    from robusteval.finished.paired.runs import read

    return Ending(read([Path(baseline)])[0], fail_on_regression, exports)


def finish(record: Record, folder: Path, as_json: bool, ending: Ending) -> None:
    """Writes all that is asked for, says what was found, and exits: 1 where a cell failed, 3 where a gate is not met or
    the run fell behind its baseline."""
    from robusteval.assessment.findings import going_on
    from robusteval.assessment.gates.judge import failed
    from robusteval.cli.finished.compare_command import regressed, tell
    from robusteval.cli.tables import gate_table, result_table
    from robusteval.finished.exports.files import export

    summary = finished(record, folder)
    paired = ending.compared(record, folder)
    export(record, ending.exports, [pair.sentence for pair in paired.pairs] if paired is not None else [])
    if as_json:
        say_json(summary if paired is None else summary | {"baseline": [asdict(pair) for pair in paired.pairs]})
    else:
        result_table(record)
        gate_table(record.gates)
        if paired is not None:
            tell(paired)
        say(f"Report: {folder / 'report.html'}")
        if summary["skipped"]:
            say(going_on(record))
    if summary["failed"]:
        sys.exit(1)
    for gate in failed(record):
        say(f"The gate --fail-under {gate.asked} is not met: {gate.reason}.", err=True)
    worse = regressed(paired) if paired is not None and ending.fail_on_regression else []
    for sentence in worse:
        say(f"The gate --fail-on-regression is not met: {sentence}", err=True)
    if failed(record) or worse:
        sys.exit(3)


def finished(record: Record, folder: Path) -> dict[str, Any]:
    """Writes report and tables beside the record; the machine-readable summary of the run."""
    from robusteval.report.summary import headline
    from robusteval.report.write import REPORT_FILE, write_report, write_tables

    report = write_report(record, folder / REPORT_FILE)
    write_tables(record, folder)
    verdict = record.verdict
    return {
        "report": str(report),
        "record": str(folder / "record.json"),
        "grade": verdict.grade if verdict else None,
        "status": verdict.status if verdict else None,
        "median_distance": _medians(record),
        **headline(record),
        "gates": [asdict(gate) for gate in record.gates],
        "failed": [cell.id for cell in record.cells if cell.status == "failed"],
        "skipped": [cell.id for cell in record.cells if cell.status == "skipped"],
    }


def _medians(record: Record) -> dict[str, float | None]:
    """By norm; None where half were never lost, or where no attack looked for smallest distances."""
    from robusteval.assessment.evidence.worst_case import envelope_of, median_loss

    halves: dict[str, float | None] = dict.fromkeys(sorted({cell.norm for cell in record.cells}))
    for norm in {cell.norm for cell in record.cells if cell.threat == "curve"}:
        half = median_loss(envelope_of(record, norm, "none"))
        halves[norm] = None if half in (0.0, float("inf")) else half
    return halves
