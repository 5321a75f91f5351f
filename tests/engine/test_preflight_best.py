"""Which suggestions of the preflight are told: those that luck does not explain, simple ones first."""

from __future__ import annotations

from robusteval.engine.preflight.clean_accuracy import Suggestion, best_of


def suggestion(accuracy: float, changes: int = 1) -> Suggestion:
    return Suggestion(f"{accuracy} by {changes}", "", "", accuracy, changes)


class TestBest:
    def test_what_luck_explains_is_no_suggestion(self) -> None:
        assert best_of([suggestion(0.6), suggestion(0.5)], 50, 100) == []
        assert best_of([suggestion(0.8)], 50, 100) == [suggestion(0.8)]

    def test_close_ones_are_all_given_and_poor_ones_are_not(self) -> None:
        found = best_of([suggestion(0.93), suggestion(0.7), suggestion(0.95)], 20, 100)
        assert found == [suggestion(0.95), suggestion(0.93)]

    def test_more_changes_must_be_worth_it(self) -> None:
        assert best_of([suggestion(0.9, 2), suggestion(0.9, 1)], 20, 100) == [suggestion(0.9, 1)]
        assert best_of([suggestion(0.94, 2), suggestion(0.9, 1)], 20, 100) == [suggestion(0.94, 2), suggestion(0.9, 1)]
