"""`robusteval.evaluate` as people call it: suites as dicts or from names, frames, summaries, words of Python."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import robusteval
from robusteval import attacks
from robusteval.contracts.classifier import LoadOptions
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.suite.composed import chosen
from robusteval.engine.suite.shipped import robusteval_suites
from robusteval.engine.suite.suite import read
from robusteval.errors import DataError, RobustEvalError, SuiteError
from robusteval.evaluation import EvaluatedRecord
from robusteval.given import in_python
from robusteval.live import NotebookBar, listening
from tests.api.models import images, linear

QUICK: dict[str, Any] = {
    "name": "quick",
    "version": "1",
    "norms": ["l2"],
    "probe_samples": 0,
    "attack": [{"plugin": "ddn", "params": {"steps": 10}}],
}


@pytest.fixture(scope="module")
def record() -> EvaluatedRecord:
    told: list[int] = []
    found = robusteval.evaluate(
        linear(),
        TensorDataset(*images(30)),
        QUICK,
        samples=9,
        name="a linear model",
        class_names=("cat", "dog", "owl"),
        progress=lambda progress: told.append(progress.done),
    )
    assert told[-1] == max(told) > 0
    return found


def test_the_model_has_the_names_that_were_stated(record: EvaluatedRecord) -> None:
    assert (record.model.name, record.model.class_names) == ("a linear model", ["cat", "dog", "owl"])
    assert record.data.samples == 9


def test_a_frame_says_of_every_sample_where_it_stands(record: EvaluatedRecord) -> None:
    frame, (x, y) = record.to_frame(), images(30)
    assert len(frame) == 9 * len(record.done())
    assert frame["file"].isna().all()
    rows = frame["row"].to_numpy(np.int64)
    np.testing.assert_array_equal(frame["label"], y[torch.from_numpy(rows)])
    alone = attacks.ddn(linear(), x[rows], y[rows], steps=10)
    np.testing.assert_allclose(frame["distance"], alone.distance, rtol=0.05)
    assert (frame["prediction"].to_numpy(np.int64) != frame["label"]).all()


def test_a_frame_of_nothing_has_its_columns(record: EvaluatedRecord) -> None:
    import dataclasses

    empty = dataclasses.replace(record, cells=[])
    assert list(empty.to_frame().columns) == list(record.to_frame().columns)


def test_the_summary_is_the_verdict_in_words(record: EvaluatedRecord) -> None:
    said = record.summary()
    assert said == repr(record)
    assert said.startswith("a linear model: 9 samples of TensorDataset, suite quick 1\n")
    assert record.verdict is not None
    assert f"Trust grade {record.verdict.grade}" in said
    assert all(sentence in said for sentence in record.verdict.sentences)
    record_without = type(record)(**{**vars(record), "verdict": None})
    assert "Nothing was concluded" in record_without.summary()


def test_a_suite_as_a_dict_is_the_suite_of_the_file() -> None:
    for text in robusteval_suites().values():
        data = tomllib.loads(text)
        assert read(data, discover()) == read(json.loads(json.dumps(data)), discover())
        assert read(data, discover()).sha256 == read(data["name"], discover()).sha256


def test_names_make_a_suite() -> None:
    catalogue = discover()
    data = chosen("standard", "pgd:steps=7,ddn,pgd", "linf,l2", "linf=8/255,l2=1", "jpeg", catalogue)
    suite = read(data, catalogue)
    assert [(spec.name, spec.plugin, spec.params) for spec in suite.attacks] == [
        ("pgd", "pgd", {"steps": 7}), ("ddn", "ddn", {}), ("pgd-2", "pgd", {}),
    ]  # fmt: skip
    assert (suite.norms, suite.eps["linf"], suite.eps["l2"]) == (("linf", "l2"), 8 / 255, 1.0)
    assert [spec.plugin for spec in suite.defenses] == ["jpeg"]
    listed = chosen("standard", [("pgd", {"steps": 7}), attacks.DDN(), {"plugin": "pgd"}], ["l2"], 1.0, (), catalogue)
    assert [spec.plugin for spec in read(listed, catalogue).attacks] == ["pgd", "ddn", "pgd"]
    assert chosen("smoke", (), (), None, (), catalogue) == "smoke"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"norms": "linf"}, "no attacks are"),
        ({"suite": "smoke", "attacks": "pgd"}, "Both a suite and attacks"),
        ({"attacks": "ddn", "norms": "linf"}, "ddn has no linf form"),
        ({"attacks": "pgd", "norms": "linf,l2", "eps": 0.1}, "several norms"),
        ({"attacks": "pgd", "norms": "linf", "eps": "8/0"}, "no budget"),
        ({"attacks": "pgd", "norms": "linf", "eps": {"l2": 1.0}}, "'l2', which is none of the norms"),
        ({"attacks": "pgd:steps"}, "no parameter of pgd"),
        ({"attacks": [7]}, "A int is no attack"),
        ({"attacks": "pgd:restart=3"}, "did you mean 'restarts'"),
        ({"suite": QUICK | {"device": {1}}}, "what no file could"),
    ],
)
def test_what_makes_no_suite_is_one_sentence(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SuiteError, match=words):
        robusteval.evaluate(linear(), images(), **given)


def test_sentences_name_arguments_and_not_flags() -> None:
    from robusteval.cli.run_command import command

    flags = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    for flag in flags:
        assert "--" not in in_python(f"State it with {flag}, or {flag} 3.")
    assert in_python("Give it with --shape, for example --shape 3,32,32.") == (
        "Give it with options=LoadOptions(input_shape=...), for example options=LoadOptions(input_shape=(3, 32, 32))."
    )
    assert in_python("Run with --device cpu.") == 'Run with device="cpu".'
    assert in_python("Name some with --fit-data: a file.") == "Name some with fit_data: a file."
    with pytest.raises(DataError) as caught:
        robusteval.evaluate(linear(), (images()[0] * 300, images()[1]), QUICK)
    assert "--" not in str(caught.value)


def test_a_model_that_describes_itself_keeps_its_name(tmp_path: Path) -> None:
    from robusteval.testing import linear as oracle

    with pytest.raises(RobustEvalError, match="its own name"):
        robusteval.evaluate(oracle((1, 4, 4)), images(), QUICK, name="other")
    with pytest.raises(RobustEvalError, match="2 class names for 3 classes"):
        robusteval.evaluate(linear(), images(), QUICK, class_names=("a", "b"), options=LoadOptions())


def test_a_notebook_has_one_line_that_is_written_anew() -> None:
    from robusteval.engine.schedule.schedule import Progress

    shown: list[str] = []

    class Handle:
        def update(self, html: Any) -> None:
            shown.append(html._repr_html_())

    def display(html: Any, display_id: bool) -> Handle:
        assert display_id
        shown.append(html._repr_html_())
        return Handle()

    bar = NotebookBar(display)
    bar.update(Progress(3, 8, "none/<b>/l2", left_s=4.2))
    assert shown[-1].startswith('<progress value="3" max="8">')
    assert "none/&lt;b&gt;/l2  3/8 units, about 4 s left" in shown[-1]


def test_without_anybody_looking_on_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    from robusteval.engine.schedule.schedule import Progress

    with listening(None) as listener:
        listener(Progress(1, 2, "cell"))
    with listening(True) as listener:
        listener(Progress(2, 2, "cell"))
    assert capsys.readouterr().err == "2/2 units\n"
