"""What types cannot say of certificates: each rule with what it allows and what it does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from robusteval.errors import RecordError
from robusteval.record.run import Certificate, CertificateBehind
from robusteval.record.sanity import check
from tests.engine.test_findings import N, honest


def certified(**more: Any) -> Certificate:
    row = Certificate("crown", "1", {}, "linf", "done", samples=[0, N - 1], radius=[0.0, 0.25], limit=0.5, stopped=1)
    return dataclasses.replace(row, **more)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"norm": "l0"},
        {"norm": "l1"},
        {"norm": "l2"},
        {"radius": []},
        {"samples": [], "radius": [], "limit": 0.0, "stopped": 0, "status": "excluded"},
        {"limit": 0.0, "stopped": 0},
    ],
)
def test_certificates_that_make_sense(more: dict[str, Any]) -> None:
    record = honest()
    record.certificates = [certified(), certified(**more)]
    check(record)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"samples": [0, N]}, f"certificates[1]: there is no sample {N} of {N}"),
        ({"samples": [-1, 0]}, f"certificates[1]: there is no sample -1 of {N}"),
        ({"radius": [0.1]}, "certificates[1]: a column has 1 entries for 2 samples"),
        ({"radius": [0.1] * 3}, "certificates[1]: a column has 3 entries for 2 samples"),
        ({"radius": [0.1, -0.5]}, "certificates[1].radius[1]: -0.5 is less than 0"),
        ({"limit": -0.25}, "certificates[1].radius[2]: -0.25 is less than 0"),
        ({"stopped": -1}, "certificates[1].radius[3]: -1 is less than 0"),
        ({"norm": "l3"}, "certificates[1].norm: 'l3' is no norm"),
        ({"norm": "n" * 50}, f"certificates[1].norm: '{'n' * 40}' is no norm"),
    ],
)
def test_certificates_that_make_none(more: dict[str, Any], said: str) -> None:
    record = honest()
    record.certificates = [certified(), certified(**more)]
    with pytest.raises(RecordError) as error:
        check(record)
    assert error.value.message == f"The record makes no sense at {said}."


def test_certificates_behind_a_defence_make_sense_as_others_do_and_name_one_of_the_run() -> None:
    record = honest()
    name = next((row.defense for row in record.pipelines if row.defense != "none"), "")
    if not name:
        record.pipelines.append(dataclasses.replace(record.pipelines[0], defense="blur", plugin="blur"))
        name = "blur"
    record.certificates_behind = [CertificateBehind(**dataclasses.asdict(certified()), defense=name)]
    check(record)
    for more, said in (
        ({"radius": [0.1]}, "certificates_behind[0]: a column has 1 entries for 2 samples"),
        ({"norm": "l3"}, "certificates_behind[0].norm: 'l3' is no norm"),
        ({"defense": "none"}, "certificates_behind[0].defense: 'none' is no defence of the run"),
        ({"defense": "wall"}, "certificates_behind[0].defense: 'wall' is no defence of the run"),
    ):
        record.certificates_behind = [
            dataclasses.replace(CertificateBehind(**dataclasses.asdict(certified()), defense=name), **more)
        ]
        with pytest.raises(RecordError) as error:
            check(record)
        assert error.value.message == f"The record makes no sense at {said}."
