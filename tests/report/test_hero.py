"""The chart of one norm: what stands in front, what waits to be asked for, and where a proof has its place."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from robusteval.record.run import Curve, Point, Record, Result, Scalar
from robusteval.report.charts import pieces
from robusteval.report.charts.hero import Hero, hero, lower_edge
from robusteval.report.page import render
from tests.sure import sure


def drawn(record: Record, norm: str = "l2", eps: float = 0.5) -> tuple[Hero, dict[str, Any]]:
    made = sure(hero(record, norm, eps, 3.0))
    return made, json.loads(made.figure.spec)


def test_the_worst_case_is_drawn_over_attacks_and_known_models_wait(record: Record) -> None:
    made, spec = drawn(record)
    kinds = {row["line"]: row["kind"] for row in spec["datasets"]["rows"]}
    assert kinds["Worst case"] == "worst"
    assert {key.name: key.kind for key in made.keys} == {name: kind for name, kind in kinds.items() if kind != "worst"}
    assert {"attack", "known"} <= set(kinds.values())
    names = [layer["name"] for layer in spec["layer"]]
    assert names.index("muted") < names.index("lit") < names.index("worst")
    assert {param["name"]: param["value"] for param in spec["params"]} == {"lit": [], "known": False, "eps": 0.5}
    assert not any("exact gradients" in key.name for key in made.keys), "what is false is no line to measure by"


def test_without_a_worst_case_there_is_no_chart(record: Record) -> None:
    made = copy.deepcopy(record)
    for result in made.results:
        result.curves = [curve for curve in result.curves if curve.tags.get("role") != "worst"]
    assert hero(made, "l2", 0.5, 3.0) is None
    assert hero(record, "l7", 0.5, 3.0) is None


def test_the_place_of_a_proof_is_empty_without_one(record: Record) -> None:
    made, spec = drawn(record, "linf", 8 / 255)
    assert lower_edge(record, "linf") == ([], 0)
    assert not made.proved
    assert not {"unknown", "proved", "proved-band", "said"} & {layer["name"] for layer in spec["layer"]}
    assert spec["datasets"]["unknown"] == []


def test_between_proof_and_attack_it_says_unknown(record: Record) -> None:
    other = copy.deepcopy(record)
    tags: dict[str, Scalar] = {"norm": "linf", "defense": "none"}
    found = sure(pieces.first(pieces.of_kind(other, "accuracy-curve", "curves", tags)))
    proof = [Point(0.0, 0.8, 0.7, 0.9), Point(0.01, 0.5, 0.4, 0.6), Point(0.02, 0.0)]
    edge = Curve("Proved", proof, "linf", tags | {"role": "certified"})
    other.results.append(Result("bracket", "lower-edge/linf", "curves", "Edges", "", tags=tags, curves=[edge]))
    asked = tags | {"samples": other.data.samples}
    other.results.append(Result("bracket", "bracket/linf", "table", "Shares", "", tags=asked))
    made, spec = drawn(other, "linf", 8 / 255)
    assert (made.proved, made.partly) == (other.data.samples, False)
    rows = spec["datasets"]["unknown"]
    assert [row["name"] for row in rows if "name" in row] == ["unknown"]
    at = {row["x"]: row["y2"] for row in rows}
    assert (at[0.0], at[0.01], at[0.02]) == (0.8, 0.5, 0.0)
    bands = {row["x"]: (row["low"], row["high"]) for row in rows if "low" in row}
    assert (bands[0.0], bands[0.01]) == ((0.7, 0.9), (0.4, 0.6))
    assert 0.02 not in bands
    worst = sure(next(curve for curve in found.curves if curve.tags.get("role") == "worst"))
    for row in rows:
        assert row["y"] == pytest.approx([point.y for point in worst.points if point.x <= row["x"]][-1])


def test_beyond_the_last_proof_there_is_no_band(record: Record) -> None:
    """None of 24 is proved there: what chance allows for other images is no proof to be drawn in the colour of one."""
    other = copy.deepcopy(record)
    tags: dict[str, Scalar] = {"norm": "linf", "defense": "none"}
    proof = [Point(0.0, 0.5, 0.3, 0.7), Point(0.01, 0.1, 0.01, 0.3), Point(0.02, 0.0, 0.0, 0.142)]
    edge = Curve("Proved", proof, "linf", tags | {"role": "certified"})
    other.results.append(Result("bracket", "lower-edge/linf", "curves", "Edges", "", tags=tags, curves=[edge]))
    other.results.append(Result("bracket", "bracket/linf", "table", "Shares", "", tags=tags | {"samples": 24}))
    rows = drawn(other, "linf", 8 / 255)[1]["datasets"]["unknown"]
    bands = {row["x"]: (row["low"], row["high"]) for row in rows}
    assert (bands[0.0], bands[0.01]) == ((0.3, 0.7), (0.01, 0.3))
    assert max(bands) > 0.02
    assert {band for x, band in bands.items() if x >= 0.02} == {(0.0, 0.0)}


def test_an_edge_of_some_images_is_named_so_and_leaves_nothing_between_where_it_is_higher(record: Record) -> None:
    other = copy.deepcopy(record)
    tags: dict[str, Scalar] = {"norm": "linf", "defense": "none"}
    proof = [Point(0.0, 1.0, 0.9, 1.0), Point(0.001, 0.0, 0.0, 0.1)]
    edge = Curve("Proved", proof, "linf", tags | {"role": "certified"})
    other.results.append(Result("bracket", "lower-edge/linf", "curves", "Edges", "", tags=tags, curves=[edge]))
    other.results.append(Result("bracket", "bracket/linf", "table", "Shares", "", tags=tags | {"samples": 3}))
    made, spec = drawn(other, "linf", 8 / 255)
    assert (made.proved, made.partly) == (3, True)
    first = spec["datasets"]["unknown"][0]
    assert first["y"] < first["y2"] == first["top"]
    assert "proved, of the first 3 images" in render(other)
