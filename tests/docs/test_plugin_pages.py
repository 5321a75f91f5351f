"""The examples of docs/plugins work: each passes the test beside it, and all of them together carry one run."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints
from xml.etree import ElementTree as ET

import pytest

from robusteval.contracts.certificates.certifier import Statement
from robusteval.contracts.certificates.graph import KINDS, OPS, Node
from robusteval.contracts.classifier import LoadOptions
from robusteval.contracts.hookspecs import Hooks
from robusteval.contracts.plugins import CellFinished, RunStarted
from robusteval.contracts.problem import Problem
from robusteval.engine.catalogue.catalogue import build
from robusteval.engine.suite.declared import DefenseSpec
from robusteval.hooks import GROUP
from robusteval.record.run import Column, Result
from tests.docs.pages import CORE, INDEX, PAGES, ROOT, imported, install
from tests.documents import whole

PLUGINS = sorted(set(PAGES) - {CORE})
OTHERS = {"torch", "numpy", "numpy.typing", "collections.abc", "concurrent.futures", *sys.stdlib_module_names}
FREE = {"robusteval.api", *OTHERS}
IN_TESTS = {*FREE, "robusteval.testing", "pytest"}
BAD = ("failure", "error", "skipped")


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acme")
    install(folder)
    return folder


def seeing(folder: Path) -> dict[str, str]:
    """The environment of a python that sees what is installed in the folder."""
    path = os.pathsep.join(part for part in (str(folder), os.environ.get("PYTHONPATH", "")) if part)
    return {**os.environ, "PYTHONPATH": path}


def run(folder: Path, *words: str) -> str:
    """stdout of a python command that sees what is installed in the folder."""
    command = [sys.executable, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=seeing(folder))
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def outcomes(acme: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What a reader's pytest says of each page's test file: by its name, one line a test that did not pass, or
    "passed"."""
    _, module = check_module(acme)
    extend = f"import {module}\n{module}.__path__.append({str(acme / 'new')!r})\n"
    (acme / "conftest.py").write_text(extend, encoding="utf-8")
    report = tmp_path_factory.mktemp("report") / "junit.xml"
    words = ["-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(acme), f"--junitxml={report}", str(acme)]
    command = [sys.executable, "-m", "pytest", "-q", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=seeing(acme))
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 1: some test failed, and its page says so
    found: dict[str, list[str]] = {}
    for case in ET.parse(report).iter("testcase"):
        said = [
            f"{case.get('name')}: {part.tag} {part.get('message')}\n{part.text}" for part in case if part.tag in BAD
        ]
        found.setdefault(f"{case.get('classname', '').split('.')[-1]}.py", []).append("\n".join(said) or "passed")
    return found


def check_module(folder: Path) -> tuple[str, str]:
    """Writes the example of a check and its test; (its module, the package of the core that it stands in)."""
    (place, code), (test, its_test) = PAGES[CORE].files().items()
    package, module = place.removesuffix(".py").replace("/", ".").rsplit(".", 1)
    assert (ROOT / place).parent.is_dir()
    assert not (ROOT / place).exists()
    (folder / "new").mkdir()
    (folder / "new" / f"{module}.py").write_text(code, encoding="utf-8")
    (folder / Path(test).name).write_text(its_test, encoding="utf-8")
    return module, package


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_example_passes_its_own_test(outcomes: dict[str, list[str]], name: str) -> None:
    example, test = PAGES[name].files()
    if name != CORE:
        assert example == f"{PAGES[name].entry_point()[1]}.py"
    said = outcomes.get(Path(test).name, [])
    assert said, f"{test} has no test that ran"
    assert set(said) == {"passed"}, "\n".join(said)


@pytest.mark.parametrize("name", PLUGINS)
def test_the_example_imports_nothing_of_ours_but_the_api(name: str) -> None:
    (example, code), (_, test) = PAGES[name].files().items()
    assert set(imported(code)) <= FREE
    assert set(imported(test)) <= {*IN_TESTS, example.removesuffix(".py")}


def test_every_example_is_a_row_of_the_catalogue(acme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(acme))
    before = set(sys.modules)
    (mine,) = importlib.metadata.distributions(name="acme", path=[str(acme)])
    found = build([*importlib.metadata.entry_points(group=GROUP)])
    for name in set(sys.modules) - before:
        if name.startswith("acme_"):
            del sys.modules[name]
    rows = [row for row in found.entries if row.distribution == mine.name]
    assert [row.broken for row in rows if row.broken] == []
    assert sorted((row.kind, row.entry_point) for row in rows) == [
        ("attack", "acme_attack"),
        ("certifier", "acme_certifier"),
        ("dataset", "acme_dataset"),
        ("defense", "acme_detector"),
        ("defense", "acme_preprocessor"),
        ("executor", "acme_executor"),
        ("listener", "acme_listener"),
        ("loader", "acme_loader"),
        ("metric", "acme_metric"),
        ("suite", "acme_suites"),
    ]
    for row in rows:
        assert any(row.name in page.text and row.entry_point in page.text for page in PAGES.values())


SUITE = """
name = "all-of-them"
version = "1"
norms = ["linf"]
samples = 40
probe_samples = 0
[[attack]]
plugin = "acme.ascent"
search = 5
[[defense]]
plugin = "acme.reject-rough"
[[defense]]
plugin = "acme.random-rounding"
draws = 2
"""


def test_all_of_them_carry_one_run(acme: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the suite: nothing failed, the figures are such a model's, and the listener was told."""
    corners = [[float(4 * (n // 2) <= y < 4 * (n // 2 + 1) and 4 * (n % 2) <= x < 4 * (n % 2 + 1)) for y in range(8)
                for x in range(8)] for n in range(4)]  # fmt: skip
    model, out = tmp_path / "corners.logreg", tmp_path / "run"
    model.write_text(json.dumps({"shape": [1, 8, 8], "weight": corners, "bias": [0] * 4}))
    (tmp_path / "suite.toml").write_text(SUITE)
    words = ["--suite", str(tmp_path / "suite.toml"), "--data", "acme.corners", "--workers", "1", "--out", str(out)]
    words += ["--executor", "acme.threads"]
    journal = tmp_path / "journal.jsonl"
    monkeypatch.setenv("ACME_JOURNAL", str(journal))
    run(acme, "-m", "robusteval", "run", str(model), *words)
    record = whole(out)
    told = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["event"] for line in told] == ["started", *["cell"] * len(record["cells"]), "finished"]
    assert {line["cell"] for line in told[1:-1]} == {cell["id"] for cell in record["cells"]}
    assert told[-1]["grade"] == record["verdict"]["grade"]
    assert {(row["defense"], row["status"]) for row in record["pipelines"]} == {
        ("none", "done"), ("acme.reject-rough", "done"), ("acme.random-rounding", "done"),
    }  # fmt: skip
    assert {cell["status"] for cell in record["cells"]} == {"done"}
    assert record["data"]["source"] == "installed data set acme.corners, test part"
    (bare,) = [cell for cell in record["cells"] if cell["defense"] == "none"]
    assert all(value is not None and 0 < value < 0.5 for value in bare["distance"])
    assert bare["foretold"] is not None
    curves = {row["name"]: row["curves"][0]["points"] for row in record["results"] if row["metric"] == "acme.coverage"}
    assert set(curves) == {f"coverage/linf/{name}" for name in ("none", "acme.reject-rough", "acme.random-rounding")}
    assert all(len(points) == 10 for points in curves.values())
    checks = {row["id"]: row["outcome"] for row in record["checks"]}
    assert checks["gradients-zero"] == "pass"
    assert checks["attacks-completed"] == "pass"


def test_the_index_lists_every_page_and_every_hook_with_its_signature() -> None:
    text = INDEX.read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\(plugins/(\w+)\.md\)", text)) == sorted(PAGES)
    hooks = {name: hook for name, hook in vars(Hooks).items() if name.startswith("robusteval_")}
    assert set(re.findall(r"`(robusteval_\w+)\(\) -> ", text)) == set(hooks)
    for name, hook in hooks.items():
        assert f"`{name}() -> {inspect.signature(hook).return_annotation}`" in text


def fields(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


QUERIES = [name for name, made in vars(Problem).items() if inspect.isfunction(made) and not name.startswith("_")]
SAID = {  # what a reader of a page cannot guess, and what is the engine's own
    "attack": ([*QUERIES, "x", "safe", "norm", "bounds", "rng", "budget", "classes", "memory"], {"lent"}),
    "certifier": ([*OPS, *KINDS, *fields(Node), *fields(Statement)], set()),
    "listener": ([*fields(RunStarted), *fields(CellFinished)], set()),
    "loader": (fields(LoadOptions), {"loader"}),
    "metric": ([*get_args(get_type_hints(Result)["kind"]), *fields(Column)], set()),
    "suite": (fields(DefenseSpec), set()),
}


@pytest.mark.parametrize("name", SAID)
def test_a_page_names_all_that_a_plugin_of_its_kind_is_given(name: str) -> None:
    names, ours = SAID[name]
    text = PAGES[name].text
    assert [word for word in names if word not in ours and re.search(rf"\b{word}\b", text) is None] == []
