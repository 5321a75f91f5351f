"""Keys of columns: what they are, where they come from, and documents from before there were any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from robusteval.assessment.references.known_models import known_models
from robusteval.errors import RecordError
from robusteval.record import store
from robusteval.record.column import Column, at_budget, budgets_of, faulty_keys, key_of, keyed, norms_of, parts_of
from robusteval.record.run import SCHEMA, Record, Result
from robusteval.report.formats import tables_csv
from tests import comparisons, records, references

OLD = Path(__file__).with_name("record-1.json")  # as version 0.1.0 wrote it, when columns were titles


@pytest.mark.parametrize(
    ("title", "norm", "key"),
    [
        ("Robust accuracy", "", "robust-accuracy"),
        ("By", "l2", "by"),
        ("Low (95 %)", "", "low"),
        ("Forward / sample", "", "forward-per-sample"),
        ("TPR at 1 % low", "", "tpr-at-1-low"),
        ("rho_adv", "", "rho_adv"),
        ("Accuracy at 0.03137254902", "linf", "accuracy@linf:0.03137254902"),
        ("High at 1e-05", "l2", "high@l2:1e-05"),
        ("Low at 8", "", "low@:8"),
        ("Accuracy at linf", "l2", "accuracy@linf"),
        ("Budget l0", "", "budget@l0"),
        ("Median linf", "", "median@linf"),
        ("Mean L2", "", "mean-l2"),
        ("%", "", ""),
    ],
)
def test_the_key_of_a_title(title: str, norm: str, key: str) -> None:
    assert key_of(title, norm) == key
    assert key_of(title.upper(), norm) == key


def test_the_parts_of_a_key() -> None:
    assert parts_of(at_budget("accuracy", "linf", "0.1")) == ("accuracy", "linf", "0.1")
    assert parts_of(at_budget("accuracy", "linf")) == ("accuracy", "linf", "")
    assert parts_of("by") == ("by", "", "")
    keys = ["by", "accuracy@l2:1", "low@l2:1", "accuracy@l2:2.5", "accuracy-of-it"]
    assert budgets_of("accuracy", keys) == ["1", "2.5"]
    assert norms_of("median", ["median@l2", "median@linf", "median-distance"]) == ["l2", "linf"]


def test_titles_alone_get_keys_of_their_own() -> None:
    given: list[Column | str] = ["Time", Column("time", "Own"), "Time", "", "%"]
    assert [item.key for item in keyed(given)] == ["time-2", "time", "time-3", "column-4", "column-5"]
    assert [item.title for item in keyed(given)] == ["Time", "Own", "Time", "", "%"]
    assert keyed(keyed(given)) == keyed(given)
    odd: Any
    for odd in ([1], [None], "ab"):
        with pytest.raises(TypeError, match="column"):
            keyed(odd)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["a", "b"], ""),
        (["accuracy@l2:0.5", "accuracy@l2:1e-05", "accuracy@l2"], ""),
        (["a", ""], "no key"),
        (["a", "b", "a"], "two columns have the key 'a'"),
        (["accuracy@l2:much"], "names no budget"),
        (["accuracy@l2:nan"], "names no budget"),
    ],
)
def test_faulty_keys_are_said(keys: list[str], said: str) -> None:
    fault = faulty_keys(Column(key, "t") for key in keys)
    assert said in fault
    assert bool(fault) == bool(said)
    record = records.make(20)
    record.results = [Result("m", "n", "table", "t", columns=[Column(key, "t") for key in keys])]
    text = store.to_json(record)
    if said:
        with pytest.raises(RecordError, match=r"results\[0\].columns") as error:
            store.from_json(text)
        assert said in error.value.message
    else:
        assert store.from_json(text).results == record.results


def every_table() -> list[Result]:
    """One of each kind that this house makes."""
    found = records.with_results(references.beside(records.make(40))).results + comparisons.make().results
    return [item for item in found if item.kind == "table"]


def test_the_house_s_tables_have_the_keys_that_older_documents_get() -> None:
    """A title may be reworded: then the key that it had stays, and this test is told the title that it came from."""
    assert len({item.metric for item in every_table()}) >= 7
    for table in every_table():
        assert table.keys() == [item.key for item in keyed(table.titles(), str(table.tags.get("norm") or ""))]
        assert not faulty_keys(table.heads())


def test_an_older_document_is_read_with_keys() -> None:
    record = store.load(OLD)
    claims, rho, known, twice = record.results
    assert claims.named() == [
        {"norm": "Linf", "budget": 0.1, "by": "worst case", "robust-accuracy": 1 / 3, "low": 0.0, "high": 0.9,
         "samples-to-halve": 12}
    ]  # fmt: skip
    assert rho.named()[0]["low"] is None
    assert known.named()[1]["accuracy@linf:0.03137254902"] == 1.0
    assert twice.keys() == ["time", "time-2", "column-3"]
    assert "pgd-trained 100.0 %" in known_models(record)[0]
    assert tables_csv.table(twice).splitlines()[0] == "Time,Time,"


def test_a_document_of_this_version_says_key_title_and_unit() -> None:
    record: Record = records.with_results(records.make(20))
    assert record.schema == SCHEMA
    data = json.loads(store.to_json(record))
    claims = next(item for item in data["results"] if item["name"] == "claims")
    assert claims["columns"][3] == {"key": "robust-accuracy", "title": "Robust accuracy", "unit": "share"}
    again = store.from_json(store.to_json(record))
    assert again.results == record.results
    before = store.digest(record)
    for field in ("key", "title", "unit"):
        claims["columns"][3] = {"key": "robust-accuracy", "title": "Robust accuracy", "unit": "share"} | {field: "x"}
        assert store.digest(store.from_json(json.dumps(data))) != before


@pytest.mark.parametrize(
    "columns", [[{"key": "a"}], [{"title": "a"}], [{"key": 1, "title": "a"}], ["a", {"key": "b"}], [3]]
)
def test_what_is_no_column_is_refused_with_its_place(columns: list[str | int | dict[str, str | int]]) -> None:
    data = json.loads(OLD.read_text())
    data["results"][3] |= {"columns": columns, "rows": []}
    with pytest.raises(RecordError, match=r"results\[3\].columns"):
        store.from_json(json.dumps(data))
