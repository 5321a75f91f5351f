"""Two finished runs on the same images: what changed, and whether that is more than chance."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robusteval.finished.paired import changes, proved, statistics
from robusteval.finished.paired.document import MedianChange, Outcome, Pair, PairedTest
from robusteval.finished.paired.runs import Finished, aligned, apart, nearest_said, same_images
from robusteval.finished.paired.statistics import SIGNIFICANT
from robusteval.metrics._common import columns
from robusteval.metrics._common.statistics import generator, median
from robusteval.record.units import NORM_TITLES, budget_text, norm_width

_TELLING = (0.05, 0.95)  # of a pooled accuracy: beyond it hardly an image can change


def pair(first: Finished, second: Finished) -> Pair:
    """What is said of two runs; where they are not comparable, why, and what can be said all the same."""
    names = (first.key, second.key)
    reasons = apart(first.record, second.record)
    if reasons:
        said = Pair(*names, "not comparable", f"{names[0]} and {names[1]} cannot be compared.", reasons)
        said.nearest = nearest_said(first, second)
        if same_images(first.record, second.record):
            second = aligned(first, second)
            said.images, said.tests = len(first.rows), [_clean(first, second)]
            _adjust(said.tests)
        return said
    second = aligned(first, second)
    made = Pair(*names, "undecided", "", images=len(first.rows))
    made.tests.append(_clean(first, second))
    for norm in columns.NORMS:
        _norm(first, second, norm, made)
    _adjust(made.tests)
    made.findings = changes.findings(first.record, second.record)
    made.proved, unsaid = proved.changes(first, second)
    made.notes += unsaid
    if first.record.seed != second.record.seed:
        made.notes.append(f"The seeds differ: {first.record.seed} and {second.record.seed}.")
    _conclude(made, first, second)
    return made


def worse(made: Pair) -> bool:
    """Whether some test that decides finds the second run worse."""
    return any(_found(test) and test.lost > test.won for test in made.tests)


def _clean(first: Finished, second: Finished) -> PairedTest:
    return _test("clean", "", 0.0, first.right, second.right, decides=True)


def _norm(first: Finished, second: Finished, norm: str, made: Pair) -> None:
    """One norm: a test at each budget that both asked about, medians, classes, and images that changed."""
    attacks = {cell.attack for cell in first.cells(norm)} & {cell.attack for cell in second.cells(norm)}
    for run, other in ((first, second), (second, first)):
        alone = sorted({cell.attack for cell in run.cells(norm)} - {cell.attack for cell in other.cells(norm)})
        if alone:
            made.notes.append(f"Only {run.key} finished {', '.join(alone)} in {norm}, so it does not count.")
    if not attacks:
        return
    before, after = first.distances(norm, attacks), second.distances(norm, attacks)
    budgets = _common(_budgets(first, norm, attacks), _budgets(second, norm, attacks))
    if budgets:
        aim = _deciding(budgets, before, after, columns.REFERENCE.get(norm, budgets[0]))
        for eps in budgets:
            made.tests.append(_at(norm, eps, before, after, decides=eps == aim))
        made.classes += changes.classes(first, norm, aim, before, after)
        listed, more = changes.images(first, norm, aim, before, after)
        made.changed += listed
        made.unlisted += more
    if columns.has_curve([cell for cell in first.cells(norm) if cell.attack in attacks]):
        made.medians.append(_medians(first, second, norm, before, after))


def _budgets(run: Finished, norm: str, attacks: set[str]) -> list[float]:
    """Budgets at which the run has a figure, as shares of the pixel range (l0: pixels)."""
    cells = [cell for cell in run.cells(norm) if cell.attack in attacks]
    width = norm_width(norm, run.record.model.bounds)
    return [eps / width for eps in columns.budgets(run.record, norm, cells)]


def _common(one: Sequence[float], two: Sequence[float]) -> list[float]:
    return [eps for eps in one if any(abs(eps - other) <= 1e-6 * eps for other in two)]


def _deciding(budgets: Sequence[float], before: NDArray[np.float64], after: NDArray[np.float64], usual: float) -> float:
    """The budget of the test that decides in a norm: the usual one, or where both models hold there on all images or on
    none, the one at which the two together are right most nearly half of the time.

    This looks at the sum of the two only. Under the hypothesis that is tested, a change either way has the same chance
    whatever the sum is, so the test keeps its level.
    """
    pooled = {eps: float(columns.beyond(np.stack([before, after]), eps).mean()) for eps in budgets}
    near = min(budgets, key=lambda eps: abs(eps - usual))
    if abs(near - usual) <= 1e-6 * usual and _TELLING[0] <= pooled[near] <= _TELLING[1]:
        return near
    return min(budgets, key=lambda eps: abs(pooled[eps] - 0.5))


def _at(norm: str, eps: float, before: NDArray[np.float64], after: NDArray[np.float64], decides: bool) -> PairedTest:
    return _test("robust", norm, eps, columns.beyond(before, eps), columns.beyond(after, eps), decides)


def _test(
    what: str, norm: str, eps: float, before: NDArray[np.bool_], after: NDArray[np.bool_], decides: bool
) -> PairedTest:
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    low, high = statistics.difference_interval(lost, won, before.size)
    return PairedTest(
        "clean" if what == "clean" else "robust", norm, eps, float(before.mean()), float(after.mean()), lost, won, low,
        high, statistics.mcnemar(lost, won), decides,
    )  # fmt: skip


def _adjust(tests: list[PairedTest]) -> None:
    """Fills in the adjusted p of the tests that decide."""
    deciding = [test for test in tests if test.decides]
    for test, p in zip(deciding, statistics.holm([test.p for test in deciding]), strict=True):
        test.p_adjusted = p


def _medians(
    first: Finished, second: Finished, norm: str, before: NDArray[np.float64], after: NDArray[np.float64]
) -> MedianChange:
    both = first.right & second.right
    one, two = before[both], after[both]
    said = MedianChange(norm, int(both.sum()), median(one), median(two))
    if said.first is None or said.second is None:
        return said
    bounds = statistics.median_change(one, two, generator(0, f"median/{norm}"))
    return said if bounds is None else dataclasses.replace(said, low=bounds[0], high=bounds[1])


def _found(test: PairedTest) -> bool:
    return test.decides and test.p_adjusted is not None and test.p_adjusted < SIGNIFICANT


def _conclude(made: Pair, first: Finished, second: Finished) -> None:
    """Outcome and sentence. Nothing is decided where an evaluation cannot be relied on, or nothing was attacked in
    both."""
    for run in (first, second):
        verdict = run.record.verdict
        if verdict is None or verdict.status != "conclusive":
            made.reasons.append(f"The evaluation of {run.key} is inconclusive.")
    if not any(test.what == "robust" for test in made.tests):
        made.reasons.append("No budget was searched in both.")
    found = [test for test in made.tests if _found(test)]
    down, up = [test for test in found if test.lost > test.won], [test for test in found if test.won > test.lost]
    if made.reasons:
        made.outcome = "undecided"
        made.sentence = f"Nothing is decided about {made.second} and {made.first}: {' '.join(made.reasons)}"
        return
    outcome: Outcome = "mixed" if down and up else "worse" if down else "better" if up else "no difference found"
    made.outcome = outcome
    shown = [_in_words(test) for test in (found or [test for test in made.tests if test.decides])]
    how = {"mixed": "is better in one and worse in another", "no difference found": "shows no difference"}
    made.sentence = f"{made.second} {how.get(outcome, f'is {outcome}')} than {made.first}: {'; '.join(shown)}."
    if outcome in how:
        made.sentence = f"{made.second} {how[outcome]} beside {made.first}: {'; '.join(shown)}."


def _in_words(test: PairedTest) -> str:
    where = "clean accuracy"
    if test.what == "robust":
        where = f"accuracy at {NORM_TITLES.get(test.norm, test.norm)} {budget_text(test.eps, test.norm)}"
    p = test.p if test.p_adjusted is None else test.p_adjusted
    return (
        f"{where} {100 * test.difference:+.1f} points (95 % {100 * test.low:+.1f} to {100 * test.high:+.1f}; "
        f"{test.lost} images lost, {test.won} won; p {p:.2g})"
    )
