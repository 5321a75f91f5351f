"""The page for people who see little, or not at all: axe-core's rules, on what is folded too, in each way of looking at
it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from robusteval.record.run import Record
from robusteval.report import render
from tests.report.browser import Look, launched, needs_chromium

pytestmark = [pytest.mark.browser, needs_chromium]

GRAVE = ("serious", "critical")
PARTS = [
    ("plain", None),
    ("several", None),
    ("paired", None),
    ("doubtful", "#verdict"),
]  # what differs where a run is not to be relied on


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as one:
        yield one


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory, record: Record, page: str, several_page: str, paired_page: str
) -> dict[str, Path]:
    """A run's page, one of several models, one of finished runs, and one that is not to be relied on."""
    doubtful = copy.deepcopy(record)
    assert doubtful.verdict is not None
    doubtful.verdict.status, doubtful.verdict.grade = "inconclusive", "D"
    folder = tmp_path_factory.mktemp("accessible")
    made = {}
    pages = {"plain": page, "several": several_page, "paired": paired_page, "doubtful": render(doubtful)}
    for name, html in pages.items():
        made[name] = folder / f"{name}.html"
        made[name].write_text(html, encoding="utf-8")
    return made


def grave(page: Page, part: str | None = None) -> list[str]:
    """Each rule that axe-core finds violated at serious or critical impact, at how many places, and the first of
    them."""
    violations: list[dict[str, Any]] = Axe().run(page, part).response["violations"]
    return [
        f"{violation['id']} at {len(violation['nodes'])} places, such as {violation['nodes'][0]['html'][:200]}: "
        f"{violation['nodes'][0]['failureSummary']}"
        for violation in violations
        if violation["impact"] in GRAVE
    ]


@pytest.mark.parametrize(("name", "part"), PARTS)
@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1440, "light"), (390, "dark"),
        pytest.param(1440, "dark", marks=pytest.mark.long), pytest.param(390, "light", marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_no_grave_violation(
    browser: Browser, files: dict[str, Path], name: str, part: str | None, scheme: str, width: int
) -> None:
    with Look(browser, width, scheme) as look:
        page = look.open(files[name])
        look.unfold()
        assert grave(page, part) == []


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_no_grave_violation_on_paper(browser: Browser, files: dict[str, Path], name: str, part: str | None) -> None:
    """Also where the reader's screen is dark: paper is white."""
    with Look(browser, scheme="dark") as look:
        page = look.open(files[name])
        look.unfold()
        page.emulate_media(media="print")
        assert grave(page, part) == []


def test_a_faint_text_is_seen(browser: Browser, files: dict[str, Path]) -> None:
    """That the tests above can fail."""
    with Look(browser) as look:
        page = look.open(files["several"])
        page.evaluate("document.querySelector('h1').style.color = '#ccc'")
        (found,) = grave(page)
        assert found.startswith("color-contrast at 1 places")
