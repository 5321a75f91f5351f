"""`robusteval references build` and `run --references`: builds a set, shows a run beside it, refuses in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import robusteval as package
from robusteval.record import reference_set, store
from tests.cli.conftest import CNN, ROOT, Command
from tests.sure import sure

ROBUST = CNN.with_name("fashion-robust.onnx")
TINY = """
name = "tiny"
version = "1"
norms = ["linf"]
samples = 60
probe_samples = 0
[[attack]]
plugin = "fgsm"
search = 2
[[attack]]
plugin = "square"
params = { queries = 20 }
search = 1
[[defense]]
plugin = "bit-depth"
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def made(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of three models, one of them masked and on fewer images, and the runs that it comes from."""
    import sys

    from robusteval.cli import main

    folder = tmp_path_factory.mktemp("set")
    words = [
        "references", "build", "--suite", tiny, "--workers", 1, "--runs", folder / "runs", "--out", folder / "set.json",
        "--json",
        "--model", f"plain={CNN}", "--model", f"hardened={ROBUST}", "--about", "hardened=trained on PGD",
        "--model", f"masked={CNN}", "--defense", "masked=gradient-masking:step=0.2", "--exact",
        "masked=surrogate=false",
        "--limit", "masked=50",
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["robusteval", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
    assert stop.value.code == 0
    return folder / "set.json"


def test_the_set_holds_what_was_measured(made: Path) -> None:
    found = reference_set.load(made).content
    assert [(model.name, model.about, len(model.rows)) for model in found.models[:2]] == [
        ("plain", "as it was given", 60),
        ("hardened", "trained on PGD", 60),
    ]
    assert len(found.images) == 60
    masked = found.models[2]
    assert (masked.defense, masked.params["step"], masked.params["surrogate"]) == ("gradient-masking", 0.2, True)
    assert len(masked.rows) == 50
    run = store.load(made.parent / "runs" / "plain")
    mine = found.models[0]
    assert mine.sha256 == run.model.sha256
    assert mine.grade == sure(run.verdict).grade
    assert run.pipelines[1:] == []  # no defences: they say nothing about the bare model
    columns = zip(*(cell.distance for cell in run.done(norm="linf")), strict=True)
    nearest = [min((value for value in row if value is not None), default=None) for row in columns]
    assert mine.worst["linf"].distance == pytest.approx(nearest, rel=1e-8)
    assert mine.worst["linf"].attacks == ["fgsm", "square"]
    assert mine.worst["linf"].searched == 0.5


def test_exact_gradients_of_the_masked_one_tell_lies_and_are_marked_as_such(made: Path) -> None:
    masked = reference_set.load(made).content.models[2]
    assert masked.exact["linf"].attacks == ["fgsm"]
    assert masked.exact_grade in ("D", "F")
    assert "gradients-zero" in masked.exact_fails
    true = sum(distance is None or distance > 0.1 for distance in masked.worst["linf"].distance)
    false = sum(distance is None or distance > 0.1 for distance in masked.exact["linf"].distance)
    assert true < 15
    assert false > 40


def test_a_run_is_shown_beside_them(made: Path, robusteval: Command, tiny: Path) -> None:
    screen = robusteval("run", CNN, "--suite", tiny, "--workers", 1, "--references", made, "--out", "run")
    assert screen.code == 0, screen.err
    assert "on the same 60 images, under the same attacks, plain" in " ".join(screen.out.split())
    record = store.load(Path("run"))
    assert record.references[0].sha256 == reference_set.load(made).sha256
    table = next(result for result in record.results if result.metric == "references" and result.kind == "table")
    rows = [dict(zip(table.titles(), row, strict=True)) for row in table.rows]
    assert [row["Role"] for row in rows] == ["this", "same", "reference", "reference", "exact"]
    # the same file, suite, images and seed: the reference's figures are this run's own
    figures = [name for name in table.titles() if name.startswith(("Accuracy", "Low", "High"))]
    assert len(figures) > 3
    assert [rows[0][name] for name in figures] == [rows[1][name] for name in figures]
    page = Path("run/report.html").read_text()
    assert "Among known models" in page
    assert "trained on PGD" in page
    made.rename(made.with_suffix(".gone"))
    try:
        assert robusteval("report", "run", "--out", "again.html").code == 0
        screen = robusteval("report", "run", "--markdown")
        assert (screen.code, screen.out.partition("\n")[0]) == (0, f"# Robustness of {CNN.stem}")
        assert "| Pipeline | Attack |" in screen.out
    finally:
        made.with_suffix(".gone").rename(made)
    assert Path("again.html").read_text() == page


def test_finished_runs_serve_as_models(made: Path, robusteval: Command) -> None:
    runs = made.parent / "runs"
    words = ("--model", f"a={runs / 'plain'}", "--model", f"b={runs / 'hardened' / 'record.json'}", "--out", "set.json")
    screen = robusteval("references", "build", *words)
    assert screen.code == 0, screen.err
    first, again = reference_set.load(made).content, reference_set.load(Path("set.json")).content
    assert [model.worst for model in again.models] == [model.worst for model in first.models[:2]]
    assert "hardened" not in screen.out
    assert "robusteval run MODEL --references set.json" in screen.out


def test_runs_of_different_attacks_make_no_set(made: Path, robusteval: Command, tiny: Path) -> None:
    other = Path("other.toml")
    other.write_text(TINY.replace("queries = 20", "queries = 21"))
    words = ("--workers", 1, "--samples", 50, "--out", "set.json")
    screen = robusteval(
        "references",
        "build",
        "--model",
        f"a={made.parent / 'runs' / 'plain'}",
        "--model",
        f"b={CNN}",
        "--suite",
        other,
        *words,
    )
    assert screen.code == 2
    assert "b was attacked with tiny 1" in screen.err
    assert not Path("set.json").exists()


def test_the_python_api_takes_them_too(made: Path, tiny: Path) -> None:
    with pytest.raises(package.errors.RecordError, match="There is no reference set"):
        package.evaluate(CNN, suite=str(tiny), references=["missing.json"])
    record = package.evaluate(CNN, suite=str(tiny), samples=55, references=[made])
    assert record.references[0].status == "done"
    assert [len(model.rows) for model in record.references[0].models] == [55, 55, 50]
    assert any("same 55 images" in sentence for sentence in sure(record.verdict).sentences)


@pytest.mark.parametrize("content", ["", "{}", "[" * 5000, '{"schema": "robusteval-references-1"}'])
def test_a_broken_set_is_refused_before_anything_is_attacked(content: str, robusteval: Command, tiny: Path) -> None:
    Path("set.json").write_text(content)
    screen = robusteval("run", CNN, "--suite", tiny, "--references", "set.json", "--out", "run")
    assert screen.code == 2
    assert screen.err.startswith("Error: ")
    assert "set.json" in screen.err
    assert len(screen.err.splitlines()) == 2
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "plain"), "NAME=VALUE"),
        (("--model", f"<b>={CNN}"), "no name"),
        (("--model", f"a={CNN}", "--model", f"A={CNN}"), "given twice"),
        (("--model", f"a={CNN}", "--about", "b=words"), "not one of the models"),
        (("--model", f"a={CNN}", "--exact", "a=surrogate=false"), "has no defence"),
        (("--model", f"a={CNN}", "--limit", "a=0"), "not a number"),
        (("--model", f"a={CNN}", "--defense", "a=gradient-masking:step"), "KEY=VALUE"),
        (("--model", f"a={CNN}", "--defense", "a=no-such-defence"), "no-such-defence"),
        (("--model", f"a={CNN}", "--defense", "a=gradient-masking:step=-1"), "step"),
        (("--model", f"a={ROOT}", "--limit", "a=60"), "finished run"),
        (("--model", f"a={ROOT}"), "record.json"),
        (("--model", f"a={CNN}", "--out", "."), "is a folder"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], said: str, robusteval: Command, tiny: Path) -> None:
    out = () if "--out" in words else ("--out", "set.json")
    screen = robusteval("references", "build", "--suite", tiny, "--workers", 1, *words, *out)
    assert screen.code == 2
    assert said in screen.err
    assert not Path("set.json").exists()


def test_a_random_defence_has_no_exact_gradient(robusteval: Command, tiny: Path) -> None:
    words = ("--model", f"a={CNN}", "--defense", "a=randomized-smoothing", "--exact", "a=votes=3", "--out", "set.json")
    screen = robusteval("references", "build", "--suite", tiny, "--workers", 1, *words)
    assert screen.code == 2
    assert "random or has a detector" in screen.err


def test_the_old_name_does_the_same_and_tells_the_new_one(robusteval: Command) -> None:
    screen = robusteval("calibrate", "--out", "set.json")
    assert "`robusteval calibrate` is now called `robusteval references build`." in screen.err
    assert "--model" in screen.err
    assert screen.code == 2


def test_the_shipped_sets_are_listed(robusteval: Command) -> None:
    rows = json.loads(robusteval("references", "list", "--json").out)
    assert {row["suite"] for row in rows} == {"smoke", "standard"}
    assert all("pgd-trained" in row["models"] for row in rows)
