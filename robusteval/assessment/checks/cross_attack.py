"""Are the attacks as strong as they should be beside each other, and beside chance?"""

from __future__ import annotations

import math
from collections.abc import Iterator

from robusteval.assessment.checks.spec import Measured, Spec, graded, measured, pairs, percent
from robusteval.assessment.evidence.worst_case import envelope
from robusteval.record.run import Cell, Finding, Record

_CARLINI = "Carlini et al. 2019, On evaluating adversarial robustness"
_ATHALYE = "Athalye, Carlini, Wagner 2018, Obfuscated gradients give a false sense of security"
_TRAMER = "Tramer et al. 2020, On adaptive attacks to adversarial example defenses"
_BEYOND = 1.05  # distances closer together than this are the search's own resolution


def gap(strong: list[float], weak: list[float]) -> float:
    """Largest share by which accuracy under `weak` attacks is above that under `strong` ones, over all budgets.

    Distances per sample; wrong when clean (0) does not count. Budgets must differ by more than the search's resolution.
    """
    both = [(s, w) for s, w in zip(strong, weak, strict=True) if s != 0 and w != 0]
    budgets = [s for s, _ in both if math.isfinite(s)]
    if not both or not budgets:
        return 0.0
    return max(sum(w > _BEYOND * t for _, w in both) - sum(s > t for s, _ in both) for t in budgets) / len(both)


def _groups(record: Record) -> Iterator[tuple[str, str, list[Cell]]]:
    found = [cell for cell in record.done() if cell.knowledge != "oblivious"]
    for defense, norm in sorted({(cell.defense, cell.norm) for cell in found}):
        cells = [cell for cell in found if (cell.defense, cell.norm) == (defense, norm) and cell.threat == "curve"]
        if cells:
            yield defense, norm, cells


def _black_box(record: Record) -> Iterator[Measured]:
    for defense, norm, cells in _groups(record):
        white = [cell for cell in cells if cell.needs == "gradient"]
        black = [cell for cell in cells if cell.needs != "gradient"]
        if not white or not black:
            continue
        best_white, best_black = envelope(white), envelope(black)
        share = max(gap(best_black, best_white), 0.0)
        correct = [(w, b) for w, b in zip(best_white, best_black, strict=True) if w != 0]
        nearer = sum(b < 0.9 * w for w, b in correct) / max(len(correct), 1)
        sentence = (
            f"{percent(share)} of the samples ({defense}, {norm}); single samples where it came nearer: "
            f"{percent(nearer)}"
        )
        doubted = defense == "none" and record.model.gradients != "exact"  # what steers is not the model's own gradient
        outcome = graded(share, *((0.05, 0.1) if doubted else (0.1, 0.25)))
        row = measured(
            share,
            sentence,
            outcome,
            "black-box-stronger",
            f"At some budget a black-box attack takes {percent(share)} more of the samples than all white-box ones "
            f"together ({defense}, {norm}): gradients are masked, or the white-box attacks are weak.",
            "Do not believe the white-box figures of this pipeline; look for what hides the gradient.",
            {"share": share, "nearer": nearer},
            [cell.id for cell in cells],
        )
        if outcome == "pass" and nearer > 0.1:
            note = Finding(
                "black-box-nearer",
                "info",
                f"On {percent(nearer)} of the samples a black-box attack came nearer than every white-box one "
                f"({defense}, {norm}), but at no budget does it take more than {percent(share)} more of them: no sign "
                "of masked gradients.",
                {"share": share, "nearer": nearer},
                "The worst case takes the nearest of both; more steps for the white-box attacks may close the "
                "difference.",
            )
            row = Measured(share, sentence, "pass", note)
        yield row


