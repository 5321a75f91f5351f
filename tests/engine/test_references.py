"""Known models beside a run: only same attacks on same images, figures by hand, and a reason where there are none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from robusteval.api import Samples
from robusteval.assessment.references.compared import LEAST, compared
from robusteval.assessment.references.known_models import known_models
from robusteval.contracts.classifier import ModelInfo
from robusteval.engine.plan.fingerprint import attacks_sha256
from robusteval.engine.plan.plan import make_plan
from robusteval.engine.suite.suite import Suite, applicable, parse, read
from robusteval.metrics._common.statistics import clopper_pearson
from robusteval.metrics.references import References
from robusteval.record import reference_set
from robusteval.record.reference_set import LoadedSet, ReferenceSet
from robusteval.record.run import Compared, Record, Result
from robusteval.record.store import from_json, to_json
from robusteval.report import render
from tests import records, references
from tests.engine.toys import catalogue
from tests.sure import number


@pytest.fixture
def record() -> Record:
    return references.keyed(records.make(80))


def source(content: ReferenceSet, shipped: bool = False) -> LoadedSet:
    return LoadedSet("set.json", "12" * 32, shipped, content)


def only(found: list[Compared]) -> Compared:
    assert len(found) == 1
    return found[0]


def tables(record: Record) -> dict[str, Result]:
    """The tables by norm, with the record compared with its own set."""
    record.references = compared([source(references.make(record))], record)
    record.results = list(References().compute(record))
    return {str(result.tags["norm"]): result for result in record.results if result.kind == "table"}


def test_a_set_that_fits_is_kept_with_its_hash(record: Record) -> None:
    one = only(compared([source(references.make(record))], record))
    assert (one.status, one.reason, one.sha256) == ("done", "", "12" * 32)
    assert [model.name for model in one.models] == ["weak", "strong", "masked"]


def test_other_attacks_are_not_compared(record: Record) -> None:
    content = references.make(record)
    content.suite.attacks_sha256 = "00" * 32
    one = only(compared([source(content)], record))
    assert one.status == "none"
    assert one.models == []
    assert "standard 1 with other parameters" in one.reason
    assert "robusteval references build" in one.reason


def test_a_run_without_a_hash_of_its_attacks_is_not_compared(record: Record) -> None:
    content = references.make(record)
    record.suite.attacks_sha256 = ""
    assert only(compared([source(content)], record)).status == "none"


def test_too_few_common_images(record: Record) -> None:
    content = references.make(record)
    record.data.hashes = record.data.hashes[: LEAST - 1] + ["0" * 32] * (80 - LEAST + 1)
    one = only(compared([source(content)], record))
    assert one.status == "none"
    assert "Of the 80 images in set.json, 49 are among the 80 of this run; a comparison needs 50" in one.reason


def test_a_model_with_too_few_images_is_left_out(record: Record) -> None:
    content = references.make(record)
    record.data.hashes = ["0" * 32] * 15 + record.data.hashes[15:]
    one = only(compared([source(content)], record))
    assert [model.name for model in one.models] == ["weak", "strong"]
    assert "masked" in one.reason


def test_images_are_found_by_content_whatever_their_order(record: Record) -> None:
    content = references.make(record)
    record.data.hashes.reverse()
    one = only(compared([source(content)], record))
    strong = one.models[1]
    assert strong.rows == list(range(80))
    assert strong.worst["l2"].distance == content.models[1].worst["l2"].distance[::-1]
    assert one.models[2].rows == list(range(20, 80))


def test_shipped_sets_give_way_to_given_ones_and_say_nothing_of_other_images(record: Record) -> None:
    own, shipped = source(references.make(record)), source(references.make(record), shipped=True)
    assert [reference.shipped for reference in compared([own, shipped], record)] == [False]
    own.content.suite.attacks_sha256 = "00" * 32
    assert [reference.status for reference in compared([own, shipped], record)] == ["none", "done"]
    shipped.content.images = ["1" * 32]
    one = only(compared([shipped], record))
    assert (one.file, one.status) == ("", "none")
    assert "No reference models are known for these images" in one.reason


def test_figures_are_those_of_the_common_images(record: Record) -> None:
    table = tables(record)["l2"]
    rows = {row[0]: dict(zip(table.titles(), row, strict=True)) for row in table.rows}
    mine = references.column(record, "l2", 1.0, list(range(80))).distance
    for name, factor, count in ((record.model.name, 1.0, 80), ("strong", 2.0, 80), ("masked", 0.5, 60)):
        kept = sum(distance is None or factor * distance > 0.5 for distance in mine[:count])
        row = rows[name]
        assert (row["Images"], row["Accuracy at 0.5"]) == (count, kept / count)
        assert (row["Low at 0.5"], row["High at 0.5"]) == clopper_pearson(kept, count)
    assert rows["strong"]["Median distance"] == pytest.approx(4 * number(rows["weak"]["Median distance"]))
    assert rows["masked, as exact gradients report it"]["Role"] == "exact"
    assert rows["masked, as exact gradients report it"]["Trust grade"] == "F"


def test_a_budget_beyond_what_was_searched_is_left_open(record: Record) -> None:
    content = references.make(record)
    content.models[0].worst["l2"].searched = 1.0
    record.references = compared([source(content)], record)
    table = next(result for result in References().compute(record) if result.name == "references-table/0/l2")
    weak = dict(zip(table.titles(), table.rows[1], strict=True))
    assert weak["Accuracy at 0.5"] is not None
    assert weak["Accuracy at 1.5"] is None


def test_distances_are_shares_of_the_pixel_range(record: Record) -> None:
    record.model.bounds = [0.0, 10.0]
    table = tables(record)["l2"]
    strong = dict(zip(table.titles(), table.rows[2], strict=True))
    distance = sorted(
        distance for distance in references.column(record, "l2", 20.0, list(range(80))).distance if distance
    )
    assert distance[0] < number(strong["Median distance"]) < distance[-1]
    assert number(strong["Median distance"]) > 10


def test_attacks_that_did_not_run_here_are_told(record: Record) -> None:
    record.cells = [cell for cell in record.cells if (cell.attack, cell.knowledge) != ("PGD", "none")]
    content = references.make(record)
    for model in content.models:
        model.worst["l2"].attacks.append("PGD")
    record.references = compared([source(content)], record)
    record.results = list(References().compute(record))
    assert next(result for result in record.results if result.name == "references/0/l2").tags["missing"] == "PGD"
    assert "these attacks did not run: PGD." in render(record)


def test_one_sentence_says_it(record: Record) -> None:
    tables(record)
    (sentence,) = known_models(record)
    assert sentence.startswith("Within Linf 8/255 it keeps ")
    assert "on the same 80 images" in sentence
    assert "masked" in sentence
    assert "on 60 of them; though its own gradient would say" in sentence
    record.results = []
    assert known_models(record) == []


def test_the_very_file_is_recognised(record: Record) -> None:
    content = references.make(record)
    content.models[0].sha256 = record.model.sha256
    record.references = compared([source(content)], record)
    record.results = list(References().compute(record))
    assert "weak" in known_models(record)[0]
    assert "(this very file)" in known_models(record)[0]


def test_the_record_carries_all_of_it(record: Record) -> None:
    """A reader of the document needs no reference file, and derives the same."""
    tables(record)
    again = from_json(to_json(record))
    assert again.references == record.references
    assert list(References().compute(again)) == record.results
    page = render(again)
    assert "Among known models" in page
    assert "made as strong is" in page
    assert "12" * 32 in page


def test_a_page_without_a_comparison_says_why(record: Record) -> None:
    record.references = compared([], record)
    page = render(record)
    assert "No reference models are known for these images." in page
    assert "robusteval references build" in page
    record.references = []
    assert "Among known models" not in render(record)


PLAN = """
name = "one"
version = "1"
norms = ["l2", "linf"]
[[attack]]
plugin = "pgd"
params = { steps = 5 }
"""


def digest(toml: str, target: str = "untargeted", shape: tuple[int, ...] = (1, 28, 28)) -> str:
    found = catalogue()
    suite: Suite = parse(toml, "it", found)
    return attacks_sha256(suite, found, target, shape)


def test_the_hash_is_of_what_decides_distances_and_of_nothing_else() -> None:
    first = digest(PLAN)
    same = PLAN.replace('"one"', '"two"') + 'reason = "because"\n[[defense]]\nplugin = "bit-depth"\n'
    assert digest(same) == first
    others = [
        PLAN.replace("steps = 5", "steps = 6"),
        PLAN.replace('"l2", "linf"', '"linf"'),
        PLAN + "search = 3\n",
        PLAN.replace('version = "1"', 'version = "1"\nlevels = 255'),
        PLAN.replace('version = "1"', 'version = "1"\neps = { l2 = 3.0 }'),
        PLAN + '[[attack]]\nplugin = "fgsm"\n',
    ]
    assert len({first, digest(PLAN, "class 3"), *map(digest, others)}) == len(others) + 2
    assert digest(PLAN, shape=(784,)) == first
    assert digest(PLAN, shape=(3, 32, 32)) != first, "the largest L2 budget follows the input's size"
    stated = PLAN.replace('version = "1"', 'version = "1"\neps = { l2 = 6.0 }')
    assert digest(stated, shape=(3, 32, 32)) == digest(stated) == first


def test_a_surrogate_is_known_by_its_content(tmp_path: Path) -> None:
    path, other = tmp_path / "a.onnx", tmp_path / "b.onnx"
    path.write_bytes(b"one")
    other.write_bytes(b"one")
    toml = PLAN + '[[attack]]\nplugin = "transfer"\nparams = { models = ["PATH"] }\n'
    info = ModelInfo("m", "test", "0" * 64, (1, 28, 28), 3)

    def all_hashes(at: Path) -> list[str]:
        suite = parse(toml.replace("PATH", str(at)), "it", catalogue())
        plan = make_plan(suite, catalogue(), info, "untargeted", {})
        variants = {planned.cell.sha256 for planned in plan.planned if planned.cell.plugin == "transfer"}
        return [digest(toml.replace("PATH", str(at))), *sorted(variants), plan.sha256]

    first = all_hashes(path)
    assert all_hashes(path) == first
    assert all_hashes(other)[:-1] == first[:-1], "the same file under another name attacks alike"
    path.write_bytes(b"another")
    assert not set(all_hashes(path)) & set(first), "another file under the same name does not"
    path.unlink()
    assert not set(all_hashes(path)) & set(first)


@pytest.mark.parametrize(
    ("shape", "l2", "l1", "l0"),
    [
        ((1, 28, 28), 6.0, 60.0, 200.0),
        ((784,), 6.0, 60.0, 200.0),
        ((3, 32, 32), 6 * (3072 / 784) ** 0.5, 60 * 3072 / 784, 261.0),
        ((3, 224, 224), 6 * (150528 / 784) ** 0.5, 60 * 192, 12800.0),
        ((2,), 0.5 * 2**0.5, 1.0, 2.0),
        ((1, 14, 14), 6.0, 60.0, 196.0),
    ],
)
def test_default_budgets_follow_the_size_of_the_input(shape: tuple[int, ...], l2: float, l1: float, l0: float) -> None:
    suite = parse(PLAN, "it", catalogue())
    found = {norm: suite.largest(norm, shape) for norm in ("l2", "l1", "l0", "linf")}
    assert found == pytest.approx({"l2": l2, "l1": l1, "l0": l0, "linf": 0.5})
    stated = parse(PLAN.replace('version = "1"', 'version = "1"\neps = { l2 = 3.0 }'), "it", catalogue())
    assert stated.largest("l2", shape) == 3.0


def test_contents_do_not_depend_on_the_pixel_range_but_on_image_and_label() -> None:
    pixels = torch.arange(256.0).reshape(4, 1, 8, 8)
    labels = torch.arange(4)
    one = Samples(pixels / 255, labels, (0.0, 1.0))
    bytes_, signed = Samples(pixels, labels, (0.0, 255.0)), Samples(pixels / 255 * 2 - 1, labels, (-1.0, 1.0))
    assert one.contents() == bytes_.contents() == signed.contents()
    assert one.contents() == dataclasses.replace(one, x=one.x.reshape(4, 64)).contents()
    assert len(set(one.contents())) == 4
    moved = dataclasses.replace(one, y=labels.flip(0)).contents()
    assert not set(moved) & set(one.contents())


@pytest.mark.parametrize("name", ["standard", "smoke"])
def test_shipped_sets_are_of_the_suites_as_they_are(name: str) -> None:
    """When this fails, a suite, an attack's version or the search has changed: `make references` builds the sets
    anew."""
    found = catalogue()
    info = ModelInfo(
        "m", "onnx", "0" * 64, (1, 28, 28), 10
    )  # with gradients of its own, as the reference models have them
    wanted = attacks_sha256(applicable(read(name, found), info), found, "untargeted", (1, 28, 28))
    content = {known.file: known.content for known in reference_set.shipped()}[f"fashion-mnist-{name}.json"]
    assert content.suite.attacks_sha256 == wanted
    assert {model.name for model in content.models} == {"standard", "pgd-trained", "smoothed", "gradient-masked"}
    masked = next(model for model in content.models if model.name == "gradient-masked")
    assert masked.exact_grade in ("D", "F")
    assert {"gradients-zero", "black-box"} <= set(masked.exact_fails)
