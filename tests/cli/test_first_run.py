"""`init` writes what `run` then needs no flags for; flags win over the file, and the record says which was which."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from robusteval.cli.first_run import settings_file
from robusteval.errors import RobustEvalError
from robusteval.record.store import load
from tests.cli.conftest import CNN, QUICK, Command


@pytest.fixture
def model(tmp_path: Path, quick: Path) -> Path:
    """A model in a folder of its own, with a suite beside it."""
    folder = tmp_path / "net"
    folder.mkdir()
    shutil.move(quick, folder / "quick.toml")
    return Path(shutil.copy(CNN, folder / "net.onnx"))


def test_after_init_a_run_needs_no_flags(robusteval: Command, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = model.parent / "quick.toml"
    screen = robusteval("init", model, "--suite", suite, "--out", "first", "--fail-under", "grade>=F", "--yes")
    assert screen.code == 0, screen
    assert "Clean accuracy is" in screen.out
    written = (model.parent / "robusteval.toml").read_text()
    assert 'suite = "quick.toml"' in written
    assert 'out = "first"' in written
    assert "range = [0, 1]" in written
    assert robusteval("init", model).code == 2, "it is not replaced unasked"
    assert robusteval("init", model, "--suite", suite, "--out", "first", "--yes", "--overwrite").code == 0
    screen = robusteval("run", model, "--workers", 1, "--samples", 10)
    assert screen.code == 0, screen
    assert "Settings: robusteval.toml (sha256 " in screen.err
    record = load(model.parent / "first")
    assert (record.suite.name, record.data.samples) == ("quick", 10)
    assert record.environment["settings"].endswith(": range, suite, out")
    monkeypatch.chdir(model.parent)
    screen = robusteval("run", "--workers", 1, "--samples", 10, "--out", "second", "--range", "0,1")
    assert screen.code == 0, screen
    record = load(Path("second"))
    assert record.model.file == "net.onnx"
    assert record.environment["settings"].endswith(": suite; flags instead of it: range, out")


def test_without_a_model_and_a_file_there_is_nothing_to_run(robusteval: Command) -> None:
    screen = robusteval("run")
    assert screen.code == 2
    assert "Missing argument 'MODEL...'" in screen.err


def test_another_model_s_file_is_not_taken(robusteval: Command, model: Path) -> None:
    (model.parent / "robusteval.toml").write_text('model = "other.onnx"\nsuite = "no-such"\n')
    assert settings_file.beside(model) is None
    assert settings_file.beside(model.parent / "other.onnx") is not None


BAD = {
    "an unknown name": ("trust = true", "setting 'trust'"),
    "a plugin's loader": ('loader = "x"', "setting 'loader'"),
    "no TOML": ("suite = ", "not valid TOML"),
    "deep": ("x = " + "[" * 100_000, "too deeply"),
    "a model elsewhere": ('model = "../net.onnx"', "does not lie beside it"),
    "a folder above": ('out = "../../x"', "inside its folder"),
    "a folder elsewhere": ('out = "/tmp/x"', "inside its folder"),
    "a range of words": ('range = "dark"', "range: 'dark' is not a list of numbers"),
    "no number": ('samples = "many"', "samples"),
    "a gate that is none": ('[gates]\nfail_under = ["linf"]', "no gate such as"),
    "another table": ("[gates]\nfail = 1", "setting 'fail'"),
    "gates that are no table": ("gates = 5", "setting 'gates'"),
    "no choice": ('labels = "guess"', "labels"),
    "a list for a text": ("suite = [1]", "suite: a text is wanted, not [1]"),
    "a number for a text": ("data = 5", "data: a text is wanted"),
    "a truth for a class": ("target = true", "target: a text is wanted"),
    "gates of tables": ("[gates]\nfail_under = [{}]", "fail_under: a list of texts is wanted"),
    "a gate that is a truth": ("[gates]\nfail_under = true", "fail_under: a list of texts is wanted"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_in_the_file_is_one_sentence(robusteval: Command, model: Path, kind: str) -> None:
    content, said = BAD[kind]
    (model.parent / "robusteval.toml").write_text(content)
    screen = robusteval("run", model, "--dry-run")
    assert screen.code == 2
    assert said in screen.err
    assert "Traceback" not in screen.err


def test_a_link_in_the_place_of_the_file_is_not_followed(robusteval: Command, model: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.toml").write_text('suite = "smoke"')
    (model.parent / "robusteval.toml").symlink_to(tmp_path / "elsewhere.toml")
    screen = robusteval("run", model, "--dry-run")
    assert screen.code == 2
    assert "it is a link" in screen.err


def test_whatever_is_written_is_read_again(tmp_path: Path) -> None:
    odd = 'a "b" \\ \u00e9 \U0001f600 \x7f\n'
    values = {"data": odd, "range": (0.0, 255.0), "mean": (0.485, 1e-7), "samples": 5, "suite": odd}
    path = tmp_path / "robusteval.toml"
    path.write_text(settings_file.text("n.onnx", values, ["grade>=B"], ["remark"]), encoding="utf-8")
    stated = settings_file.read(path)
    assert stated.model == "n.onnx"
    assert stated.values == {
        "data": odd, "range": [0, 255], "mean": [0.485, 1e-7], "samples": 5, "suite": odd, "fail_under": ["grade>=B"],
    }  # fmt: skip
    with pytest.raises(ValueError, match="is no setting"):
        settings_file.text("n.onnx", {"out": None}, [], [])


def test_a_model_s_name_cannot_leave_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "robusteval.toml"
    for name in ('"a/b.onnx"', '".."', "5"):
        path.write_text(f"model = {name}")
        with pytest.raises(RobustEvalError):
            settings_file.read(path)


def test_doctor_says_what_there_is(robusteval: Command) -> None:
    facts = json.loads(robusteval("doctor", "--json").out)
    assert set(facts) == {"machine", "extras", "plugins"}
    assert "CPU" in facts["machine"]["ONNX Runtime"]
    assert facts["machine"]["devices"].startswith("cpu")
    assert facts["plugins"]["counts"]["attack"] > 10
    screen = robusteval("doctor")
    assert screen.code == 0
    assert "Plugins by kind: " in screen.out


def test_doctor_foretells_what_suites_cost(robusteval: Command, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    from robusteval.engine.suite import suite

    monkeypatch.setattr(suite, "names", lambda _: ["smoke", str(model.parent / "broken.toml")])
    (model.parent / "broken.toml").write_text(QUICK.replace("fgsm", "no-such-attack"))
    smoke, broken = json.loads(robusteval("doctor", model, "--json").out)["suites"]
    assert smoke["samples"] == 64
    assert smoke["passes"] > 64
    assert smoke["seconds"] > 0
    assert "no-such-attack" in broken["why"]
    assert robusteval("doctor", model).code == 0