def _one_step(record: Record) -> Iterator[Measured]:
    for norm in sorted({cell.norm for cell in record.cells}):
        cells = {cell.plugin: cell for cell in record.done(norm=norm, knowledge="none")}
        one = cells.get("fgsm")
        count = next((cells[name] for name in ("pgd", "apgd", "bim") if name in cells), None)
        if one is None or count is None:
            continue
        both = pairs(one, count)
        share = sum(a < 0.9 * b for a, b in both) / max(len(both), 1)
        yield measured(
            share,
            f"{percent(share)} of {len(both)} samples ({norm})",
            graded(share, 0.1, 0.3),
            "one-step-stronger",
            f"On {100 * share:.0f} % of the samples one step came nearer than many ({norm}).",
            "Gradients mislead beyond the first step: masked gradients or a bad step size.",
            cells=[one.id, count.id],
        )


def _random(record: Record) -> Iterator[Measured]:
    """Beside the attacks with gradients; where there are none, beside all others."""
    for defense, norm, cells in _groups(record):
        noise = [cell for cell in cells if cell.plugin == "noise"]
        others = [cell for cell in cells if cell.needs == "gradient"] or [cell for cell in cells if cell not in noise]
        if not noise or not others:
            continue
        share = max(gap(envelope(noise), envelope(others)), 0.0)
        yield measured(
            share,
            f"{percent(share)} of the samples ({defense}, {norm})",
            graded(share, 0.02, 0.1),
            "random-search-wins",
            f"At some budget random noise takes {percent(share)} more of the samples than the attacks ({defense}, "
            f"{norm}).",
            "An attack that noise beats does not follow the model: look for masked gradients or a broken attack.",
            cells=[cell.id for cell in (*noise, *others)],
        )


def _many_draws(record: Record) -> Iterator[Measured]:
    for search in record.searches:
        if not search.samples:
            continue
        share = sum(hits > 0 for hits in search.hits) / len(search.hits)
        yield measured(
            share,
            f"{sum(hits > 0 for hits in search.hits)} of {len(search.hits)} samples lost to {search.draws} draws "
            f"({search.norm})",
            graded(share, 0.0, 0.2),
            "noise-finds",
            f"Of {len(search.hits)} samples {search.draws} draws of noise, shorter than the nearest adversarial found, "
            f"fooled the model on {percent(share)} ({search.norm}).",
            "Adversarials are so common there that noise meets them, and the attacks did not: do not believe their "
            "distances.",
            {"share": share, "draws": search.draws},
        )


STRENGTH = (
    Spec(
        "one-step", "Many steps are stronger than one", f"{_CARLINI}; {_ATHALYE}",
        "samples for which fgsm came nearer than pgd by more than 10 % / samples lost to either, the worst norm",
        "warn: > 10 %, fail: > 30 %", "an iterative attack may repeat the single step, so it must not lose to it",
        "the suite has not both fgsm and pgd, apgd or bim in a norm", _one_step,
    ),
    Spec(
        "black-box", "No black box beats the white box", f"{_CARLINI}; {_ATHALYE}",
        "largest difference, over all budgets, of the accuracy under all white-box attacks and under all black-box "
        "ones",
        "warn: > 10 %, fail: > 25 %; on a bare model whose gradients are not exact warn: > 5 %, fail: > 10 %",
        "single samples go either way, for instance in L2 on a model trained against Linf; with masked gradients whole"
        " budgets do, where accuracies differ by half or more",
        "no pipeline was attacked both with and without gradients in a norm", _black_box,
    ),
    Spec(
        "random-search", "Random search does not beat the attacks", f"{_CARLINI}; {_ATHALYE}",
        "the same difference between the attacks with gradients and the noise attack",
        "warn: > 2 %, fail: > 10 %", "noise has no idea of the model, so nothing should be left for it",
        "the suite has no noise attack beside another", _random,
    ),
    Spec(
        "noise-draws", "Draws of noise find nothing nearer", _CARLINI,
        "samples fooled by any of the suite's points at 0.9 of the nearest distance found (where none was found: at a "
        "quarter of the largest budget) / samples searched",
        "warn: any, fail: > 20 %",
        "noise that meets an adversarial where the attack saw none shows that it did not look",
        "the suite asks for no such search (noise_draws)", _many_draws,
    ),
)  # fmt: skip
