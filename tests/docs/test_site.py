"""The documentation's site: every command, plugin, check and field is on a page, and every link leads somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from dataclasses import fields as fields_of
from pathlib import Path

import pytest

from docs.generators import checks, commands, fields, links, plugins
from docs.generators.markdown import code, plain, table
from docs.generators.pages import generated
from robusteval.assessment.checks import CHECKS
from robusteval.assessment.checks.certificates import CERTIFIED
from robusteval.cli import cli
from robusteval.contracts.params import params_schema
from robusteval.engine.catalogue.catalogue import KINDS, discover
from robusteval.record.run import Cell, Record
from tests.docs.pages import ROOT


@dataclass
class Commented:
    """What a class of the record looks like."""

    # above it,
    # in two lines
    above: int
    behind: int = 0  # behind it
    without: int = 0


def section(text: str, title: str) -> str:
    """What stands under a heading, up to the next one of any level."""
    (found,) = re.findall(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE)
    return str(found)


def test_every_command_has_its_usage_its_words_and_its_options() -> None:
    text = commands.text()
    found = list(commands.commands())
    assert {context.info_name for context in found} >= set(cli.commands) | {"run", "verify", "compare", "doctor", "new"}
    for context in found:
        part = section(text, context.command_path)
        assert f"    {context.command_path} " in part
        for item in context.command.params:
            row = item.get_help_record(context)
            assert row is None or not row[1] or f"| {code(row[0])} | {plain(row[1])} |" in part
    assert "share of the pixel range" in section(text, "robusteval run")
    assert "    robusteval verify reports/RUN   " in section(text, "robusteval"), "lines that stay as they are"


def test_every_plugin_of_ours_is_there_with_each_of_its_parameters() -> None:
    texts = plugins.texts()
    rows = [entry for entry in discover().entries if entry.distribution == "robusteval" and not entry.broken]
    assert {entry.kind for entry in rows} == set(texts)
    assert set(plugins.TITLES) == set(KINDS)
    for entry in rows:
        part = section(texts[entry.kind], entry.name) if entry.kind != "suite" else texts["suite"]
        assert plain(entry.summary) in part
        if entry.kind != "suite":
            for name, rules in params_schema(entry.plugin)["properties"].items():
                assert re.search(rf"^\| `{name}` \|.*{re.escape(plain(rules['description']))}", part, re.MULTILINE)
    attacks = {entry.name: entry.plugin.info for entry in rows if entry.kind == "attack"}
    assert len(attacks) > 20
    for name, info in attacks.items():
        part = section(texts["attack"], name)
        assert f"| Norms | {', '.join(info.norms)} |" in part
        assert f"| Needs of the model | {info.needs} |" in part
        assert f"| Source | {plain(info.reference)} |" in part


def test_plugins_of_others_are_on_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the pages are the same wherever they are made."""
    assert plugins.ours("attack")
    monkeypatch.setattr(plugins, "OURS", "somebody-else")
    assert plugins.texts() == {}


def test_every_check_is_there_with_its_threshold() -> None:
    text = checks.text()
    for spec in (*CHECKS, *CERTIFIED):
        part = section(text, spec.id)
        assert all(plain(words) in part for words in (spec.title, spec.formula, spec.threshold, spec.why, spec.source))


def test_every_field_of_the_record_is_there() -> None:
    text = fields.text()
    for name, rules in fields.schema().items():
        part = section(text, name)
        assert re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE) == list(rules.get("properties", {}))
    links_to = set(re.findall(r"\]\(#(\w+)\)", text))
    assert links_to <= {name.lower() for name in fields.schema()}
    assert "| `tool` | object of string | yes | name, version |" in section(text, "Record")


def test_comments_of_fields_are_read_where_they_stand() -> None:
    assert fields.comments(Commented) == {"above": "above it, in two lines", "behind": "behind it", "without": ""}
    words = fields.comments(Cell)
    assert words["attack"] == "display name, unique in the suite"
    assert words["plugin"] == ""
    assert fields.comments(Record)["probes"].startswith("the same attacks with more steps"), "of several lines"
    assert set(words) == {item.name for item in fields_of(Cell)}


def test_the_pages_are_the_same_each_time() -> None:
    assert generated() == generated()


def test_what_looks_like_markup_is_none() -> None:
    assert plain("a|b <i> *c*\n[d](e) `f|g`") == r"a\|b \<i\> \*c\* \[d\](e) `f\|g`"
    assert table(("a", ""), []) == ""


def test_the_menu_has_every_page_once() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    menu = re.findall(r"([\w/-]+\.md)$", text[text.index("\nnav:") :], re.MULTILINE)
    there = [links.on_the_site(path) for path in links.sources()]
    assert sorted(menu) == sorted([*(path for path in there if path), *generated()])


@pytest.mark.parametrize("page", links.sources())
def test_links_lead_somewhere(page: str) -> None:
    """In the repository: to a file that is there, and to a heading that it has."""
    for link in links.links(page):
        path = ROOT / link.path
        assert path.exists(), f"{page}: {link.path}"
        if link.heading and path.suffix == ".md":
            assert link.heading in links.headings(path.read_text(encoding="utf-8")), f"{page}: {link}"


def test_links_are_as_the_site_has_them() -> None:
    text = "[a](docs/gates.md#b) [c](robusteval/) ![d](benchmarks/results/peers.svg) [e](https://e.org) [f](#g)\n"
    there = "[a](gates.md#b) {} ![d](pictures/benchmarks/results/peers.svg) [e](https://e.org) [f](#g)\n"
    assert links.rewritten(text, "README.md", "") == there.format("c")
    published = there.format("[c](https://x.org/r/tree/main/robusteval)")
    assert links.rewritten(text, "README.md", "https://x.org/r/") == published
    assert links.rewritten("[a](../method.md)", "docs/plugins/check.md", "") == "[a](../method.md)"
    assert links.rewritten("[a](docs/ci.md)", "CONTRIBUTING.md", "") == "[a](../ci.md)"
    code = "```\n[a](docs/gates.md)\n```\n    [a](docs/gates.md)\n"
    assert links.rewritten(code, "README.md", "") == code


@pytest.mark.skipif(
    importlib.util.find_spec("material") is None, reason="mkdocs-material is not installed (extra docs)"
)
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=quiet)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    home = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "reference/commands.html" in home
    assert not re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="https?:', home), "nothing is loaded from elsewhere"
