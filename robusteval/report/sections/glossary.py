"""The words that the report uses, defined."""

from __future__ import annotations

DEFINITIONS: tuple[tuple[str, str], ...] = (
    (
        "Accuracy under attack",
        (
            "Share of all images that are right when clean and are not lost at a distance up to the budget. "
            "Images wrong when clean count as lost at distance 0."
        ),
    ),
    (
        "Worst case",
        (
            "Every image is judged by the attack that needed the smallest distance for it. No attack proves that "
            "there is no smaller one, so this is an upper bound on the true accuracy."
        ),
    ),
    (
        "L2, L\u221e, L1, L0",
        (
            "Size of the change: root of the summed squares, largest change of any value, summed absolute "
            "changes, number of pixels changed. In units of the stated input range, before any normalisation."
        ),
    ),
    (
        "\u03c1 adv",
        (
            "Mean of the perturbation's L2 size divided by the image's L2 size, over the images for which an "
            "adversarial was found, always with that coverage."
        ),
    ),
    (
        "Bare, oblivious, adaptive",
        (
            "Bare: the attack faces the model alone. Oblivious: the attack was made on the bare model and then "
            "shown to the defended one. Adaptive: the attack goes through the defence."
        ),
    ),
    (
        "Detector ROC",
        (
            "Negatives are clean images that the model gets right; positives are adversarials that fool it. AUC: "
            "chance that a positive looks more suspicious than a negative, ties count half. A detection rate "
            "without its false alarms says nothing."
        ),
    ),
    (
        "Success, median and mean distance",
        (
            "Success: share of the images right when clean that were lost. Median: the smallest distance at which at "
            "least half of them are lost (of an even number the lower of the middle two; an image never lost counts as "
            "infinite), and a dash where more than half were never lost. The mean is over the lost ones only."
        ),
    ),
    (
        "Intervals",
        (
            "95 %: Clopper-Pearson for shares, bootstrap over images for the rest. They cover the choice of "
            "images, not attacks that were never tried."
        ),
    ),
    (
        "Known models",
        (
            "Models whose making is known, under the same attacks on the same images. What exact gradients report of a "
            "gradient-masked one is false: the gradient of such a model leads nowhere, so its attacks stand still."
        ),
    ),
    (
        "Evaluation quality",
        (
            "How far the evaluation itself can be relied on, A to F, from its checks and findings; also called trust "
            "grade. It is not a grade for the model."
        ),
    ),
    (
        "Fragile, partly robust, robust",
        (
            "Of the answers that are right without an attack: fewer than 50 % are left standing at the budget that is "
            "quoted, 80 % or more by the lower end of the 95 % interval, or between the two. The weakest norm decides."
        ),
    ),
    (
        "Clean accuracy",
        "Share of all images that are right without an attack. An input that a detector rejects counts as wrong.",
    ),
    (
        "Wins that survive 8 bits",
        (
            "Of the attack's wins, those that still fool the model when each value is rounded to one of 256 levels, as "
            "in an image file."
        ),
    ),
)

# Which definition a name of a column, a tile or a part goes with: by how it begins.
_TERMS = {
    "Accuracy under attack": "Accuracy under attack",
    "Accuracy at": "Accuracy under attack",
    "Adaptive attacker": "Bare, oblivious, adaptive",
    "Oblivious attacker": "Bare, oblivious, adaptive",
    "AUC": "Detector ROC",
    "Clean accuracy": "Clean accuracy",
    "Coverage": "\u03c1 adv",
    "Evaluation quality": "Evaluation quality",
    "Found at": "Detector ROC",
    "Grade": "Evaluation quality",
    "How robust": "Fragile, partly robust, robust",
    "Mean distance": "Success, median and mean distance",
    "Median distance": "Success, median and mean distance",
    "Norm": "L2, L\u221e, L1, L0",
    "Success": "Success, median and mean distance",
    "Wins that survive": "Wins that survive 8 bits",
    "\u03c1 adv": "\u03c1 adv",
    "\u2264": "Accuracy under attack",
}


def term(name: str) -> int:
    """The number of the definition that a name goes with; -1 where there is none."""
    known = next((word for start, word in _TERMS.items() if name.startswith(start)), "")
    return next((number for number, (word, _) in enumerate(DEFINITIONS) if word == known), -1)
