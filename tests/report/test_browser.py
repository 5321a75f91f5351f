"""The page in a real browser: it draws, it runs nothing that was injected, it asks nobody for anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.report.cdp import Browser, chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    one = Browser(tmp_path_factory.mktemp("profile"))
    yield one
    one.close()


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory, page: str, hostile_page: str, several_page: str, hostile_several: str
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    pages = {"plain": page, "hostile": hostile_page, "several": several_page, "hostile-several": hostile_several}
    made = {name: folder / f"{name}.html" for name in pages}
    for name, path in made.items():
        path.write_text(pages[name], encoding="utf-8")
    return made


def complaints(browser: Browser) -> list[str]:
    """Console messages, exceptions, and requests for anything but the page itself."""
    bad = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    found = [str(event["params"]) for event in browser.events if event.get("method") in bad]
    asked = [
        event["params"]["request"]["url"]
        for event in browser.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    return (
        found
        + [url for url in asked if not url.startswith(("data:", "file:"))]
        + [url for url in asked if url.count("file:") > 1]
    )


@pytest.mark.parametrize("name", ["plain", "hostile", "several", "hostile-several"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_draws_and_stays_silent(browser: Browser, files: dict[str, Path], name: str, width: int, scheme: str) -> None:
    browser.events.clear()
    browser.look(width, scheme=scheme)
    browser.open(files[name])
    charts = browser.evaluate("document.querySelectorAll('figure.chart').length")
    drawn = browser.evaluate("document.querySelectorAll('figure.chart[data-drawn=yes] .chart-live svg path').length")
    assert charts >= 8
    assert drawn > 4 * charts
    assert complaints(browser) == []
    assert browser.evaluate("typeof window.pwned") == "undefined"
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("[...document.images].filter(i => i.complete && i.naturalWidth === 0).length") == 0


def test_legend_and_tooltip_answer(browser: Browser, files: dict[str, Path]) -> None:
    browser.look(1280)
    browser.open(files["hostile"])
    box = browser.evaluate(
        "(() => { const f = document.querySelector('figure.chart'); f.scrollIntoView({block: 'start', behavior: 'instant'});"
        " const marks = [...f.querySelectorAll('.mark-symbol.role-mark path')];"
        " const b = marks[Math.floor(marks.length / 3)].getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    browser.call("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": box[0], "y": box[1]})
    shown = "document.querySelector('#vg-tooltip-element.visible') && document.querySelector('#vg-tooltip-element').textContent"
    browser.wait(lambda: bool(browser.evaluate(shown)), 10)
    assert "window.pwned" in browser.evaluate(shown)
    lines = "[...document.querySelector('figure.chart').querySelectorAll('.mark-line path')]"
    faint = f"{lines}.filter(p => p.getAttribute('opacity') === '0.1').length"
    assert browser.evaluate(faint) == 0
    spot = browser.evaluate(
        "(() => { const b = document.querySelector('figure.chart .role-legend-label text').getBoundingClientRect();"
        " return [b.x + 5, b.y + b.height / 2]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        where = {"type": kind, "x": spot[0], "y": spot[1], "button": "left", "clickCount": 1}
        browser.call("Input.dispatchMouseEvent", where)
    browser.wait(lambda: browser.evaluate(faint) > 0, 10)
    assert browser.evaluate("typeof window.pwned") == "undefined"


def test_the_policy_stops_an_injected_script(browser: Browser, files: dict[str, Path], tmp_path: Path) -> None:
    injected = tmp_path / "injected.html"
    text = files["plain"].read_text(encoding="utf-8")
    injected.write_text(text.replace("</main>", "<script>window.pwned=1</script></main>"), encoding="utf-8")
    browser.open(injected)
    assert browser.evaluate("typeof window.pwned") == "undefined"


def test_without_scripts_the_still_pictures_show(browser: Browser, files: dict[str, Path]) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.call("Page.navigate", {"url": files["plain"].as_uri()})
        seen = "[...document.querySelectorAll('img.chart-static')].filter(i => i.naturalWidth > 0 && i.offsetWidth > 0).length"
        browser.wait(lambda: browser.evaluate("document.readyState") == "complete" and browser.evaluate(seen) >= 9)
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", {"value": False})
