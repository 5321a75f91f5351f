"""The walker against the operator specification's own examples."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from tests.loaders import node_cases

EXCEPTIONS = Path(__file__).with_name("node_exceptions.json")


def test_every_operator_does_what_its_specification_says() -> None:
    excepted = json.loads(EXCEPTIONS.read_text())
    cases = node_cases.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some examples divide by zero on purpose
        failed = {case.name: why for case in cases if (why := node_cases.run_case(case))}
    wrong = {name: why for name, why in failed.items() if name not in excepted}
    assert not wrong
    assert len(cases) - len(failed) >= 560
    if len(cases) > 1000:  # the version of onnx that the list was made with, or a newer one
        assert set(excepted) <= set(failed), "an exception is no longer needed"


def test_the_comparison_can_fail() -> None:
    case = next(c for c in node_cases.collect() if c.name == "test_relu")
    case.model.graph.node[0].op_type = "Sigmoid"
    assert "differs" in node_cases.differences(
        node_cases.walk(case.model, [node_cases.as_array(v) for v in case.data_sets[0][0]]),
        [node_cases.as_array(v) for v in case.data_sets[0][1]],
        1e-3,
        1e-7,
    )
