"""Proved shares of two runs: compared on the same images by the same certifiers, and else refused with the reason."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from robusteval.finished.paired.compare import compare
from robusteval.finished.paired.document import Pair
from robusteval.finished.paired.page import proved, render
from robusteval.finished.paired.pairs import pair
from robusteval.metrics._common import columns
from robusteval.record.run import Certificate, Record
from tests.finished.made import run, shuffled, version

EPS = columns.BUDGETS["linf"][0]


def certified(record: Record, share: float, samples: list[int], certifier: str = "crown") -> Record:
    """The run with this share of its images proved a little beyond EPS, as far as no attack broke them."""
    right = np.asarray([a == b for a, b in zip(record.pipelines[0].prediction, record.data.labels, strict=True)])
    worst = np.min([cell.distance for cell in record.cells if cell.norm == "linf"], axis=0)  # type: ignore[arg-type]
    can = [sample for sample in samples if right[sample] and worst[sample] > 2 * EPS]
    done = set(can[: round(share * len(samples))])
    radius = [1.5 * EPS if sample in done else 0.0 for sample in samples]
    record.certificates = [Certificate(certifier, "1", {}, "linf", "done", "", samples, radius, 0.5)]
    return record


def said(first: Record, second: Record) -> Pair:
    return pair(run("old", first), run("new", second))


def test_the_change_is_counted_image_by_image() -> None:
    some = list(range(100))
    made = said(certified(version(1), 0.4, some), certified(version(1), 0.2, some))
    (row,) = made.proved
    assert (row.norm, row.eps, row.images) == ("linf", EPS, 100)
    assert (row.first, row.second, row.lost, row.won) == (0.4, 0.2, 20, 0)
    assert row.difference == pytest.approx(-0.2)
    assert row.low < row.difference < row.high < 0
    assert row.p < 1e-4
    assert made.outcome != "worse", "a proof that is lost decides nothing"
    assert not [note for note in made.notes if "proved" in note]
    table = proved(made)
    assert table is not None
    assert table.rows[0][4:6] == ["20", "0"]


def test_images_in_another_order_are_found() -> None:
    first, second = (certified(version(1), 0.4, list(range(500))) for _ in range(2))
    order = np.random.default_rng(3).permutation(500)
    moved = shuffled(version(1), 3)
    (row,) = second.certificates
    moved.certificates = [
        Certificate("crown", "1", {}, "linf", "done", "", list(range(500)), [row.radius[place] for place in order], 0.5)
    ]
    (change,) = said(first, moved).proved
    assert (change.lost, change.won) == (0, 0)
    assert change.first == change.second == 0.4


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (lambda: version(2), "only old has certificates there"),
        (lambda: certified(version(2), 0.2, list(range(50))), "100 and 50 images have certificates, of which 50"),
        (lambda: certified(version(2), 0.2, list(range(1, 101))), "of which 99 are the same"),
        (lambda: certified(version(2), 0.2, list(range(100)), "ibp"), "by other certifiers"),
    ],
)
def test_other_certificates_are_refused_with_the_reason(second: Callable[[], Record], why: str) -> None:
    made = said(certified(version(1), 0.4, list(range(100))), second())
    assert made.proved == []
    assert [note for note in made.notes if "How the proved share changed in linf is not said" in note and why in note]


def test_without_certificates_nothing_is_said_of_them() -> None:
    made = said(version(1), version(2))
    assert made.proved == []
    assert not [note for note in made.notes if "proved" in note]


def test_the_page_shows_them() -> None:
    some = list(range(100))
    runs = [run("old", certified(version(1), 0.4, some)), run("new", certified(version(2), 0.2, some))]
    assert "Proved to be right, new against old" in render(compare(runs))
