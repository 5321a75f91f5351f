"""The page of several models: figures where they belong, links only to folders beside it, the same bytes each time."""

from __future__ import annotations

import re

import pytest

from robusteval.assessment.references.several import derive
from robusteval.report.comparison_page import render_comparison, sentences
from tests import comparisons, records, references
from tests.report.conftest import EVIL
from tests.sure import number


def test_every_section_is_there(several_page: str) -> None:
    assert re.findall(r'<section id="([^"]+)"', several_page) == [
        "models",
        "transfer",
        "worst",
        "attacks",
        "provenance",
        "definitions",
    ]


def test_the_same_comparison_gives_the_same_page(several_page: str) -> None:
    assert render_comparison(comparisons.make()) == several_page


def test_the_matrix_shows_shares_counts_and_gaps(several_page: str) -> None:
    table = several_page[several_page.index('id="transfer"') : several_page.index('id="worst"')]
    cells = re.findall(r'class="num heat-(\d+)">(\d+) %<span class="below">(\d+) of (\d+)</span>', table)
    assert len(cells) == 6
    for level, share, hits, counted in cells:
        assert int(share) == round(100 * int(hits) / int(counted))
        assert int(level) == round(10 * int(hits) / int(counted))
    assert "robust-lenet is no source: excluded, the attack needs gradients" in table


def test_an_inconclusive_model_is_named_and_left_out_of_the_ranking(several_page: str) -> None:
    assert "INCONCLUSIVE for robust-lenet" in several_page
    made = comparisons.make()
    assert all("robust-lenet" not in sentence for sentence in sentences(made))
    made.models[2].grade = "A"
    assert "INCONCLUSIVE" not in render_comparison(made)


def test_every_attack_has_a_chart_with_a_line_for_each_model(several_page: str) -> None:
    made = comparisons.make()
    curves = [result for result in made.results if result.kind == "curves"]
    assert {(chart.tags["attack"], chart.tags["norm"]) for chart in curves} >= {
        ("", "l2"),
        ("", "linf"),
        ("PGD", "l2"),
        ("PGD", "linf"),
    }
    assert all([curve.label for curve in chart.curves] == list(comparisons.KEYS) for chart in curves)
    assert several_page.count('<figure class="chart"') == len(curves)


def test_distances_are_shares_of_each_models_range() -> None:

    narrow, wide = records.make(40), records.make(40)
    wide.model.bounds = [0.0, 255.0]
    for cell in wide.cells:
        cell.distance = [None if distance is None else 255 * distance for distance in cell.distance]
        cell.eps = None if cell.eps is None else 255 * cell.eps
    pairs = [("a", records.with_results(narrow)), ("b", records.with_results(wide))]
    for result in derive(pairs):
        if result.kind == "curves":
            first, second = ([(round(p.x, 9), p.y) for p in curve.points] for curve in result.curves)
            assert first == second
        else:
            columns = [name for name in result.titles() if name.startswith(("Median", "Budget", "Accuracy"))]
            rows = [dict(zip(result.titles(), row, strict=True)) for row in result.rows]
            for name in columns:
                assert abs(number(rows[0][name]) - number(rows[1][name])) < 1e-9


def test_hostile_names_stay_text_and_make_no_link(hostile_several: str) -> None:
    assert EVIL not in hostile_several
    assert "<script>window.pwned" not in hostile_several
    assert "<img src=x" not in hostile_several
    links = set(re.findall(r'href="([^"]*)"', hostile_several))
    assert {link for link in links if not link.startswith("#")} == {"lenet/report.html", "robust-lenet/report.html"}


def test_nothing_comes_from_outside(several_page: str) -> None:
    assert "default-src &#39;none&#39;" in several_page
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', several_page)


def test_each_model_stands_among_the_known_ones() -> None:
    made = [records.with_results(references.beside(records.make(40, seed))) for seed in range(2)]
    for record in made:
        record.references[0].sha256 = "12" * 32
    made[1].model.bounds = [0.0, 255.0]
    for cell in made[1].cells:
        cell.distance = [
            None if value is None else 255 * value if cell.norm != "l0" else value for value in cell.distance
        ]
        cell.eps = None if cell.eps is None else 255 * cell.eps
    made[1] = records.with_results(made[1])
    comparison, keys = comparisons.make(), comparisons.KEYS[:2]
    comparison.results = derive(list(zip(keys, made, strict=True)))
    tables = {result.tags["norm"]: result for result in comparison.results if result.tags.get("role") == "known"}
    assert set(tables) == {"l2", "linf"}
    for norm, table in tables.items():
        rows = {str(row[0]): dict(zip(table.titles(), row, strict=True)) for row in table.rows}
        assert tuple(rows)[:2] == keys
        assert {"weak", "strong", "masked"} <= set(rows)
        for key, record in zip(keys, made, strict=True):
            own = next(
                result
                for result in record.results
                if result.metric == "references" and result.kind == "table" and result.tags["norm"] == norm
            )
            mine = dict(zip(own.titles(), own.rows[0], strict=True))
            width = record.model.bounds[1] - record.model.bounds[0]
            assert rows[key]["Median distance"] == pytest.approx(number(mine["Median distance"]) / width)
            assert rows[key]["Clean accuracy"] == mine["Clean accuracy"]
            assert rows[key]["Trust grade"] == (record.verdict.grade if record.verdict else None)
    page = render_comparison(comparison)
    section = page[page.index('id="known"') : page.index('id="worst"')]
    assert section.count("<table") == 2
    for name in ("weak", "strong", "masked"):
        assert name in section
    assert 'href="lenet/report.html"' in section


def test_models_that_no_set_fits_have_no_such_section(several_page: str) -> None:
    assert 'id="known"' not in several_page
