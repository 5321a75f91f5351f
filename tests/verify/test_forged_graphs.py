"""A stored graph that is not the model's, made to agree with it wherever anybody could know that it is asked."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from robusteval.errors import RecordError
from robusteval.record.decode import decode
from robusteval.record.run import Record
from robusteval.verify.parts.evidence import CLEAN, Array
from robusteval.verify.parts.result import Verification
from robusteval.verify.parts.stored import ALONG, towards
from robusteval.verify.proofs.check import FILE, check_proofs
from tests.sure import sure
from tests.verify.runs import Honest

BESIDE = "The stored graph beside the model"


def linear(weight: Array, bias: Array) -> bytes:
    """A graph file of one linear node."""
    nodes = [
        {"op": "input", "inputs": [], "shape": [weight.shape[1]], "settings": {}},
        {"op": "linear", "inputs": [0], "shape": [weight.shape[0]], "settings": {}},
    ]
    tensors = {"1.weight": weight.astype(np.float64), "1.bias": bias.astype(np.float64)}
    return save(tensors, {"graph": json.dumps({"nodes": nodes, "slack": 0.0})})


def largest(record: Record) -> int:
    """The sample with the largest radius of a certifier that is proved again."""
    row = next(row for row in record.certificates if row.certifier == "crown")
    return row.samples[int(np.argmax(row.radius))]


def through(honest: Honest, record: Record, points: Array) -> bytes:
    """A linear graph with the model's scores at these points, as flat as can be between them."""
    theirs = sure(honest.evidence.model).scores(points.astype(np.float32).reshape(-1, *record.model.input_shape))
    ones = np.concatenate([points, np.ones((len(points), 1))], 1)
    solved = np.linalg.lstsq(ones, theirs.astype(np.float64), rcond=None)[0].T
    return linear(solved[:, :-1], solved[:, -1])


def checked(honest: Honest, folder: Path, content: bytes | None) -> Verification:
    """What is said of the certificates where the graph's file has this content, and the record its hash."""
    record = decode(Record, honest.changed())
    if content is not None:
        (folder / FILE).write_bytes(content)
        record.proofs = dataclasses.replace(sure(record.proofs), sha256=hashlib.sha256(content).hexdigest())
    result = Verification()
    check_proofs(record, folder, honest.evidence, result)
    return result


def test_the_honest_graph_is_the_model_s(honest: Honest, folder: Path) -> None:
    assert checked(honest, folder, None).failures == []


def test_a_graph_through_the_points_that_a_seed_would_give_away(honest: Honest, folder: Path) -> None:
    """Every point of earlier versions, which drew them from the number of pixels; radii that it proves are endless."""
    record = decode(Record, honest.changed())
    crown = next(row for row in record.certificates if row.certifier == "crown")
    points = []
    for sample, radius in zip(crown.samples, crown.radius, strict=True):
        x = honest.evidence.tensors[CLEAN][sample].astype(np.float64).reshape(-1)
        rng = np.random.default_rng(len(x))
        drawn = rng.choice([-1.0, 1.0], (16, len(x))) * radius * rng.random((16, 1))
        points.append(np.clip(np.concatenate([x[None], x + drawn]), 0, 1).astype(np.float32).astype(np.float64))
    failures = checked(honest, folder, through(honest, record, np.concatenate(points))).failures
    assert any(failure.startswith(BESIDE) for failure in failures)


def test_a_graph_through_all_stored_images(honest: Honest, folder: Path) -> None:
    record = decode(Record, honest.changed())
    images = [honest.evidence.tensors[name] for name in (CLEAN, "none.l2", "none.linf")]
    points = np.concatenate([part.reshape(len(part), -1).astype(np.float64) for part in images])
    failures = checked(honest, folder, through(honest, record, points)).failures
    assert any(failure.startswith(BESIDE) for failure in failures)


@pytest.mark.parametrize("weight", [np.zeros((3, 784)), np.zeros((10, 20))])
def test_a_graph_of_other_sizes(honest: Honest, folder: Path, weight: Array) -> None:
    failures = checked(honest, folder, linear(weight, np.zeros(len(weight)))).failures
    assert failures[0].startswith(BESIDE)


def test_points_on_the_way_to_the_nearest_adversarial(honest: Honest) -> None:
    record = decode(Record, honest.changed())
    sample = next(sample for sample, lost in enumerate(record.cells[0].distance) if lost)
    (points,) = towards(record, honest.evidence, sample, "linf", 0.01)
    x = honest.evidence.tensors[CLEAN][sample].astype(np.float64).reshape(-1)
    assert np.allclose(np.abs(points - x).max(1), [0.01 * share for share in ALONG])
    assert towards(record, honest.evidence, sample, "l0", 0.01) == []


def test_a_graph_that_contradicts_itself_is_a_sentence(honest: Honest, folder: Path) -> None:
    content: Any = linear(np.zeros((10, 784)), np.zeros(9))
    try:
        failures = checked(honest, folder, content).failures
    except RecordError as error:
        failures = [error.message]
    assert any("contradicts itself" in failure or "other classes" in failure for failure in failures)
