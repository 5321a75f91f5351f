"""Every field of the document of several models, changed one at a time: noticed, or listed as out of scope."""

from __future__ import annotations

import functools
import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from robusteval.errors import RobustEvalError
from robusteval.record import store
from robusteval.record.comparison import COMPARISON_FILE, from_json
from robusteval.verify import comparison as module
from robusteval.verify.parts.result import Verification
from robusteval.verify.scope import OF_COMPARISON
from tests.cli.conftest import CNN, INT8, ROOT
from tests.verify.mutations import matches, mutations

_DEFAULT = 120  # changes that are tried in the usual run of the tests
LIMIT = 0.2


@pytest.fixture
def asked(finished: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is wrong with a comparison's document, given as data, beside honest runs; each file is read once."""
    folder = finished[0]
    for name in ("read_tensors", "reopened"):
        kept: dict[Any, Any] = {}
        real = getattr(module, name)

        def once(path: Path, *more: Any, kept: dict[Any, Any] = kept, real: Any = real) -> Any:
            if path not in kept:
                kept[path] = real(path, *more)
            return kept[path]

        monkeypatch.setattr(module, name, once)
    monkeypatch.setattr(store, "load", functools.lru_cache(store.load))
    monkeypatch.setattr(module, "verify", lambda *_: Verification())
    monkeypatch.setattr(module, "check_comparison_page", lambda *_: None)

    def faults(data: dict[str, Any]) -> list[str]:
        try:
            found = from_json(json.dumps(data))
            return module.verify_comparison(found, folder, [CNN, INT8][: len(found.models)]).failures
        except RobustEvalError as error:
            return [error.message]

    return faults


def honest(finished: tuple[Path, str]) -> dict[str, Any]:
    return dict(json.loads((finished[0] / COMPARISON_FILE).read_text()))


def unnoticed(asked: Any, chosen: Any) -> list[str]:
    return [
        what
        for kind, what, data in chosen
        if not any(matches(kind, pattern) for pattern in OF_COMPARISON) and not asked(data)
    ]


def test_some_fields(asked: Any, finished: tuple[Path, str]) -> None:
    data = honest(finished)
    assert asked(data) == []
    every = list(mutations(data, 1, 3))
    matrix = [row for row in every if row[0].startswith(("transfer", "models"))]
    rest = [row for row in every if not row[0].startswith(("transfer", "models"))]
    assert unnoticed(asked, [*matrix, *random.Random(4).sample(rest, _DEFAULT)]) == []


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_every_field(asked: Any, finished: tuple[Path, str], part: int) -> None:
    assert unnoticed(asked, itertools.islice(mutations(honest(finished), 2, 5), part, None, 2)) == []


def done_by_nobody(matrix: dict[str, Any]) -> None:
    """The worst row goes without a trace."""
    matrix["sources"][0] |= {"status": "excluded", "reason": "it has no gradients", "answers": [], "unlawful": 0}


def without_file(matrix: dict[str, Any]) -> None:
    matrix["file"] = matrix["sha256"] = ""


def larger_budget(matrix: dict[str, Any]) -> None:
    """What withstands a small change seems to withstand a large one."""
    matrix["eps"] = LIMIT


def thrown_out(matrix: dict[str, Any]) -> None:
    matrix["sources"][0]["unlawful"] = 99


@pytest.mark.parametrize("forge", [done_by_nobody, without_file, larger_budget, thrown_out])
def test_a_matrix_that_looks_better_than_it_was(asked: Any, finished: tuple[Path, str], forge: Any) -> None:
    data = honest(finished)
    forge(data["transfer"])
    assert asked(data)


def test_models_are_there_once(asked: Any, finished: tuple[Path, str]) -> None:
    data = honest(finished)
    for models in ([], [data["models"][0]] * 2):
        assert "no models, or one of them twice" in asked(data | {"models": models, "transfer": None})[0]


def test_what_is_out_of_scope_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")
    for pattern, reason in OF_COMPARISON.items():
        assert f"| `{pattern}` | {reason} |" in text
