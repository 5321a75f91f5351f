"""Suites come through entry points: found by name, refused with a reason, and never in the place of one of ours."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner

from robusteval.cli import plugins_command, suites_command
from robusteval.engine.catalogue import catalogue as installed
from robusteval.engine.catalogue.catalogue import Catalogue, build, discover
from robusteval.engine.suite.suite import faults, names, read, text
from robusteval.errors import PluginError, SuiteError
from tests.docs.pages import PAGES
from tests.engine.toys import entry_point

TOML = 'name = "{name}"\nversion = "3"\nsummary = "toy"\nnorms = ["l2"]\n{more}[[attack]]\nplugin = "{attack}"\n'
OFFERS = "from robusteval.api import hookimpl\n@hookimpl\ndef robusteval_suites(): return {offers}\n"
# What the sources' suites were before they came from a plugin: references and old records know them by these.
HASHES = {
    "seeds": "ba26ece45bfaa3d573df16a9c1f8ba0a2fcf1c4c38ab388271857642b95a24d2",
    "seeds-attacks": "9b8959f2d08357413803cfc6b65f3621ef3ae92c4b76255ce17048b2c5a982a8",
    "seeds-colour": "3e6cdfff7f1bb710645c8e51042973df3dfb8341ae69e1e389272c470315c6f8",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("acme_"):
            del sys.modules[name]


def suite(name: str, attack: str = "pgd", more: str = "") -> str:
    """A suite as the source code of a plugin writes it."""
    return repr(TOML.format(name=name, attack=attack, more=more))


def offered(folder: Path, *offers: str) -> Catalogue:
    """Ours, and a plugin for each of these expressions."""
    own = [
        point
        for point in entry_points(group="robusteval")
        if point.dist is not None and point.dist.name == "robusteval"
    ]
    theirs = [entry_point(folder, f"acme_{place}", OFFERS.format(offers=offer)) for place, offer in enumerate(offers)]
    return build([*own, *theirs])


def broken(found: Catalogue) -> list[str]:
    return [row.broken for row in found.entries if row.broken]


def test_a_suite_of_a_plugin_is_read_by_its_name(folder: Path) -> None:
    found = offered(folder, f"{{'acme.quick': {suite('acme.quick')}}}")
    assert broken(found) == []
    read_back = read("acme.quick", found)
    assert (read_back.name, read_back.version, [spec.plugin for spec in read_back.attacks]) == (
        "acme.quick",
        "3",
        ["pgd"],
    )
    assert set(names(found)) == {*names(discover()), "acme.quick"}


@pytest.mark.parametrize(
    ("offers", "reason"),
    [
        (f"{{'standard': {suite('standard')}}}", "bare names are reserved"),
        (f"{{'quick': {suite('quick')}}}", "bare names are reserved"),
        (f"{{'acme.quick': {suite('acme.slow')}}}", "its own name is 'acme.slow'"),
        (f"{{'acme.quick.toml': {suite('acme.quick.toml')}}}", "does not end in .toml"),
        ("{'acme.quick': 'name ='}", "not valid TOML"),
        ("{'acme.quick': b'name'}", "of type bytes"),
        ("{'acme.quick': 'name = \"acme.quick\"'}", "its version is no string"),
        ("{'': ''}", "no name of a suite"),
        ("{3: ''}", "no name of a suite"),
        ("['acme.quick']", "gave a list"),
        ("{'acme.quick': open('/nowhere/at/all').read()}", "No such file"),
    ],
)
def test_what_is_no_suite_is_a_row_with_its_reason_and_ours_stay(folder: Path, offers: str, reason: str) -> None:
    found = offered(folder, offers)
    (said,) = broken(found)
    assert reason in said
    assert names(found) == names(discover())
    assert read("standard", found) == read("standard", discover())


def test_two_plugins_of_one_name_are_both_refused(folder: Path) -> None:
    found = offered(folder, *[f"{{'acme.quick': {suite('acme.quick')}}}"] * 2)
    assert [said.startswith("the name is also taken") for said in broken(found)] == [True, True]
    with pytest.raises(PluginError, match="also taken"):
        read("acme.quick", found)


@pytest.mark.parametrize(
    ("attack", "more", "reason"),
    [
        ("acme.none", "", "no attack named 'acme.none'"),
        ("pgd", "colour = 3\n", "colour"),
        ("pgd", "metrics = 5\n", "metrics"),
    ],
)
def test_a_suite_that_asks_for_what_is_not_here_says_so_in_every_list(
    folder: Path, monkeypatch: pytest.MonkeyPatch, attack: str, more: str, reason: str
) -> None:
    found = offered(folder, f"{{'acme.quick': {suite('acme.quick', attack, more)}}}")
    assert list(faults(found)) == ["acme.quick"]
    with pytest.raises((SuiteError, PluginError), match=reason):
        read("acme.quick", found)
    monkeypatch.setattr(installed, "discover", lambda: found)
    for command in (suites_command.command, plugins_command.command):
        rows = json.loads(CliRunner().invoke(command, ["list", "--json"]).stdout)
        told = {row["name"]: row["broken"] for row in rows if row["broken"]}
        assert list(told) == ["acme.quick"]
        assert reason in told["acme.quick"]


def test_the_lists_say_where_a_suite_comes_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = offered(folder, f"{{'acme.quick': {suite('acme.quick')}}}")
    monkeypatch.setattr(installed, "discover", lambda: found)
    rows = json.loads(CliRunner().invoke(suites_command.command, ["list", "--json"]).stdout)
    origin = {row["name"]: (row["distribution"], row["entry_point"]) for row in rows}
    assert origin["acme.quick"] == ("?", "acme_0")
    assert origin["seeds"] == ("robusteval", "robusteval_published_claims")
    assert origin["standard"] == ("robusteval", "robusteval.engine.suite.shipped")
    shown = CliRunner().invoke(suites_command.command, ["show", "acme.quick"])
    assert shown.stdout == text("acme.quick", found)
    assert "comes from ? (acme_0)" in shown.stderr
    assert "toy" in CliRunner().invoke(plugins_command.command, ["show", "acme.quick"]).stdout
    table = CliRunner().invoke(suites_command.command, ["list"]).stdout
    assert re.search(r"acme\.quick +3 +\? +l2 +500 +toy", table)


def test_an_unknown_suite_is_answered_with_those_there_are(folder: Path) -> None:
    with pytest.raises(SuiteError) as caught:
        read("acme.nothing", offered(folder, f"{{'acme.quick': {suite('acme.quick')}}}"))
    assert "acme.quick" in caught.value.hint


@pytest.mark.parametrize("name", HASHES)
def test_the_suites_of_the_sources_are_what_they_were(name: str) -> None:
    assert read(name, discover()).sha256 == HASHES[name]


def test_the_broken_row_of_others_takes_nobodys_name(folder: Path) -> None:
    code = (
        "from robusteval.api import hookimpl\nfrom robusteval_attacks.pgd import PGD\n@hookimpl\ndef "
        "robusteval_attacks(): return [PGD]"
    )
    own = list(entry_points(group="robusteval"))
    found = build([*own, entry_point(folder, "acme_thief", code)])
    assert any("bare names" in said for said in broken(found))
    assert found.entry("attack", "pgd").distribution == "robusteval"


def test_the_example_of_the_documentation_fits_what_is_installed(folder: Path) -> None:
    page = PAGES["suite"]
    name, module = page.entry_point()
    (folder / f"{module}.py").write_text(page.files()[f"{module}.py"])
    try:
        found = build([*entry_points(group="robusteval"), EntryPoint(name, module, "robusteval")])
    finally:
        sys.modules.pop(module, None)
    assert broken(found) == []
    made = read("acme.quick", found)
    assert (made.samples, [spec.plugin for spec in made.attacks]) == (100, ["pgd", "square"])
    assert "--suite acme.quick" in page.text
