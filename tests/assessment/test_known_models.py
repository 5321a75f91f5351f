"""The sentence about known models, figure by figure."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from robusteval.assessment import verdict
from robusteval.assessment.references.known_models import known_models
from robusteval.record.run import Finding, Record, Result
from tests.assessment.asking import numbers
from tests.engine.test_findings import N, cell, honest

COLUMNS = ["Model", "Role", "Images", "Accuracy at 0.125", "Low at 0.125", "High at 0.125"]


def table(*rows: list[Any], norm: str = "linf", eps: float | None = 0.125, name: str = "a", **more: Any) -> Result:
    tags = {"norm": norm, "eps": eps, "images": 100, "set": name}
    return dataclasses.replace(
        Result("references", "n", "table", "t", tags=tags, columns=list(COLUMNS), rows=[list(row) for row in rows]),
        **more,
    )


MINE = ["mine", "this", 100, 0.5, 0.25, 0.625]
TRAINED = ["pgd-trained", "reference", 100, 0.75, 0.5, 0.875]
MASKED = ["masked", "reference", 100, 0.125, 0.0, 0.25]
EXACT = ["masked, exact gradient", "exact", 100, 0.875, 0.5, 1.0]


def said(*results: Result) -> list[str]:
    record: Record = honest()
    record.results = list(results)
    return known_models(record)


def test_each_known_model_beside_this_one() -> None:
    (sentence,) = said(table(MINE, TRAINED, MASKED))
    assert sentence.startswith("Within Linf 0.125 it keeps 50.0 % (95 %: 25.0 to 62.5 %); ")
    assert "on the same 100 images" in sentence
    assert sentence.endswith("pgd-trained 75.0 %, masked 12.5 %.")


def test_what_has_to_be_known_about_a_model() -> None:
    (sentence,) = said(table(MINE, [*TRAINED[:1], "same", *TRAINED[2:]], [*MASKED[:2], 60, *MASKED[3:]], EXACT))
    assert "pgd-trained 75.0 % (this very file)" in sentence
    assert "masked 12.5 % (on 60 of them; though its own gradient would say 87.5 %)." in sentence
    (sentence,) = said(table(MINE, TRAINED, EXACT))  # of another model
    assert "gradient" not in sentence
    (sentence,) = said(table(MINE, MASKED, [*EXACT[:3], None, None, None]))
    assert "gradient" not in sentence
    (sentence,) = said(table(MINE, MASKED, [EXACT[0], "reference", *EXACT[2:]]))
    assert "its own gradient" not in sentence
    assert numbers(sentence)[-1] == 87.5  # a model of its own
    (sentence,) = said(table(MINE, MASKED, ["masked2, exact", *EXACT[1:]]))
    assert "gradient" not in sentence
    (sentence,) = said(table(MINE, MASKED, ["x, exact", *EXACT[1:]], EXACT))
    assert "87.5" in sentence


def test_models_without_the_figure_are_left_out() -> None:
    (sentence,) = said(table(MINE, [*TRAINED[:3], None, None, None], MASKED))
    assert sentence.endswith("under the same attacks, masked 12.5 %.")
    assert said(table(MINE, [*TRAINED[:3], None, None, None])) == []
    assert said(table(MINE)) == []
    assert said(table([*MINE[:3], None, 0.1, 0.2], TRAINED)) == []
    (sentence,) = said(table([*MINE[:4], None, None], TRAINED))
    assert "(95 %: nothing to nothing)" in sentence
    (sentence,) = said(table([*MINE[:3], 1, 0, 1], TRAINED))
    assert "it keeps 100.0 % (95 %: 0.0 to 100.0 %)" in sentence


def test_linf_is_quoted_first_and_then_the_first_set() -> None:
    other = table(MINE, MASKED, norm="l2", name="a")
    (sentence,) = said(other, table(MINE, TRAINED, name="b"))
    assert "pgd-trained" in sentence
    (sentence,) = said(other)
    assert sentence.startswith("Within L2 0.125")
    (sentence,) = said(table(MINE, MASKED, name="b"), table(MINE, TRAINED, name="a"), table(MINE, MASKED, name="c"))
    assert "pgd-trained" in sentence


@pytest.mark.parametrize(
    "wrong",
    [
        table(MINE, TRAINED, metric="other"), table(MINE, TRAINED, kind="curves"), table(MINE, TRAINED, eps=None),
        table(MINE, TRAINED, eps=1), table(),
    ],
)  # fmt: skip
def test_tables_of_another_kind_say_nothing(wrong: Result) -> None:
    assert said(wrong) == said() == []
    assert len(said(wrong, table(MINE, TRAINED))) == 1


def test_rows_fit_their_columns() -> None:
    with pytest.raises(ValueError, match="argument"):
        said(table(MINE, TRAINED[:-1]))


@pytest.mark.parametrize(
    ("norm", "eps", "bounds", "text"),
    [
        ("linf", 8 / 255, [0.0, 1.0], "Linf 8/255"), ("linf", 8 / 255, [-1.0, 1.0], "Linf 8/255"),
        ("linf", 8 / 255, [0.0, 255.0], "Linf 0.03137"), ("linf", 8 / 255, [-128.0, 127.0], "Linf 0.03137"),
        ("l2", 8 / 255, [0.0, 1.0], "L2 0.03137"), ("linf", 0.0, [0.0, 1.0], "Linf 0"),
    ],
)  # fmt: skip
def test_budgets_find_their_columns_and_are_written_as_everywhere(
    norm: str, eps: float, bounds: list[float], text: str
) -> None:
    columns = [name.replace("0.125", f"{eps:.10g}") for name in COLUMNS]
    record = honest()
    record.model.bounds = bounds
    record.results = [table(MINE, TRAINED, norm=norm, eps=eps, columns=columns)]
    (sentence,) = known_models(record)
    assert sentence.startswith(f"Within {text} it keeps 50.0 %")


def test_no_model_is_judged_by_the_answers_of_another() -> None:
    record: Record = honest()
    record.results = [table(MINE, TRAINED, MASKED)]
    assert any("reference models" in sentence for sentence in verdict.write(record).sentences)
    record.findings = [Finding("labels-from-model", "warning", "said", {}, "do")]
    assert not any("reference models" in sentence for sentence in verdict.write(record).sentences)


def test_a_set_says_how_far_attacks_with_gradients_looked() -> None:
    from robusteval.engine.references.build import _columns

    record = honest()
    cells = [cell("pgd", 0.4, eps=0.5), cell("square", 0.9, "scores", eps=6.0)]
    assert _columns(cells, [True] * N, record)["l2"].searched == 0.5
    assert _columns(cells[1:], [True] * N, record)["l2"].searched == 6.0
    assert _columns([*cells, cell("ddn", 0.3, eps=None)], [True] * N, record)["l2"].searched is None
