"""A model whose own metadata are an attack on the report's reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import robusteval
from tests.e2e.models import EXAMPLES
from tests.report.browser import Look, launched, needs_chromium

EVIL = "<script>alert(1)</script>"
NAMES = [f'"><img src=x onerror=alert({number})>' for number in range(10)]

SUITE = """
name = "hostile"
version = "1"
norms = ["l2"]
samples = 40
probe_samples = 0
[[attack]]
plugin = "deepfool"
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    model = onnx.load(EXAMPLES / "fashion-cnn.onnx")
    model.graph.name = model.producer_name = model.doc_string = EVIL
    del model.metadata_props[:]
    for key, value in {"name": EVIL, "class_names": ",".join(NAMES), "dataset": "fashion-mnist"}.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, folder / "evil.onnx")
    (folder / "hostile.toml").write_text(SUITE)
    path = folder / "report.html"
    archive = np.load(EXAMPLES.parent / "robusteval" / "data" / "fashion_mnist.npz")
    data = (archive["x_test"][::10], archive["y_test"][::10])
    record = robusteval.evaluate(folder / "evil.onnx", data, str(folder / "hostile.toml"))
    assert record.model.name == EVIL
    path.write_text(record.to_html(), encoding="utf-8")
    return path


def test_the_name_is_shown_as_text(page: Path) -> None:
    html = page.read_text()
    assert EVIL not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


@pytest.mark.browser
@needs_chromium
def test_nothing_runs_nothing_is_asked_for_nothing_is_said(page: Path) -> None:
    with launched() as browser, Look(browser) as look:
        shown = look.open(page)
        assert shown.locator("figure.chart[data-drawn=yes]").count() > 0
        assert shown.locator("img[src=x]").count() == 0
        assert look.complaints == []
