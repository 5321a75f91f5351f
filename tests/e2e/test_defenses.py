"""Every defence through the whole engine on the shipped model: judged obliviously and adaptively, and masking
exposed."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import pytest

from robusteval.api import LoadOptions
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.run.runner import run
from robusteval.engine.suite.suite import TRANSFER, read, text
from robusteval.loaders.onnx.plugin import OnnxLoader
from robusteval.record.run import Record

MODEL = Path(__file__).parents[2] / "examples" / "fashion-cnn.onnx"
TRAINED = {"adversarial-training", "distillation", "label-embedding", "lipschitz", "hidden-space", "denoiser", "ibp"}
HEAD = """
name = "short"
version = "1"
norms = ["l2", "linf"]
probe_samples = 0
strengths = [0.1]
stretches = [1.0, 1.5]
"""


def judged(folder: Path, toml: str, samples: int) -> Record:
    (folder / "short.toml").write_text(HEAD + toml)
    model = OnnxLoader().load(MODEL, LoadOptions())
    job = prepare_job(model, discover(), RunOptions(suite=str(folder / "short.toml"), samples=samples))
    return run(dataclasses.replace(job, folder=folder / "run"))


def built_in() -> list[str]:
    entries = [entry for entry in discover().of("defense") if entry.distribution == "robusteval"]
    return [entry.name for entry in entries if entry.name not in TRAINED]


def test_the_suite_names_every_defence_that_needs_no_training() -> None:
    suite = read("defenses", discover())
    named = {spec.plugin for spec in suite.defenses}
    assert set(built_in()) <= named
    assert all(spec.oblivious and spec.adaptive for spec in suite.defenses)
    assert all(attack["reason"] for attack in tomllib.loads(text("defenses", discover()))["attack"])
    assert len({attack.name for attack in suite.attacks}) >= 5


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """All of them on 24 samples, by one attack of few steps."""
    attack = '[[attack]]\nplugin = "ddn"\nparams = { steps = 6 }\nnorms = ["l2"]\n'
    rows = "".join(f'[[defense]]\nplugin = "{name}"\ndraws = 2\n' for name in built_in())
    return judged(tmp_path_factory.mktemp("everything"), attack + rows, 24)


def test_every_defence_is_fitted_and_judged_both_ways(everything: Record) -> None:
    assert [(row.defense, row.reason) for row in everything.pipelines if row.status != "done"] == []
    assert [(cell.id, cell.reason) for cell in everything.cells if cell.status != "done"] == []
    for name in built_in():
        known = everything.done(defense=name, knowledge="adaptive")
        assert {cell.attack for cell in known} == {"ddn", TRANSFER}
        assert any(value for cell in known for value in cell.distance), f"Nothing was found against {name}."
        (unknown,) = everything.done(defense=name, knowledge="oblivious")
        assert len(unknown.strengths) == 2


def test_what_defences_say_of_themselves_is_in_the_record(everything: Record) -> None:
    rows = {row.defense: row for row in everything.pipelines}
    smooth = rows["randomized-smoothing"]
    assert len(smooth.certified) == 24
    assert any(smooth.certified)
    assert {name for name, row in rows.items() if row.certified} == {"randomized-smoothing"}
    assert any(result.metric == "certified-curve" for result in everything.results)
    random = {name for name, row in rows.items() if row.stochastic}
    assert random == {
        "gaussian-noise", "shift", "rotate", "randomized-smoothing", "jumprelu-random", "logit-odds", "logit-odds-svm",
    }  # fmt: skip
    assert {name for name, row in rows.items() if row.threshold is not None} == {
        "confidence", "feature-squeezing", "logit-odds",
    }  # fmt: skip
    assert any("chosen on" in note for note in rows["jumprelu"].notes), "It was not given the samples to learn from."


def test_masked_gradients_are_exposed(tmp_path: Path) -> None:
    """Who falls for the zero gradients is told so; who sees through them finds what the bare model needs."""
    record = judged(
        tmp_path,
        """
        [[attack]]
        plugin = "fmn"
        params = { steps = 30 }
        norms = ["linf"]
        [[attack]]
        plugin = "square"
        params = { queries = 100 }
        search = 2
        norms = ["linf"]
        [[defense]]
        plugin = "gradient-masking"
        name = "blind"
        params = { surrogate = false }
        oblivious = ["fmn"]
        [[defense]]
        plugin = "gradient-masking"
        name = "seeing"
        oblivious = ["fmn"]
        adaptive = ["fmn"]
        """,
        40,
    )
    found = {(finding.code, finding.severity) for finding in record.findings if "blind" in finding.sentence}
    assert ("zero-gradients", "alarm") in found
    assert ("black-box-stronger", "alarm") in found
    assert not [finding for finding in record.findings if "seeing" in finding.sentence and finding.severity == "alarm"]
    assert record.verdict is not None
    assert record.verdict.status == "inconclusive"

    def kept(defense: str, attack: str, eps: float = 0.03) -> float:
        knowledge = "none" if defense == "none" else "adaptive"
        (cell,) = [cell for cell in record.done(defense=defense, knowledge=knowledge) if cell.attack == attack]
        return sum(value is None or value > eps for value in cell.distance) / len(cell.distance)

    bare = kept("none", "fmn")
    assert kept("blind", "fmn") > bare + 0.4, "The figure of who falls for it."
    assert abs(kept("seeing", "fmn") - bare) <= 0.1
    assert abs(kept("blind", TRANSFER) - bare) <= 0.1
