"""`plugins new` writes a distribution whose own tests pass at once; `plugins check` runs the kit on what is there."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from robusteval.cli import cli
from robusteval.scaffold.new import KINDS
from tests.third_party.test_outside_package import pip, run

NAMES = {kind: f"acme.my-{kind}" for kind in KINDS}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new plugin of every kind."""
    folder = tmp_path_factory.mktemp("new")
    for kind, name in NAMES.items():
        done = CliRunner().invoke(cli, ["plugins", "new", name, "--kind", kind, "--into", str(folder)])
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def installed(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed all of them."""
    target = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    run([*pip(), "install", *options, "--target", str(target), *map(str, written.iterdir())], None)
    return target


def test_the_tests_of_every_kind_pass_at_once(written: Path, installed: Path) -> None:
    tests = [str(path) for path in sorted(written.rglob("test_*.py"))]
    assert len(tests) == len(KINDS)
    said = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, *tests], installed)
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed[1]) > 60


def test_each_is_found_by_its_name_and_conforms(installed: Path) -> None:
    ask = (
        "import json, sys; from click.testing import CliRunner; from robusteval.cli import cli\n"
        "for name in sys.argv[1:]:\n"
        "    done = CliRunner().invoke(cli, ['plugins', 'check', name, '--json'])\n"
        "    print(json.dumps([done.exit_code, json.loads(done.output)]))\n"
    )
    answers = [json.loads(line) for line in run([sys.executable, "-c", ask, *NAMES.values()], installed).splitlines()]
    assert [(code, said["ok"], said["plugin"], said["kind"]) for code, said in answers] == [
        (0, True, name, kind) for kind, name in NAMES.items()
    ]
    for _, said in answers:
        for row in said["checks"]:
            assert row["reason"]
            assert row["status"] != "passed" or row["cases"] > 0


def test_check_says_which_promise_is_kept_and_ends_with_the_line_for_a_readme() -> None:
    done = CliRunner().invoke(cli, ["plugins", "check", "noise"])
    assert done.exit_code == 0, done.output
    *rows, last = done.output.splitlines()
    assert re.fullmatch(r"noise: \d+ checks: \d+ passed, \d+ not applicable, 0 failed \(kit of robusteval \S+\)", last)
    assert any(re.search(r"passed +stays in the box: .* \(\d+ cases?\)", row) for row in rows)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new", "bare", "--kind", "attack"], "vendor.name"),
        (["new", "Acme.Attack", "--kind", "attack"], "vendor.name"),
        (["new", "acme.../../x", "--kind", "attack"], "vendor.name"),
        (["check", "nois"], "noise"),
        (["check", "standard"], "suite"),
    ],
)
def test_what_cannot_be_is_one_sentence(words: list[str], said: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["plugins", *words], standalone_mode=False)
    assert done.exception is not None
    assert said in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(written: Path) -> None:
    words = ["plugins", "new", NAMES["attack"], "--kind", "metric", "--into", str(written)]
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    assert "already" in str(done.exception)


def test_check_of_a_loader_says_that_no_model_was_asked() -> None:
    done = CliRunner().invoke(cli, ["plugins", "check", "onnx"])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1].endswith("; without --file nothing was asked of a model that it loads")
