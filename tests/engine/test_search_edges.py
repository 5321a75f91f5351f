"""The search for the smallest distance, step by step on a line, where every number has a closed form."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor

from robusteval.api import Norm
from robusteval.engine.search.distance_search import LINE_STEPS, STRETCHES, Best
from robusteval.engine.search.judge import Judged
from tests.engine.plain import Rule, beyond, line, pulled, random_pipeline, sweep_of

# The nearest win so far


def found(distances: list[float], suspicion: float | None = None) -> Judged:
    distance = torch.tensor(distances, dtype=torch.float64)
    count = len(distances)
    won = torch.isfinite(distance)
    doubt = None if suspicion is None else torch.full((count,), suspicion)
    rejected = Counter({"not a win": int((~won).sum())})
    x = torch.where(won, distance, 0.0)[:, None]
    return Judged(x, won, distance, distance * 2, won.long(), doubt, rejected)


def test_no_win_is_the_clean_sample_at_infinity() -> None:
    x0 = line(2, 0.3)
    best = Best.none(x0)
    assert best.distance.tolist() == best.l2.tolist() == [torch.inf] * 2
    assert best.distance.dtype == best.l2.dtype == best.detector_score.dtype == torch.float64
    assert best.answer.tolist() == [-1, -1]
    assert best.answer.dtype == torch.int64
    assert best.detector_score.isnan().all()
    assert best.x.equal(x0)
    best.take(torch.tensor([0]), found([0.1]))
    assert x0.tolist() == [[0.3], [0.3]]  # the clean samples themselves stay
    assert best.distance[0] != best.l2[0]
    assert best.judged().won.tolist() == [True, False]


def test_only_what_is_nearer_takes_a_place() -> None:
    best = Best.none(line(3))
    best.take(torch.tensor([2, 0, 1]), found([0.5, 0.4, torch.inf], 0.25))
    assert best.distance.tolist() == [0.4, torch.inf, 0.5]
    assert best.l2.tolist() == [0.8, torch.inf, 1.0]
    assert best.x.tolist() == [[0.4], [0.0], [0.5]]
    assert best.answer.tolist() == [1, -1, 1]
    assert best.detector_score[[0, 2]].tolist() == [0.25, 0.25]
    assert best.rejected == {"not a win": 1}
    for factor in (1.0, 1.0001, 1.01, 1.02, 1.5):  # farther, however little, is no better
        best.take(torch.arange(3), found([0.4 * factor, torch.inf, 0.5 * factor], 0.75))
        assert best.distance.tolist() == [0.4, torch.inf, 0.5]
        assert best.detector_score[[0, 2]].tolist() == [0.25, 0.25]
    for factor in (0.9999, 0.99, 0.9):
        best.take(torch.arange(3), found([0.4 * factor, torch.inf, 0.6]))
        assert best.distance.tolist() == [0.4 * factor, torch.inf, 0.5]
        assert best.x.tolist() == [[0.4 * factor], [0.0], [0.5]]
    assert best.rejected == {"not a win": 9}
    known = best.judged()
    assert known.won.tolist() == [True, False, True]
    assert (known.x, known.distance, known.l2, known.answer) == (best.x, best.distance, best.l2, best.answer)
    assert (known.detector_score, known.rejected) == (best.detector_score, best.rejected)


# From a win towards the clean sample


@pytest.mark.parametrize("bar", [0.3, 0.5, 0.7311, 0.9])
def test_ten_halvings_towards_the_clean_sample(bar: float) -> None:
    one = sweep_of(beyond(bar), line())
    best = one.minimal(lambda rows, eps: line(1, 1.0))
    assert best.distance.item() == pulled(bar, 1.0)
    assert best.x.item() == best.l2.item() == best.distance.item()
    assert one.meter.forwards.tolist() == [LINE_STEPS] == [10]
    assert best.answer.tolist() == [1]
    assert best.rejected == {}


def test_a_win_on_the_boundary_stays_where_it_is() -> None:
    one = sweep_of(beyond(0.8 - 1e-6), line())
    best = one.minimal(lambda rows, eps: line(1, 0.8))
    assert best.distance.item() == 0.8
    assert best.rejected == {}


def test_the_way_from_a_clean_sample_that_is_not_zero_stays_in_the_box() -> None:
    x0 = line(1, 0.5)
    one = sweep_of(lambda x: ((x[:, 0] > 1.0) | (x[:, 0] < -0.25)).long(), x0, bounds=(-1.0, 2.0))
    best = one.minimal(lambda rows, eps: line(1, -1.0))
    assert best.x.item() == pytest.approx(0.5 - pulled(0.75, 1.5), abs=1e-12)
    best = one.minimal(lambda rows, eps: line(1, 2.0))
    assert best.x.item() == pytest.approx(0.5 + pulled(0.5, 1.5), abs=1e-12)


def test_samples_are_pulled_each_to_its_own_boundary() -> None:
    bars = (0.1, 0.2, 0.9)
    x0 = line(3, width=2)
    far = x0.clone()
    far[:, 0] = torch.tensor([0.5, 1.0, 0.8])  # the last one never wins, not even a little farther
    told: list[tuple[list[int], Tensor, list[bool]]] = []
    one = sweep_of(beyond(*bars), x0, settle=lambda *said: told.append((said[0].tolist(), said[1], said[2].tolist())))
    asked: list[tuple[list[int], Tensor | None]] = []

    def propose(rows: Tensor, eps: Tensor | None) -> Tensor:
        asked.append((rows.tolist(), eps))
        return far

    best = one.minimal(propose)
    assert asked == [([0, 1, 2], None)]
    assert told == [([0, 1, 2], far, [True, True, False])]
    assert best.distance.tolist() == pytest.approx([pulled(0.1, 0.5), pulled(0.2, 1.0), torch.inf], abs=1e-12)
    assert best.x[2].equal(x0[2])
    assert best.rejected == {"not a win": 1}
    assert one.meter.forwards.tolist() == [10, 10, 3]  # three points beyond the loser


def test_a_random_pipeline_is_pulled_on_one_draw_and_judged_by_the_majority() -> None:
    """The one draw of the line search wins anywhere; the majority only beyond .5, so the far win stays."""
    rules: list[Rule] = [beyond(0.5)] * 11 + [beyond(-1.0)] + [beyond(0.5)] * 11
    one, drawn = random_pipeline(rules)
    search = sweep_of(beyond(0.5), line(), subject=one)
    best = search.minimal(lambda rows, eps: line(1, 1.0))
    assert best.distance.item() == 1.0
    assert len(drawn) == 23
    assert best.rejected == {}  # the search's own points are not the plugin's


@pytest.mark.parametrize("norm", ["l2", "l0"])
def test_every_step_of_the_search_draws_from_the_run_s_generator(norm: Norm) -> None:
    """The draw refuses anything else; the bars make judge, nudges and line search all ask."""
    for bar in (0.3, 0.5005):
        for how in ("minimal", "given", "fixed"):
            one, drawn = random_pipeline([beyond(bar)])
            search = sweep_of(beyond(bar), line(), norm, subject=one)
            if how == "given":
                best = search.given(line(1, 0.5))
            else:
                best = (
                    search.minimal(lambda rows, eps: line(1, 0.5))
                    if how == "minimal"
                    else search.fixed(lambda rows, eps: line(1, 0.5), 1.0, 0)
                )
            assert best.distance.isfinite().item() is (how != "fixed" or bar < 0.5)
            assert len(drawn) >= 11


def test_where_the_detector_fires_on_the_way_back_nothing_is_won() -> None:
    """Class 1 beyond .1, rejected between .3 and .6."""
    doubt = lambda x: ((x[:, 0] > 0.3) & (x[:, 0] < 0.6)).double()  # noqa: E731
    best = sweep_of(beyond(0.1), line(), suspicion=doubt).minimal(lambda rows, eps: line(1, 1.0))
    assert best.distance.item() == pytest.approx(0.6, abs=1e-3)
    far = torch.tensor([[0.5, 0.4, 0.9]], dtype=torch.float64)
    doubt = lambda x: (x[:, 1] == 0).double()  # noqa: E731
    one = sweep_of(lambda x: (x[:, 0] > 0).long(), torch.zeros_like(far), "l0", suspicion=doubt)
    assert one.minimal(lambda rows, eps: far).x.tolist() == [[0.5, 0.4, 0.0]]


def test_the_detector_s_score_goes_with_the_nearest_win() -> None:
    one = sweep_of(beyond(0.3), line(), suspicion=lambda x: x[:, 0] / 4)
    best = one.minimal(lambda rows, eps: line(1, 1.0))
    assert best.detector_score.item() == pulled(0.3, 1.0) / 4


def test_on_a_grid_the_search_asks_for_points_of_the_grid() -> None:
    asked = []

    def rule(x: Tensor) -> Tensor:
        asked.extend(x[:, 0].tolist())
        return beyond(0.3)(x)

    best = sweep_of(rule, line(), levels=10).minimal(lambda rows, eps: line(1, 1.0))
    assert best.distance.item() == pytest.approx(0.4)
    assert {round(value * 10, 6) % 1 for value in asked} == {0.0}


# Candidates a hair on the wrong side


@pytest.mark.parametrize(("beyond_by", "passes"), [(1.001, 1), (1.009, 2), (1.049, 3), (1.0501, None), (0.999, 0)])
def test_a_candidate_that_loses_is_pushed_on_a_little(beyond_by: float, passes: int | None) -> None:
    one = sweep_of(beyond(0.4 * beyond_by), line())
    best = one.minimal(lambda rows, eps: line(1, 0.4))
    if passes is None:
        assert best.distance.item() == torch.inf
        assert one.meter.forwards.item() == 3
    else:
        reach = 0.4 * (1.0, 1.002, 1.01, 1.05)[passes]
        assert best.distance.item() == pytest.approx(min(reach, pulled(0.4 * beyond_by, reach)), abs=1e-12)
        assert one.meter.forwards.item() == passes + 10
    assert best.rejected == ({"not a win": 1} if passes != 0 else {})


def test_it_is_pushed_away_from_the_clean_sample_and_no_farther_than_the_box() -> None:
    one = sweep_of(lambda x: (x[:, 0] < 0.2985).long(), line(1, 0.8))
    assert one.minimal(lambda rows, eps: line(1, 0.2999)).distance.item() == pytest.approx(0.5015, abs=1e-3)
    one = sweep_of(beyond(0.9995), line())
    assert one.minimal(lambda rows, eps: line(1, 0.999)).x.item() == pytest.approx(1.0)  # 1.002 times is outside
    one = sweep_of(lambda x: (x[:, 0] < -0.9995).long(), line(), bounds=(-1.0, 1.0))
    assert one.minimal(lambda rows, eps: line(1, -0.999)).x.item() == pytest.approx(-1.0)


@pytest.mark.parametrize("candidate", [torch.nan, -0.5, 1.2, 0.25])
def test_what_is_unlawful_or_the_clean_sample_itself_is_not_pushed_on(candidate: float) -> None:
    """Anything but the clean sample would win."""
    x0 = line(2, 0.25, 2)
    one = sweep_of(lambda x: (x[:, 0] != 0.25).long() * (x[:, 1] < 0.05).long(), x0)
    far = x0.clone()
    far[0, 0] = candidate
    best = one.minimal(lambda rows, eps: far)
    assert best.distance.tolist() == [torch.inf] * 2
    assert one.meter.forwards.tolist() == [0, 0]


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_the_edges_of_the_box_are_lawful(edge: float) -> None:
    x0 = line(1, 0.5, 2)
    far = x0.clone()
    far[:, 0], far[:, 1] = edge, 0.4
    one = sweep_of(lambda x: (x[:, 1] > 0.403).long(), x0)
    assert one.minimal(lambda rows, eps: far).distance.isfinite().all()


def test_only_losers_are_pushed_on_until_they_win() -> None:
    x0 = line(3, width=2)
    far = x0.clone()
    far[:, 0] = 0.4
    one = sweep_of(beyond(0.3, 0.4005, 0.402), x0)
    best = Best.none(x0)
    one._nudge(best, far, torch.tensor([True, False, False]))
    unlawful = torch.cat([far, far[:1] + 2])
    wide = sweep_of(beyond(0.3, 0.4005, 0.402, 0.3), line(4, width=2))
    other = Best.none(wide.x0)
    wide._nudge(other, unlawful, torch.tensor([True, False, False, False]))  # one that is outside spoils no other
    assert other.distance.tolist() == pytest.approx([torch.inf, 0.4008, 0.404, torch.inf])
    assert best.distance.tolist() == pytest.approx([torch.inf, 0.4008, 0.404])
    assert one.meter.forwards.tolist() == [0, 1, 2]
    assert best.rejected == {}


# Adversarials of another pipeline


def test_given_candidates_are_tried_on_their_rays() -> None:
    x0 = line(5, width=2)
    far = x0.clone()
    far[:, 0] = torch.tensor([0.2, 0.3, 0.25, 0.0, 0.3], dtype=torch.float64)
    one = sweep_of(beyond(0.101, 0.311, 0.603, 0.5, 0.95), x0)
    best = one.given(far)
    assert best.distance.tolist() == pytest.approx(
        [pulled(0.101, 0.2), pulled(0.311, 0.33), pulled(0.603, 0.75), torch.inf, torch.inf], abs=1e-12
    )
    # one pass each for the judge, those beyond, and ten on the way back; nothing for a clean sample
    assert one.meter.forwards.tolist() == [1 + 10, 1 + 1 + 10, 1 + 5 + 10, 0, 1 + 5]
    assert STRETCHES == (1.1, 1.25, 1.5, 2.0, 3.0)
    assert best.rejected == {"not a win": 3}


def test_given_candidates_of_single_rows_and_of_none() -> None:
    x0 = line(2, width=2)
    far = x0.clone()
    far[1, 0] = 0.5
    best = sweep_of(beyond(0.1, 0.2), x0).given(far)
    assert best.distance.tolist() == pytest.approx([torch.inf, pulled(0.2, 0.5)])
    assert sweep_of(beyond(0.1, 0.2), x0).given(x0).distance.tolist() == [torch.inf] * 2
