"""Shapes are checked while tests run, and only then."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from jaxtyping import TypeCheckError

from robusteval import ops
from robusteval.contracts.samples import Samples
from robusteval.engine.search.judge import is_win
from tests import shapes


def test_a_wrong_shape_is_an_error() -> None:
    with pytest.raises(TypeCheckError, match="parameter 'safe'"):
        ops.wins(torch.zeros(3, 10), torch.zeros(3, 9, dtype=torch.bool))
    with pytest.raises(TypeCheckError):
        is_win(torch.zeros(3), torch.zeros(3, 10, dtype=torch.bool))  # answers are whole numbers
    with pytest.raises(TypeCheckError):
        Samples(torch.zeros(3, 4), torch.zeros(2, dtype=torch.int64))


def test_a_wrong_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ops.LOSSES, "ce", lambda scores, safe: scores)
    with pytest.raises(TypeCheckError, match="return value"):
        ops.loss(torch.zeros(3, 10), torch.zeros(3, 10, dtype=torch.bool), "ce")


def test_the_first_calls_of_each_test_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "CALLS", 3)
    scores, safe, wrong = torch.zeros(3, 10), torch.zeros(3, 10, dtype=torch.bool), torch.zeros(3, 10).long()
    for _ in range(2):
        for _ in range(3):
            ops.wins(scores, safe)
        ops.wins(wrong, safe)  # a fourth call goes as it is
        with pytest.raises(TypeCheckError):
            ops.margin(wrong, safe)  # each function has calls of its own
        shapes.again()
        with pytest.raises(TypeCheckError):
            ops.wins(wrong, safe)
        shapes.again()


def test_without_tests_nobody_looks() -> None:
    code = (
        "import sys, torch; from robusteval import ops;"
        "ops.margin(torch.zeros(3, 10), torch.zeros(1, 10, dtype=torch.bool)); print('beartype' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_was_imported_before_is_said() -> None:
    with pytest.raises(RuntimeError, match=r"robusteval\.ops"):
        shapes.check()
