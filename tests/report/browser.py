"""The machine's own Chromium, driven by Playwright: nothing is downloaded, and nothing but the page is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, ViewportSize, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@contextmanager
def launched() -> Iterator[Browser]:
    """One browser. Without its sandbox, which root may not have: the pages are our own, or must do no harm anyway."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False)
        try:
            yield browser
        finally:
            browser.close()


class Look:
    """A page as one reader sees it, and all that it said, did and asked for meanwhile. Below 640 pixels it is a
    phone's."""

    def __init__(self, browser: Browser, width: int = 1280, scheme: str = "light", scripts: bool = True) -> None:
        size = ViewportSize(width=width, height=900)
        dark: Literal["dark", "light"] = "dark" if scheme == "dark" else "light"
        self._context = browser.new_context(
            viewport=size, color_scheme=dark, is_mobile=width < 640, java_script_enabled=scripts
        )
        self.page: Page = self._context.new_page()
        self.complaints: list[str] = []
        self._own = ""
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("dialog", self._asked_the_reader)
        self.page.on("request", self._asked)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def open(self, path: Path) -> Page:
        """Loads a file and waits until all charts in sight have been drawn or have failed."""
        self._own = path.as_uri()
        self.page.goto(self._own)
        self.settle()
        return self.page

    def settle(self) -> None:
        """Waits for the charts that are laid out: what is folded, or on another tab, is drawn once it is looked at."""
        self.page.wait_for_function(
            "[...document.querySelectorAll('figure.chart:not([data-drawn]) .chart-live')].every(e => !e.clientWidth)"
        )

    def unfold(self) -> None:
        """Opens all that is folded, and waits for its charts."""
        self.page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
        self.page.wait_for_timeout(50)
        self.settle()

    def _said(self, message: ConsoleMessage) -> None:
        self.complaints.append(f"console: {message.text}")

    def _asked_the_reader(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _asked(self, request: Request) -> None:
        if request.url != self._own and not request.url.startswith("data:"):
            self.complaints.append(f"request: {request.url}")
