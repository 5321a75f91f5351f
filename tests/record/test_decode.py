"""Reading without third parties: the same record as pydantic reads, and nothing that does not fit or makes no sense."""

from __future__ import annotations

import copy
import json

import pytest
from pydantic import TypeAdapter

from robusteval.errors import RecordError
from robusteval.record import store
from robusteval.record.run import Record
from tests.records import make, with_results


@pytest.fixture(scope="module")
def text() -> str:
    return store.to_json(with_results(make(40)))


def test_it_reads_what_pydantic_reads(text: str) -> None:
    found, wanted = store.from_json(text), TypeAdapter(Record).validate_python(json.loads(text))
    assert repr(found) == repr(wanted)


CHANGES = {
    "a field more": lambda data: data.update(more=1),
    "a field less": lambda data: data.pop("seed"),
    "a text for a number": lambda data: data.update(seed="7"),
    "true for a number": lambda data: data["data"].update(samples=True),
    "a negative distance": lambda data: data["cells"][0]["distance"].__setitem__(0, -0.5),
    "a short column": lambda data: data["cells"][0]["distance"].pop(),
    "a cell twice": lambda data: data["cells"].append(copy.deepcopy(data["cells"][0])),
    "a class that is none": lambda data: data["data"]["labels"].__setitem__(0, 10),
    "a range that is none": lambda data: data["model"].update(bounds=[1.0, 0.0]),
    "a status that is none": lambda data: data["cells"][0].update(status="maybe"),
    "a table's short row": lambda data: next(result for result in data["results"] if result["rows"])["rows"][0].pop(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_fit_is_one_sentence(text: str, change: str) -> None:
    data = json.loads(text)
    CHANGES[change](data)
    with pytest.raises(RecordError, match=r"does not fit its schema at|makes no sense at"):
        store.from_json(json.dumps(data))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_what_is_no_number_is_refused(text: str, value: str) -> None:
    data = json.loads(text)
    data["times"]["wall_s"] = "HERE"
    with pytest.raises(RecordError, match="it holds"):
        store.from_json(json.dumps(data).replace('"HERE"', value))


def test_a_name_twice_is_refused(text: str) -> None:
    with pytest.raises(RecordError, match="twice"):
        store.from_json(text.replace('"seed":', '"seed": 1, "seed":', 1))
