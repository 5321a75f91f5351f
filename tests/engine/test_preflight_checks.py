"""The preflight's items as checks: each warns of the slip that it is made for, and a slip counts once in the grade."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from robusteval.assessment import verdict
from robusteval.engine.data.find import RawData, prepare
from robusteval.engine.preflight.checks import ITEMS, findings_of, preflight_checks
from robusteval.engine.preflight.clean_accuracy import clean_report
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.run.stability import stability
from robusteval.record.run import Check, Finding
from tests.engine import toys
from tests.engine.preflight_models import IMAGENET, data, model
from tests.engine.test_findings import honest
from tests.engine.test_preflight import TestHopeless


def checks(classifier: Any, raw: RawData) -> dict[str, Check]:
    samples = prepare(raw, classifier.info)[0]
    return {
        check.id: check for check in preflight_checks(clean_report(classifier, raw, samples), classifier.info, samples)
    }


def warned(found: dict[str, Check]) -> set[str]:
    return {name for name, check in found.items() if check.outcome in ("warn", "fail")}


def test_nothing_warns_where_nothing_is_wrong_and_what_was_not_tried_is_no_pass() -> None:
    found = checks(model(), data())
    assert [*found] == [item.id for item in ITEMS]
    outcomes = {name: check.outcome for name, check in found.items()}
    untried = {"input-channels", "input-layout", "label-order"}
    assert {name for name, outcome in outcomes.items() if outcome == "not-applicable"} == untried
    assert {name for name, outcome in outcomes.items() if outcome == "pass"} == set(found) - untried
    assert found["clean-accuracy"].measured == "100.0 % (95 %: 97.0 to 100.0 %), chance is 10 %"
    for check in found.values():
        assert all((check.title, check.source, check.formula, check.threshold, check.why, check.measured)), check.id


def slips() -> dict[str, tuple[Any, RawData, str]]:
    """item -> (classifier, data, what the measurement has to name)."""
    colours = data(channels=3)
    return {
        "input-range": (model(trained=((0.0, 255.0), (), ())), data(), "--range 0,255 would give 100.0 %"),
        "input-normalisation": (
            model(3, trained=((0.0, 1.0), *IMAGENET)), colours, "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
        ),
        "input-channels": (model(3, feed=lambda pixels: pixels.flip(1)), colours, "channels in reverse order"),
        "input-layout": (model(feed=lambda pixels: pixels.transpose(2, 3)), data(), "storing the images transposed"),
        "label-order": (model(number=lambda index: (index + 1) % 10), data(),
                        "adding 1 to every label would give 100.0 %"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["input-range", "input-normalisation", "input-channels", "input-layout", "label-order"]
)
def test_each_slip_is_caught_by_its_own_item_with_what_mends_it(name: str) -> None:
    classifier, raw, flag = slips()[name]
    found = checks(classifier, raw)
    assert found["clean-accuracy"].outcome in ("warn", "fail")
    # out of range this one answers the same for everything
    assert warned(found) - {"clean-accuracy", "class-count"} == {name}
    assert flag in found[name].measured


def test_pixels_in_a_corner_of_the_range() -> None:
    raw = replace(data(), images=np.asarray(data().images) / 255)
    found = checks(model(bounds=(0.0, 255.0)), raw)
    assert warned(found) == {"input-range"}
    assert found["input-range"].codes == ["pixel-range"]
    assert "pixels from 0 to 1 in 0..255" in found["input-range"].measured


def test_one_answer_for_everything_and_classes_that_are_missing() -> None:
    found = checks(TestHopeless.Constant(1.0), data())
    assert found["class-count"].outcome == "warn"
    assert found["class-count"].codes == ["constant-answer"]
    known = data()
    few = RawData(known.images[known.labels < 4], known.labels[known.labels < 4])
    found = checks(model(), few)
    assert warned(found) == {"class-count"}
    assert found["class-count"].measured == "the model has 10 classes, the data show 4, it answers 4"
    samples = prepare(few, model().info)[0]
    (finding,) = findings_of([*found.values()], clean_report(model(), few, samples))
    assert finding.code == "class-count"
    assert found["class-count"].codes == ["class-count"]
    assert warned(checks(model(classes=2), data(2))) == set()
    assert "DLR falls back to the margin" in checks(model(classes=3), data(3))["class-count"].measured


def test_labels_only_and_training_mode_are_told_by_the_loader() -> None:
    classifier = model()
    assert warned(checks(replace(classifier, info=replace(classifier.info, output="labels")), data())) == {
        "output-kind"
    }
    saturated = checks(replace(classifier, info=replace(classifier.info, output="probabilities")), data())[
        "output-kind"
    ]
    assert saturated.outcome == "pass"
    note = "The module was in training mode (Dropout); a copy in evaluation mode is evaluated."
    assert warned(
        checks(replace(classifier, info=replace(classifier.info, traits={"training-mode": note})), data())
    ) == {"training-mode"}


def test_a_slip_counts_once_in_the_grade() -> None:
    """A low accuracy, the setting that mends it, and the finding that names both: one fail, one warning."""
    classifier, raw, _ = slips()["input-range"]
    samples = prepare(raw, classifier.info)[0]
    clean = clean_report(classifier, raw, samples)
    rows = preflight_checks(clean, classifier.info, samples)
    assert findings_of(rows, clean) == []
    assert next(row for row in rows if row.id == "input-range").codes == ["near-chance"]
    record = honest()
    record.checks = rows
    record.findings = [Finding("near-chance", "alarm", clean.sentence, {}, "")]
    assert verdict.write(record).grade == "D"


def test_a_run_and_its_inspection_have_them(tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(toys.SUITE)
    linear = toys.linear()
    some = toys.samples(linear, 40)
    job = prepare_job(
        linear,
        toys.catalogue(*toys.TOYS),
        RunOptions(suite=str(tmp_path / "toy.toml"), data=(some.x, some.y), samples=30),
    )
    assert [check.id for check in job.looked] == [item.id for item in ITEMS]
    assert job.available == 40
    assert {check.id: check.outcome for check in stability(linear, some)} == {
        "predictions-repeat": "pass",
        "predictions-batch": "pass",
    }

    class Wavering(toys.Linear):
        def logits(self, x: Tensor) -> Tensor:
            self.turn = getattr(self, "turn", 0) + 1
            return super().logits(x).roll(self.turn, 1)

    assert stability(Wavering(linear.weight, linear.bias), some)[0].outcome == "fail"
