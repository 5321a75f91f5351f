"""What plugins say, in every place where they may say something, is text: in lists, logs, the record and its media."""

from __future__ import annotations

import dataclasses
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from torch import Generator, Tensor

from robusteval.api import AttackInfo, Defended, DefenseInfo, MetricInfo, Problem, param
from robusteval.cli.progress import Display
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.samples import Samples
from robusteval.engine.catalogue import catalogue as module
from robusteval.engine.catalogue.catalogue import Catalogue, build
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.run.runner import run
from robusteval.record import store
from robusteval.record.column import Column
from robusteval.record.run import Record, Result
from robusteval.report import render
from robusteval.report.formats.tables_csv import tables
from robusteval.report.summary import render_markdown
from tests.cli.conftest import Command
from tests.cli.conftest import robusteval as robusteval  # noqa: PLC0414 - a fixture
from tests.engine import toys
from tests.hostile_text import EVIL, clean

PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar
from robusteval.api import AttackInfo, hookimpl, param
EVIL = {evil!r}

@dataclass(frozen=True)
class Attack:
    info: ClassVar = AttackInfo({name}, {version}, ("l2",), "minimal", "scores", EVIL, EVIL, EVIL, EVIL)
    knob: int = param(1, EVIL)
    def run(self, problem):
        return problem.x

@hookimpl
def robusteval_attacks():
    return [Attack]

@hookimpl
def robusteval_suites():
    suite = 'name = "acme.suite"\\nversion = ' + repr(EVIL[:99]) + '\\nnorms = ["l2"]'
    return {{"acme.suite": suite, EVIL: "x", "acme.b": EVIL}}
"""


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, evil: str, **facts: str) -> Catalogue:
    """The catalogue beside what is installed of one such plugin."""
    monkeypatch.syspath_prepend(folder)
    names = {"name": '"acme.attack"', "version": '"1"'} | facts
    point = toys.entry_point(
        folder, f"evil{abs(hash((evil[:50], *names.values())))}", PLUGIN.format(evil=evil, **names)
    )
    entries = (*module.discover().entries, *build([point]).entries)
    return Catalogue(entries)


@pytest.mark.parametrize("kind", EVIL)
def test_lists_of_plugins_are_plain_text(
    kind: str, robusteval: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = installed(tmp_path, monkeypatch, EVIL[kind])
    monkeypatch.setattr(module, "discover", lambda: found)
    for words in (
        ("plugins", "list"),
        ("plugins", "show", "acme.attack"),
        ("suites", "list"),
        ("plugins", "show", "acme.suite"),
    ):
        screen = robusteval(*words)
        assert screen.code == 0, (words, screen.err)
        assert clean(screen.out), words
        assert "Trust grade of" not in [line.strip()[:14] for line in screen.out.splitlines()]
        assert len(screen.out) < 200_000, words
        assert "acme." in screen.out


@pytest.mark.parametrize("kind", [*EVIL, "half"])
@pytest.mark.parametrize("facts", [{"name": '"acme." + EVIL'}, {"version": "EVIL"}])
def test_a_name_that_cannot_be_seen_is_refused(
    facts: dict[str, str], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = EVIL.get(kind, "\ud800")
    found = installed(tmp_path, monkeypatch, evil, **facts)
    (row,) = [entry for entry in found.entries if entry.kind == "attack" and entry.name.startswith("acme.")]
    assert clean(row.name + row.version, lines=False)
    assert max(len(row.name), len(row.version)) <= 300
    assert ("cannot be seen" in row.broken) == (kind != "markup")
    json.dumps(row.name).encode()


@dataclass(frozen=True)
class Loud:
    """An attack whose fault is what it says."""

    info: ClassVar[AttackInfo] = AttackInfo("test.loud", "1", ("linf",), "minimal", "decision", "toy", "none")
    kind: str = param("esc", "what it says")

    def run(self, problem: Problem) -> Tensor:
        raise type(EVIL[self.kind][:200].replace("\0", ""), (Exception,), {})(EVIL[self.kind])


@dataclass(frozen=True)
class LoudDefense:
    info: ClassVar[DefenseInfo] = DefenseInfo("test.loud", "1", "preprocessor", False, "toy", "none")
    kind: str = param("esc", "what it says")
    fails: bool = param(False, "whether it can be fitted")

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        if self.fails:
            raise RuntimeError(EVIL[self.kind])
        return Defended(model, notes=(EVIL[self.kind],))


def metric(evil: str) -> type:
    """A metric with text in all places of a table."""

    class Figure:
        info: ClassVar[Any] = MetricInfo("test.figure", "1", "toy", "none")

        def compute(self, record: Record) -> list[Result]:
            return [
                Result(
                    "test.figure", "rows", "table", evil, columns=[Column("what", evil)], rows=[[evil], [f"={evil}"]]
                ),
                Result("test.figure", "one", "scalar", evil, evil, 1.0),
            ]

    return Figure


@pytest.mark.parametrize("kind", EVIL)
def test_what_they_say_in_a_run_is_plain_text_in_every_medium(kind: str, tmp_path: Path) -> None:
    evil = EVIL[kind] if not kind.startswith("long") else EVIL[kind][:100_000]
    plugins = (("attack", Loud), ("attack", toys.Sign), ("defense", LoudDefense), ("metric", metric(evil)))
    suite = 'name = "s"\nversion = "1"\nnorms = ["linf"]\nsamples = 20\nprobe_samples = 0\n'
    suite += f'[[attack]]\nplugin = "test.sign"\nsearch = 1\n[[attack]]\nplugin = "test.loud"\nparams.kind = "{kind}"\n'
    for fails in ("true", "false"):
        suite += (
            f'[[defense]]\nplugin = "test.loud"\nname = "d-{fails}"\nparams = {{ kind = "{kind}", fails = {fails} }}\n'
        )
    (tmp_path / "s.toml").write_text(suite)
    model = toys.linear()
    data = toys.samples(model, count=20)
    options = RunOptions(suite=str(tmp_path / "s.toml"), data=(data.x, data.y))
    job = dataclasses.replace(prepare_job(model, toys.catalogue(*plugins), options), folder=tmp_path / "run")
    screen = io.StringIO()
    record = run(job, Display(screen, plain=True).update)
    assert {cell.status for cell in record.cells if cell.attack == "test.sign" and cell.defense == "none"} == {"done"}
    (cell,) = [cell for cell in record.cells if cell.attack == "test.loud" and cell.defense == "none"]
    assert (cell.status, clean(cell.reason, lines=False), len(cell.reason) <= 500) == ("failed", True, True)
    for row in record.pipelines:
        assert all(clean(said, lines=False) and len(said) <= 2_000 for said in (row.reason, *row.notes))
    log = (tmp_path / "run" / "errors.log").read_text()
    written = {"screen": screen.getvalue(), "log": log, "page": render(record), "markdown": render_markdown(record)}
    written |= tables(record)
    for medium, said in written.items():
        shown = said if medium != "page" else said.split("<script>")[0]
        assert clean(shown.replace("\t", "")), medium
        assert len(said) < 3_000_000, medium
    assert store.load(tmp_path / "run").plan_sha256 == record.plan_sha256
