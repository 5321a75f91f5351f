"""Entry points are loaded one by one; whatever is wrong becomes a row with its reason."""

from __future__ import annotations

import importlib.metadata
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import robusteval.api
from robusteval.engine.catalogue.catalogue import Catalogue, Entry, _refuse_collisions, build, discover
from robusteval.errors import PluginError
from tests.engine.toys import entry_point
from tests.sure import sure

GOOD = """
from dataclasses import dataclass
from robusteval.api import AttackInfo, hookimpl
@dataclass(frozen=True)
class A:
    info = AttackInfo("{name}", "1", ("l2",), "minimal", "gradient", "s", "r")
    def run(self, problem): return problem.x
@hookimpl
def robusteval_attacks(): return [A]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("acme_"):
            del sys.modules[name]


def test_an_outside_plugin_is_found_by_its_name(folder: Path) -> None:
    found = build([entry_point(folder, "acme_good", GOOD.format(name="acme.good"))])
    assert found.get("attack", "acme.good").info.name == "acme.good"


def test_a_plugin_may_say_for_which_version_it_was_written(folder: Path) -> None:
    code = GOOD.format(name="acme.stated") + f"robusteval_api_version = '{robusteval.api.api_version}'"
    assert build([entry_point(folder, "acme_stated", code)]).get("attack", "acme.stated")


def test_what_plugins_draw_when_they_are_imported_is_nobody_else_s(folder: Path) -> None:
    draws = "import random, numpy, torch\nrandom.random(), numpy.random.rand(), torch.rand(1)\n"
    before = torch.get_rng_state(), str(np.random.get_state(legacy=False)), random.getstate()  # noqa: NPY002 - looked at
    build([entry_point(folder, "acme_draws", draws + GOOD.format(name="acme.draws"))])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (str(np.random.get_state(legacy=False)), random.getstate()) == before[1:]  # noqa: NPY002 - looked at


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("x = 1", "no hook"),
        ("from robusteval.api import hookimpl\n@hookimpl\ndef robusteval_atacks(): return []", "robusteval_atacks"),
        (GOOD.format(name="bare"), "bare names are reserved"),
        (GOOD.format(name="acme.x").replace("info = ", "infos = "), "no info.name"),
        (GOOD.format(name="acme.x") + "robusteval_api_version = '2.0'", "version 2.0 of robusteval.api"),
        (GOOD.format(name="acme.x") + "robusteval_api_version = '1.99'", "version 1.99 of robusteval.api"),
        (GOOD.format(name="acme.x") + "robusteval_api_version = 'x'", "version x of robusteval.api"),
    ],
)
def test_what_cannot_be_used_is_a_row_with_its_reason(folder: Path, code: str, reason: str) -> None:
    found = build(
        [entry_point(folder, "acme_bad", code), entry_point(folder, "acme_fine", GOOD.format(name="acme.fine"))]
    )
    broken = [entry for entry in found.entries if entry.broken]
    assert len(broken) == 1
    assert reason in broken[0].broken
    assert found.get("attack", "acme.fine")  # the others go on


def test_asking_for_a_broken_plugin_says_why(folder: Path) -> None:
    found = build([entry_point(folder, "acme_bad2", GOOD.format(name="bare"))])
    with pytest.raises(PluginError, match="bare names are reserved"):
        found.get("attack", "bare")


def test_collisions_are_refused_on_both_sides() -> None:
    rows = [Entry("attack", "acme.x", "1", name, "p", object()) for name in ("first", "second")]
    found = Catalogue(tuple(_refuse_collisions(rows)))
    assert all(entry.broken for entry in found.entries)
    with pytest.raises(PluginError, match="also taken by"):
        found.get("attack", "acme.x")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(PluginError) as caught:
        discover().get("attack", "pdg")
    assert "pgd" in caught.value.hint


def test_the_installed_entry_points_are_those_of_pyproject() -> None:
    """An editable install does not see an entry point that was added later."""
    import tomllib
    from pathlib import Path

    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["entry-points"][
        "robusteval"
    ]
    points = importlib.metadata.entry_points(group="robusteval")
    installed = {point.name: point.value for point in points if sure(point.dist).name == "robusteval"}
    assert installed == declared, "install again: pip install -e ."


def test_no_built_in_is_broken() -> None:
    assert [entry for entry in discover().entries if entry.broken and entry.distribution == "robusteval"] == []
