"""What types cannot say of a record: each rule with the last value that it allows and the first that it does not."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Any, cast

import pytest

from robusteval.errors import RecordError
from robusteval.record.run import (
    Compared,
    Estimate,
    Picture,
    Planted,
    Record,
    Reference,
    ReferenceColumn,
    Result,
    Search,
    Strength,
    Witness,
    Witnesses,
)
from robusteval.record.sanity import check
from tests.engine.test_findings import N, cell, honest


def whole() -> Record:
    """One of everything, that makes sense."""
    record = honest()
    record.data.hashes = ["h"] * N
    record.data.available = 2 * N
    record.suite.norms = ["l0", "l1", "l2", "linf"]
    bare = record.pipelines[0]
    bare.label, bare.confidence = list(bare.prediction), [0.5] * N
    record.pipelines.append(
        dataclasses.replace(bare, defense="d", prediction=[0] * N, suspicion=[-1.0] * N, certified=[0.0] * N)
    )
    one = record.cells[1]
    one.l2, one.prediction, one.suspicion = [0.1] * N, [0] * N, [None] * N
    one.survives_8bit, one.member, one.by_target = [None] * N, [None] * N, [[0.0, None] for _ in range(N)]
    one.rejected, one.watched = {"not a win": 1}, {"met": 1}
    one.strengths = [Strength(1.0, 0.5, 0.5, [True] * N, [0] * N)]
    record.cells.append(cell("x", [], status="failed", id="failed", forwards=[], backwards=[]))
    judged = Strength(1.0, 0.5, 0.5, [True] * N, [0] * N, [0.1] * N)
    record.cells.append(cell("ddn", [], knowledge="oblivious", defense="d", id="obl", strengths=[judged]))
    record.probes = [cell("pgd", [0.1] * 8, id="probe", forwards=[1] * 8, backwards=[1] * 8)]
    record.probes[0].l2 = [0.1] * 8
    record.estimates = [Estimate("clever", "l2", {}, "done", "", [0, 5], [0.1, None], 5.0, [1, 1], [0.5, None])]
    record.planted = [
        Planted("l2", 0.25, {}, "done", "", [1, 2], [True, False], {"pgd": [True, True]}, {"pgd": "gradient"})
    ]
    record.searches = [Search("l2", 100, [3, 4], [0.1, 0.2], [0, 100])]
    column = ReferenceColumn([0.1, None], None)
    model = Reference("m", "", "f", "s", "none", "", {}, "A", [0, N - 1], [True, False], {"l2": column}, {"l2": column})
    record.references = [Compared("f", "s", True, "done", models=[model])]
    record.results = [Result("m", "n", "table", "t", columns=["a", "b"], rows=[[1, 2], [3, None]])]
    record.witnesses = Witnesses("w", "s", [Witness("t", 0, N - 1, "c", "none", "l2", 0.0, 0, 1)])
    record.gallery = [Picture(N - 1, "c", "a", "none", "l2", 0.1, 0, 0, 0.5, 1, 0.5, "", "", "")]
    return record


def test_a_record_that_makes_sense() -> None:
    check(whole())
    check(honest())


def _steps(path: str) -> list[str | int]:
    return [int(part) if part.isdigit() else part.strip("'") for part in re.findall(r"[^.\[\]]+", path)]


def _get(owner: Any, step: Any) -> Any:
    return getattr(owner, step) if isinstance(step, str) and not isinstance(owner, dict) else owner[step]


def at(record: Record, path: str) -> Any:
    """What stands at a path such as cells[1].eps or data.l2[3]."""
    return functools.reduce(_get, _steps(path), cast(Any, record))


def put(record: Record, path: str, value: object) -> None:
    *steps, last = _steps(path)
    owner: Any = functools.reduce(_get, steps, cast(Any, record))
    if isinstance(last, str) and not isinstance(owner, dict):
        setattr(owner, last, value)
    else:
        owner[last] = value


COLUMNS = [
    "data.labels", "data.l2", "data.hashes", "pipelines[0].prediction", "pipelines[0].label", "pipelines[0].confidence",
    "pipelines[1].suspicion", "pipelines[1].certified", "cells[1].distance", "cells[1].l2", "cells[1].prediction",
    "cells[1].suspicion", "cells[1].survives_8bit", "cells[1].member", "cells[1].by_target", "cells[1].forwards",
    "cells[1].backwards", "cells[1].strengths[0].fools_model", "cells[1].strengths[0].prediction",
    "cells[5].strengths[0].suspicion", "probes[0].l2", "probes[0].forwards",
]  # fmt: skip


@pytest.mark.parametrize("path", COLUMNS)
def test_columns_are_as_long_as_what_they_go_with(path: str) -> None:
    record = whole()
    put(record, path, at(record, path)[:-1])
    with pytest.raises(RecordError) as error:
        check(record)
    assert f" at {path}: it has " in error.value.message
    assert "changed after the run" in error.value.hint


@pytest.mark.parametrize(
    "path",
    [
        "data.hashes", "pipelines[0].label", "pipelines[0].confidence", "pipelines[1].suspicion",
        "pipelines[1].certified",
        "cells[1].l2", "cells[1].prediction", "cells[1].suspicion", "cells[1].survives_8bit", "cells[1].member",
        "cells[1].by_target", "cells[1].forwards", "cells[1].backwards", "cells[5].strengths[0].suspicion",
        "estimates[0].value", "estimates[0].target", "estimates[0].fit", "planted[0].random",
    ],
)  # fmt: skip
def test_columns_that_may_be_missing(path: str) -> None:
    record = whole()
    put(record, path, [])
    check(record)


@pytest.mark.parametrize(
    "path",
    ["data.labels", "data.l2", "pipelines[0].prediction", "cells[1].distance", "cells[1].strengths[0].fools_model"],
)
def test_columns_that_may_not(path: str) -> None:
    record = whole()
    put(record, path, [])
    with pytest.raises(RecordError):
        check(record)


@pytest.mark.parametrize(
    ("path", "allowed", "refused"),
    [
        ("model.bounds", [[0.0, 1e-9], [-1.0, 1.0]],
         [[], [0.0], [0.0, 1.0, 2.0], [1.0, 0.0], [1.0, 1.0], [0.0, float("nan")]]),
        ("model.classes", [2], [0, -1]),
        ("model.input_shape", [[1], [3, 1, 1]], [[0], [3, 0, 4], [-1]]),
        ("data.labels[3]", [0, 1], [2, -1]),
        ("data.l2[3]", [0.0, 5.0], [-0.1]),
        ("data.available", [0, 1], [-1]),
        ("data.fit_samples", [0, 1], [-1]),
        ("suite.norms", [[], ["linf"]], [["l3"], ["l2", ""], ["L2"]]),
        ("pipelines[0].prediction[3]", [-1, 0, 1, 2], [-2, 3]),
        ("pipelines[1].certified[3]", [0.0, 9.0], [-1e-9]),
        ("pipelines[0].confidence[3]", [0.0, 1.0, 1.0 + 1e-9], [-0.001, 1.001, float("nan")]),
        ("pipelines[0].unstable_again", [None, 0.0, 1.0], [-0.1, 1.1]),
        ("pipelines[0].unstable_batch", [None, 0.0, 1.0], [-0.1, 1.1]),
        ("pipelines[1].surrogate_agreement", [None, 0.0, 1.0], [-0.1, 1.1]),
        ("pipelines[1].defense", ["e"], ["none"]),
        ("cells[1].norm", ["l0", "l1", "l2", "linf"], ["l3", "", "LINF"]),
        ("probes[0].norm", ["linf"], ["x"]),
        ("cells[1].eps", [None, 0.0, 3.0], [-0.1, float("nan")]),
        ("cells[1].distance[3]", [None, 0.0, 9.0], [-1e-9]),
        ("cells[1].l2[3]", [None, 0.0, 9.0], [-1e-9]),
        ("cells[1].forwards[3]", [0, 9], [-1]),
        ("cells[1].backwards[3]", [0, 9], [-1]),
        ("cells[1].prediction[3]", [None, -1, 0], [-2]),
        ("cells[1].by_target[3]", [[0.0, 0.1], [None, None]], [[0.0], [0.0, 0.1, 0.2], [-0.1, 0.0]]),
        ("cells[1].zero_gradients", [0, 5], [-1]),
        ("cells[1].bad_gradients", [0, 5], [-1]),
        ("cells[1].rejected['not a win']", [0, 5], [-1]),
        ("cells[1].watched['met']", [0, 5], [-1]),
        ("cells[1].strengths[0].strength", [0.0, 1.0], [-1.0]),
        ("cells[1].strengths[0].mean_l2", [0.0, 1.0], [-1.0]),
        ("cells[1].strengths[0].mean_distance", [0.0, 1.0], [-1.0]),
        ("cells[1].id", ["other"], ["none/fgsm/l2", "probe"]),
        ("cells[4].distance", [[], [0.1] * N], [[0.1]]),
        ("cells[5].distance", [[]], [[0.1]]),
        ("probes[0].distance[3]", [None, 0.0], [-0.1]),
        ("probes[0].distance", [[0.1] * 8], [[0.1] * 7, [], [0.1] * (N + 1)]),
        ("estimates[0].samples", [[0, N - 1]], [[0, N], [-1, 0], [0]]),
        ("estimates[0].value", [[0.0, None]], [[-0.1, None], [0.1]]),
        ("estimates[0].target", [[0, 0]], [[0]]),
        ("estimates[0].fit", [[None, None]], [[None] * 3]),
        ("planted[0].samples", [[0, N - 1]], [[0, N], [0]]),
        ("planted[0].eps", [0.0], [-0.1]),
        ("planted[0].random", [[True, True]], [[True]]),
        ("planted[0].found['pgd']", [[True, True], []], [[True]]),
        ("searches[0].samples", [[0, N - 1]], [[0, N], [0]]),
        ("searches[0].hits", [[0, 0], [100, 100]], [[0, 101], [-1, 0], [0]]),
        ("searches[0].eps", [[0.0, 0.1]], [[-0.1, 0.1], [0.1]]),
        ("searches[0].draws", [100, 1000], [99, -1]),
        ("references[0].models[0].rows", [[0, 1]], [[0, N], [0]]),
        ("references[0].models[0].right", [[True, True]], [[True], []]),
        ("references[0].models[0].worst['l2'].distance", [[0.0, None]], [[0.1], [-0.1, None], []]),
        ("references[0].models[0].exact", [{}], [{"l2": ReferenceColumn([0.1], None)}]),
        ("results[0].rows[1]", [[1, 2], ["a", None]], [[1], [1, 2, 3], []]),
        ("witnesses.entries[0].sample", [0, N - 1], [-1, N]),
        ("witnesses.entries[0].row", [0, 9], [-1]),
        ("witnesses.entries[0].distance", [0.0, 9.0], [-0.1]),
        ("gallery[0].sample", [0, N - 1], [-1, N]),
        ("witnesses", [None], []),
    ],
)  # fmt: skip
def test_each_rule(path: str, allowed: list[Any], refused: list[Any]) -> None:
    for value in allowed:
        record = whole()
        put(record, path, value)
        check(record)
    for value in refused:
        record = whole()
        put(record, path, value)
        with pytest.raises(RecordError, match="makes no sense at"):
            check(record)


@pytest.mark.parametrize(
    ("path", "value", "where", "said"),
    [
        ("data.labels[3]", 2, "data.labels[3]", "no class 2 of 2"),
        ("data.l2[7]", -0.5, "data.l2[7]", "-0.5 is less than 0"),
        ("pipelines[1].prediction[4]", 3, "pipelines[1].prediction[4]", "no class 3 of 2"),
        ("cells[2].distance[9]", -2.0, "cells[2].distance[9]", "-2 is less than 0"),
        ("cells[1].by_target[5]", [0.0], "cells[1].by_target[5]", "1 entries for 2"),
        ("cells[2].distance", [0.1], "cells[2].distance", f"1 entries for {N} samples"),
        ("searches[0].hits", [101, 0], "searches[0].hits", "100 draws"),
        ("estimates[0].samples", [0, N], "estimates[0]", f"{N} of {N}"),
        ("results[0].rows[1]", [1], "results[0].rows[1]", "1 entries for 2 columns"),
        ("cells[3].norm", "l3", "cells[3].norm", "'l3' is no norm"),
        ("pipelines[1].defense", "none", "pipelines", "'none' is there twice"),
        ("probes[0].distance", [0.1] * (N + 1), "probes[0].distance", f"{N + 1} entries for {N} samples"),
        ("cells[2].eps", -1.0, "cells[2].eps", "-1 is no budget"),
        ("pipelines[1].unstable_again", 1.5, "pipelines[1]", "1.5 is no share"),
        ("cells[1].id", "probe", "cells", "'probe' is there twice"),
        ("model.bounds", [1.0], "model.bounds", "a low and a high end"),
        ("model.classes", 0, "model.classes", "there is no class"),
        ("model.input_shape", [1, 0], "model.input_shape[1]", "0 is less than 1"),
        ("data.labels[3]", -1, "data.labels[3]", "-1 is less than 0"),
        ("data.fit_samples", -1, "data[2]", "-1 is less than 0"),
        ("suite.norms", ["n" * 50], "suite.norms", f"'{'n' * 40}' is no norm"),
        ("cells[1].norm", "n" * 50, "cells[1].norm", f"'{'n' * 40}' is no"),
        ("pipelines[0].prediction[3]", -2, "pipelines[0].prediction[3]", "there is no class -2 of 2"),
        ("pipelines[1].certified[3]", -0.5, "pipelines[1].certified[3]", "-0.5 is less than 0"),
        ("cells[1].bad_gradients", -1, "cells[1][1]", "-1 is less than 0"),
        ("cells[1].prediction[3]", -2, "cells[1].prediction[3]", "-2 is less"),
        ("cells[1].by_target[3]", [0.0, -1.0], "cells[1].by_target[3][1]", "-1 is less than 0"),
        ("cells[1].strengths[0].mean_l2", -1.0, "cells[1].strengths[0][1]", "-1 is less than 0"),
        ("estimates[0].value", [None, -1.0], "estimates[0].value[1]", "-1 is less"),
        ("planted[0].eps", -1.0, "planted[0].eps[0]", "-1 is less"),
        ("searches[0].hits", [0, -1], "searches[0].hits[1]", "-1 is less"),
        ("estimates[0].target", [0], "estimates[0]", "a column has 1 entries for 2 samples"),
        ("references[0].models[0].rows", [0, N], "references[0].models, m", f"there is no sample {N} of {N}"),
        ("references[0].models[0].right", [], "references[0].models, m", "it has 0 entries for 2 samples"),
        ("references[0].models[0].worst['l2'].distance", [0.1], "references[0].models, m",
         "it has 1 entries for 2 samples"),
        ("references[0].models[0].worst['l2'].distance", [0.1, -1.0], "references[0].models, m[1]",
         "-1 is less than 0"),
        ("witnesses.entries[0].sample", N, "witnesses.entries[0]", f"there is no sample {N} of {N}"),
        ("witnesses.entries[0].row", -1, "witnesses.entries[0][0]", "-1 is less than 0"),
        ("gallery[0].sample", -1, "gallery[0]", f"there is no sample -1 of {N}"),
    ],
)  # fmt: skip
def test_the_place_and_the_reason_are_told(path: str, value: object, where: str, said: str) -> None:
    record = whole()
    put(record, path, value)
    with pytest.raises(RecordError) as error:
        check(record)
    assert f" at {where}: " in error.value.message
    assert said in error.value.message


def test_a_pipeline_that_failed_needs_no_answers() -> None:
    record = whole()
    record.pipelines[1] = dataclasses.replace(
        record.pipelines[1], status="failed", prediction=[], label=[], confidence=[], suspicion=[], certified=[]
    )
    check(record)
    record.pipelines[1].prediction = [0]
    with pytest.raises(RecordError):
        check(record)


def test_one_class_is_enough() -> None:
    record = whole()
    record.model.classes = 1
    record.data.labels = [0] * N
    for row in record.pipelines:
        row.prediction = [0] * N
    record.cells[1].by_target = [[0.0] for _ in range(N)]
    check(record)


def test_long_names_are_cut() -> None:
    record = whole()
    record.pipelines[0].defense = record.pipelines[1].defense = "d" * 81
    with pytest.raises(RecordError, match=f"at pipelines: '{'d' * 80}' is there twice"):
        check(record)
    record = whole()
    record.references[0].models[0].name = "m" * 41
    record.references[0].models[0].right = []
    with pytest.raises(RecordError, match=rf"at references\[0\].models, {'m' * 40}: "):
        check(record)
