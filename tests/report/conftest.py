"""Records that are rendered once for all tests of the page."""

from __future__ import annotations

import pytest

from robusteval.finished.paired import page as paired_of
from robusteval.finished.paired.compare import compare
from robusteval.finished.paired.document import Paired
from robusteval.record.run import Curve, Point, Record, Result
from robusteval.report import render
from robusteval.report.comparison_page import render_comparison
from tests import comparisons, records, references
from tests.finished.made import run, version

EVIL = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>'+(window.pwned=1)+'{{7*7}}\"&\u2028"


@pytest.fixture(scope="session")
def record() -> Record:
    made = records.with_results(references.beside(records.make(80)))
    made.results += third_party("")
    return made


@pytest.fixture(scope="session")
def page(record: Record) -> str:
    return render(record)


@pytest.fixture(scope="session")
def hostile_page() -> str:
    return render(hostile())


@pytest.fixture(scope="session")
def several_page() -> str:
    return render_comparison(comparisons.make())


@pytest.fixture(scope="session")
def paired() -> Paired:
    """Three releases of a model: a better one, a worse one, and one that was attacked otherwise. Some images that
    changed have pictures."""
    odd = version(4)
    odd.suite.attacks_sha256 = "ee" * 32
    runs = {"release-13": version(1), "release-14": version(2, lost=25), "release-15": version(3), "nightly": odd}
    made = compare([run(f"models/classifier-{key}", record) for key, record in runs.items()])
    (pictured, *_) = (picture for picture in records.make(8).gallery if picture.adversarial_png)
    for pair in made.pairs:
        for image in pair.changed[:6]:
            image.clean_png, image.adversarial_png = pictured.clean_png, pictured.adversarial_png
    return made


@pytest.fixture(scope="session")
def paired_page(paired: Paired) -> str:
    return paired_of.render(paired)


@pytest.fixture(scope="session")
def hostile_several() -> str:
    """Every string of a comparison that a stranger can set, set to something nasty; keys are held by the schema."""
    made = comparisons.make()
    for model in made.models:
        model.name = model.file = model.sha256 = model.record_sha256 = EVIL
    made.models[1].key = "javascript:window.pwned=1"
    made.command = made.data.name = made.data.source = made.suite.name = made.suite.version = EVIL
    made.tool = {"name": EVIL}
    assert made.transfer is not None
    made.transfer.attack = made.transfer.plugin = made.transfer.norm = made.transfer.sources[2].reason = EVIL
    made.transfer.params = {EVIL: EVIL}
    for result in made.results:
        if result.kind == "curves":
            result.tags["attack"] = f"{result.tags['attack']}{EVIL}"
            result.curves[0].label = EVIL
    return render_comparison(made)


def third_party(evil: str) -> list[Result]:
    """What a metric unknown to the report may derive."""
    curve = Curve(f"line {evil}", [Point(0, 5.0, 4.0, 6.0), Point(1, 7.0, 6.5, 8.0)], f"group {evil}", {evil: evil})
    return [
        Result("acme.sum", "sum", "scalar", f"Sum of all {evil}", f"words {evil}", 41.5, 40.0, 43.0),
        Result(
            "acme.sum",
            "lines",
            "curves",
            f"Lines {evil}",
            x_title=f"across {evil}",
            y_title=f"up {evil}",
            curves=[curve],
        ),
        Result(
            "acme.sum",
            "rows",
            "table",
            f"Rows {evil}",
            columns=[f"one {evil}", "two"],
            rows=[[f"cell {evil}", None], [True, 1.25]],
        ),
    ]


def hostile() -> Record:
    """Every string that a stranger can set, set to something nasty."""
    made = references.beside(records.make(40))
    names = {cell.attack: f"{cell.attack}{EVIL}" for cell in made.cells}
    for cell in made.cells:
        cell.attack, cell.reason, cell.params = names[cell.attack], EVIL, {EVIL: EVIL}
        cell.defense = cell.defense if cell.defense == "none" else f"{cell.defense}{EVIL}"
    for pipeline in made.pipelines:
        pipeline.defense = pipeline.defense if pipeline.defense == "none" else f"{pipeline.defense}{EVIL}"
        pipeline.notes, pipeline.reason = [EVIL], EVIL
    model = made.model
    model.name = model.file = model.provider = model.gradients_reason = model.layout = EVIL
    model.class_names, model.notes, model.parity = [f"{EVIL}{place}" for place in range(10)], [EVIL], {EVIL: EVIL}
    made.data.name = made.data.source = made.data.range_note = made.suite.name = made.command = EVIL
    made.environment, made.plugins, made.tool = {EVIL: EVIL}, [{"name": EVIL, "kind": EVIL}], {"name": EVIL}
    made.references[0].file = made.references[0].data = made.references[0].reason = made.references[0].suite = EVIL
    for known in made.references[0].models:
        known.name, known.about, known.exact_fails = f"{EVIL}{known.name}", EVIL, [EVIL]
        for column in known.worst.values():
            column.attacks.append(EVIL)
    for finding in made.findings:
        finding.code = finding.sentence = finding.advice = EVIL
        finding.evidence, finding.cells = {EVIL: EVIL}, [EVIL]
    for picture in made.gallery:
        picture.attack = EVIL
    made.gallery[0].clean_png = 'x" onerror="window.pwned=1'
    made.gallery[1].clean_png = "PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+"
    assert made.verdict is not None
    made.verdict.sentences, made.verdict.grade_reason = [EVIL], EVIL
    records.with_results(made)
    made.results += third_party(EVIL)
    return made
