"""The page of runs that are held against each other: all of it in one file, and texts of strangers stay texts."""

from __future__ import annotations

import base64
import re

import numpy as np
import pytest

from robusteval.assessment.evidence.pictures import png
from robusteval.finished.paired.compare import compare
from robusteval.finished.paired.document import ChangedImage, FindingChange
from robusteval.finished.paired.page import render
from tests.finished.made import run, version
from tests.report.conftest import EVIL

PNG = base64.b64encode(png(np.zeros((2, 2), np.uint8))).decode()


@pytest.fixture(scope="module")
def page() -> str:
    odd = version(3)
    odd.suite.attacks_sha256 = "ee" * 32
    return render(compare([run("old", version(1)), run("new", version(2, lost=25)), run("odd", odd)]))


def test_the_answer_comes_first(page: str) -> None:
    assert re.findall(r'<section id="([^"]+)"', page) == [
        "answer", "curves", "pair-1", "pair-2", "provenance", "definitions",
    ]  # fmt: skip
    answer = page[page.index('id="answer"') : page.index('id="curves"')]
    assert re.search(r'<article class="finding alarm">\s*<p[^>]*><span class="tag">worse</span>', answer)
    assert re.search(r"new is worse than old: .*accuracy at Linf 8/255 -[45]\.\d points", answer)
    assert "old and odd cannot be compared." in answer
    assert "Both ran the suite quick 1, with other attacks" in answer


def test_a_chart_a_norm_with_a_line_a_run(page: str) -> None:
    assert page.count('<figure class="chart"') == 2
    assert len(re.findall(r'<img class="chart-static" src="data:image/svg', page)) == 2


def test_it_asks_nothing_of_the_network(page: str) -> None:
    body = page[: page.index("<footer>")]
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', body)


def test_texts_of_strangers_stay_texts() -> None:
    first, second = version(1), version(2, lost=25)
    for record in (first, second):
        record.model.name = record.model.file = record.suite.name = record.data.name = EVIL
        record.model.class_names = [EVIL] * 10
        record.data.names = [EVIL] * len(record.data.labels)
    made = compare([run(EVIL, first), run(f"{EVIL}2", second)])
    pair = made.pairs[0]
    pair.notes = pair.reasons = pair.nearest = [EVIL]
    pair.findings = [FindingChange("finding", EVIL, EVIL, EVIL, EVIL)]
    pair.changed = [ChangedImage("linf", "lost", 0, EVIL, EVIL, 0.1, None, PNG, f'"><script>{EVIL}')]
    text = render(made)
    assert "<script>window.pwned" not in text
    assert "<img src=x" not in text
    assert "{{7*7}}" in text, "it is shown as it is"
    assert text.count('class="shot"') == 1
    assert "Adversarial image" not in text, "what is no PNG is no picture"
