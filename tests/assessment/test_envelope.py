"""The worst case and its median, in closed form."""

from __future__ import annotations

import math

import pytest

from robusteval.assessment.envelope import envelope, envelope_of, median_loss
from tests.engine.test_findings import cell, honest

INF = math.inf


def test_the_worst_case_is_the_smallest_distance_of_each_sample():
    cells = [cell("a", [0.5, None, 0.0, 3.0]), cell("b", [0.4, None, 0.0, None]), cell("c", [0.6, None, 0.0, 2.0])]
    assert envelope(cells) == [0.4, INF, 0.0, 2.0]
    assert envelope(cells[:1]) == [0.5, INF, 0.0, 3.0]
    assert envelope([]) == []


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        envelope([cell("a", [0.5, 1.0]), cell("b", [0.5])])


def test_only_finished_attacks_that_know_the_pipeline_count():
    record = honest()
    record.cells = [
        cell("a", [0.5, 0.5]),
        cell("b", [0.1, 0.1], status="failed"),
        cell("c", [0.1, 0.1], norm="linf"),
        cell("d", [0.1, 0.1], defense="d", knowledge="adaptive"),
        cell("e", [0.1, 0.1], knowledge="oblivious"),
        cell("f", [0.4, 0.6], knowledge="adaptive"),
    ]
    assert envelope_of(record, "l2", "none") == [0.4, 0.5]
    assert envelope_of(record, "linf", "none") == [0.1, 0.1]
    assert envelope_of(record, "l2", "d") == [0.1, 0.1]
    assert envelope_of(record, "l1", "none") == []


@pytest.mark.parametrize(
    ("distances", "expected"),
    [
        ([], 0.0),
        ([0.0, 0.0], 0.0),
        ([0.3], 0.3),
        ([0.3, 0.1], 0.1),  # at .1 half of them are lost
        ([0.3, 0.1, 0.2], 0.2),
        ([0.4, 0.3, 0.1, 0.2], 0.2),
        ([0.0, 0.3, 0.1, 0.2, 0.0], 0.2),  # wrong when clean does not count
        ([INF, 0.1], 0.1),
        ([INF, INF, 0.1], INF),
        ([1e-9, 0.5, 0.6], 0.5),
    ],
)
def test_the_median_is_where_half_of_the_right_ones_are_lost(distances, expected):
    assert median_loss(distances) == expected
