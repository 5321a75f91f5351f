"""Reading a record by its types: what fits comes back as it was, what does not is refused with its place."""

from __future__ import annotations

import dataclasses
import json
import types
from typing import Any, Literal

import pytest

from robusteval.errors import RecordError
from robusteval.record import decode as module
from robusteval.record.decode import MAX_BYTES, MAX_DEPTH, MAX_DIGITS, decode, parse


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Readers are kept by type: each test makes its own."""
    module._reader.cache_clear()


@dataclasses.dataclass
class Inner:
    number: float
    words: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Outer:
    text: str
    whole: int
    share: float
    truth: bool
    choice: Literal["a", "b", 1]
    rows: list[Inner]
    table: dict[str, float]
    may: float | None = None
    any: Any = None
    mixed: str | int | float | bool | None = None
    either: int | None = None
    nested: list[list[float | None]] = dataclasses.field(default_factory=list)
    many: dict[str, Any] = dataclasses.field(default_factory=dict)


def good(**more: object) -> dict[str, object]:
    made = {
        "text": "t", "whole": 3, "share": 0.5, "truth": True, "choice": "a", "rows": [{"number": 1.5}],
        "table": {"x": 2.0},
    }  # fmt: skip
    return made | more


def refused(data: object) -> str:
    with pytest.raises(RecordError) as error:
        decode(Outer, data)
    return error.value.message


def test_what_fits_comes_back() -> None:
    made = decode(Outer, good())
    assert made == Outer("t", 3, 0.5, True, "a", [Inner(1.5)], {"x": 2.0})
    made = decode(Outer, good(rows=[{"number": 1, "words": ["a", "b"]}, {"number": 2.5}], nested=[[1, None], []]))
    assert made.rows == [Inner(1.0, ["a", "b"]), Inner(2.5, [])]
    assert type(made.rows[0].number) is float
    assert made.nested == [[1.0, None], []]
    assert made.rows[0].words is not made.rows[1].words
    assert type(decode(Outer, good(share=7)).share) is float  # JSON writes 7.0 as 7
    assert decode(Outer, good(choice=1)).choice == 1
    assert decode(Outer, good(may=None)).may is None
    assert decode(Outer, good(may=2)).may == 2.0
    assert decode(Outer, good(many={"a": [1, {"b": None}]}, any=[{"c": "d"}])).any == [{"c": "d"}]


@pytest.mark.parametrize("value", ["x", 3, 0.5, True, False, None])
def test_one_of_several_types_keeps_what_it_was(value: str | float | bool | None) -> None:
    found = decode(Outer, good(mixed=value)).mixed
    assert type(found) is type(value)
    assert found == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("text", 1), ("text", None), ("text", True), ("whole", 1.0), ("whole", True), ("whole", "1"), ("whole", None),
        ("share", "0.5"), ("share", True), ("share", None), ("share", [0.5]), ("truth", 1), ("truth", 0),
        ("truth", "true"),
        ("truth", None), ("choice", "c"), ("choice", True), ("choice", 1.0), ("choice", None), ("rows", {}),
        ("rows", "ab"),
        ("rows", None), ("table", []), ("table", None), ("may", "x"), ("may", True), ("either", 1.5), ("either", "x"),
        ("mixed", []), ("mixed", {}), ("nested", [1]), ("share", 10**400), ("many", []),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_its_field(field: str, value: Any) -> None:
    said = refused(good(**{field: value}))
    assert said.startswith("The record does not fit its schema at ")
    assert f" at {field}" in said


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"rows": [{"number": 1.5}, {"number": "x"}]}, "rows[1].number"), ({"table": {"x": 1.0, "y": "z"}}, "table.y"),
        ({"rows": [{"number": 1.0, "words": ["a", 2]}]}, "rows[0].words[1]"),
        ({"nested": [[1.0], [2.0, "x"]]}, "nested[1][1]"),
        ({"rows": [3]}, "rows[0]"), ({"rows": [{"number": 1.0, "other": 1}]}, "rows[0]"), ({"rows": [{}]}, "rows[0]"),
    ],
)  # fmt: skip
def test_the_place_of_a_misfit_is_its_path(
    change: dict[
        str, dict[str, float | str] | list[list[float | str] | int | dict[str, float | str | list[str | int]]]
    ],
    where: str,
) -> None:
    assert f" at {where}" in refused(good(**change)).replace("rows[0].other", "rows[0]").replace(
        "rows[0].number", "rows[0]"
    ) or (f" at {where}" in refused(good(**change)))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("text", 1, "a text is wanted, not 1"), ("text", {}, "a text is wanted, not an object"),
        ("text", [], "a text is wanted, not a list"), ("text", True, "a text is wanted, not true or false"),
        ("text", None, "a text is wanted, not null"), ("whole", "x", "a whole number is wanted, not a text"),
        ("whole", 1.5, "a whole number is wanted, not 1.5"), ("share", "x", "a number is wanted, not a text"),
        ("share", 10**400, "the number is too large"), ("truth", 1, "true or false is wanted, not 1"),
        ("choice", "c" * 50, f"'{'c' * 40}' is none of a, b, 1"), ("rows", 3, "a list is wanted, not 3"),
        ("table", 3, "an object is wanted, not 3"), ("may", "x", "float or null is wanted, not a text"),
        ("mixed", [], "str or int or float or bool or null is wanted, not a list"),
        ("whole", 10**60 + 0.0, f"a whole number is wanted, not {repr(1e60)[:40]}"),
        ("rows", 10**60, f"a list is wanted, not 1{'0' * 39}"),
    ],
)  # fmt: skip
def test_what_is_wanted_is_said(field: str, value: Any, said: str) -> None:
    assert refused(good(**{field: value})) == f"The record does not fit its schema at {field}: {said}."


def test_long_names_are_cut() -> None:
    assert f"at table.{'n' * 80}: a number" in refused(good(table={"n" * 90: "x"}))
    deep: dict[str, Any] = {"a" * 79: {"b" * 79: {"c" * 79: {"d" * 79: {}}}}}
    assert decode(Outer, good(many=deep)).many == deep
    with pytest.raises(RecordError) as error:
        parse(f'{{"{"n" * 90}": 1, "{"n" * 90}": 2}}')
    assert f"the name '{'n' * 80}' twice" in error.value.message
    with pytest.raises(RecordError) as error:
        parse('{"a": ' + "9" * 50 + "e999}")
    assert f"it holds {'9' * 40}, which is larger" in error.value.message


def test_long_paths_and_reasons_are_cut() -> None:
    names = ["a" * 80, "b" * 80, "c" * 80, "d" * 80]
    kind: Any = int
    for _ in names:
        kind = types.GenericAlias(dict, (str, kind))
    made = dataclasses.make_dataclass("Deep", [("X", kind)])
    data: object = "x"
    for name in reversed(names):
        data = {name: data}
    with pytest.raises(RecordError) as error:
        decode(made, {"X": data})
    where = ".".join(["X", *names])[:300]
    said = f"The record does not fit its schema at {where}: a whole number is wanted, not a text."
    assert error.value.message == said
    name = "\U000e0001" * 30  # each is ten characters once it is quoted
    with pytest.raises(RecordError) as error:
        parse(f'{{"{name}": 1, "{name}": 2}}')
    assert error.value.message == f"This is not a record: {f'it holds the name {name!r} twice'[:200]}."


def test_what_has_to_be_null() -> None:
    made = dataclasses.make_dataclass("Empty", [("nothing", type(None))])
    assert decode(made, {"nothing": None}) == made(None)
    with pytest.raises(RecordError, match="at nothing: null is wanted, not a text"):
        decode(made, {"nothing": "x"})


def test_unknown_and_missing_fields_are_named() -> None:
    top = "The record does not fit its schema at its top: "
    assert refused(good(**{"n" * 90: 1})) == f"{top}there is no field '{'n' * 80}'."
    data = good()
    del data["whole"], data["truth"]
    assert refused(data) == f"{top}'truth' is missing."
    assert refused([]) == f"{top}an object is wanted, not a list."
    with pytest.raises(RecordError, match="The plan does not fit"):
        decode(Outer, good(whole="x"), "plan")


def test_what_may_be_anything_may_not_be_nested_without_end() -> None:
    def nest(depth: int) -> object:
        made: object = 1
        for level in range(depth):
            made = [made] if level % 2 else {"a": made}
        return made

    assert decode(Outer, good(any=nest(MAX_DEPTH))).any == nest(MAX_DEPTH)
    assert "nested" in refused(good(any=nest(MAX_DEPTH + 1)))


def test_text_that_is_an_object() -> None:
    assert parse('{"a": [1, 2.5, null, true, "x"]}') == {"a": [1, 2.5, None, True, "x"]}
    assert parse('{"a": {"x": 1}, "b": {"x": 1}}') == {"a": {"x": 1}, "b": {"x": 1}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a record"), ("{", "not a record"), ("[]", "no JSON object"), ("3", "no JSON object"),
        ('{"a": NaN}', "NaN"), ('{"a": -Infinity}', "Infinity"), ('{"a": 1e999}', "1e999"), ('{"a": -1e999}', "larger"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' twice"), ('{"x": {"b": 1, "a": 2, "a": 2}}', "'a' twice"),
        ("[" * 100_000, "not a record"),
    ],
)  # fmt: skip
def test_text_that_is_none(text: str, said: str) -> None:
    with pytest.raises(RecordError, match="record") as error:
        parse(text)
    assert said in error.value.message
    assert error.value.hint
    with pytest.raises(RecordError, match="plan") as error:
        parse(text, "plan", "Give another.")
    assert error.value.hint == "Give another."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "it is nested too deeply"),
        ('{"a": ' + "9" * 6_000 + "}", "it holds a number of too many digits"),
        ('{"a": ' + "9" * 301 + "}", "it holds a number of too many digits"),
        ('{"a": -' + "9" * 300 + "}", "it holds a number of too many digits"),
        (r'{"a": "\ud800"}', "half of a letter"), (r'{"a": {"\uDFFF": 1}}', "half of a letter"),
        (r'{"a": ["\udc00\ud800"]}', "half of a letter"),
    ],
)  # fmt: skip
def test_numbers_letters_and_depths_that_no_program_takes(text: str, said: str) -> None:
    with pytest.raises(RecordError) as error:
        parse(text)
    assert said in error.value.message
    assert error.value.message.encode()


def test_the_largest_number_and_whole_letters_are_read() -> None:
    assert MAX_DIGITS == 300
    assert parse('{"a": ' + "9" * 300 + "}") == {"a": 10**300 - 1}
    assert parse(r'{"a": "\ud83d\ude00", "b": "\\ud800"}') == {"a": "\U0001f600", "b": r"\ud800"}
    assert float(parse('{"a": ' + "9" * 300 + "}")["a"]) == 1e300


def test_too_much_text_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_BYTES == 512 * 2**20
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    assert parse('{"a": 123}') == {"a": 123}
    with pytest.raises(RecordError, match="This plan is larger than 0 MiB") as error:
        parse('{"a": 1234}', "plan", "Give another.")
    assert error.value.hint == "Give another."
    monkeypatch.setattr(module, "MAX_BYTES", 3 << 20)
    with pytest.raises(RecordError, match="larger than 3 MiB"):
        parse(" " * ((3 << 20) + 1))


def test_every_type_of_the_record_can_be_read() -> None:
    from robusteval.record.run import Record
    from tests.engine.test_findings import honest

    data = json.loads(json.dumps(dataclasses.asdict(honest())))
    assert decode(Record, data) == honest()


def test_a_type_without_a_rule_is_the_programmer_s_fault() -> None:
    @dataclasses.dataclass
    class Odd:
        value: set[int]

    with pytest.raises((TypeError, NameError)):
        decode(Odd, {"value": []})
