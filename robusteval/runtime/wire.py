"""The little of an ONNX file's bytes that is read without the onnx package: what lies outside it, and its label lists.

Protocol buffers: each field is a tag (number << 3 | type) and a value; messages nest in fields of type 2.
https://protobuf.dev/programming-guides/encoding, field numbers of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator

from robusteval.errors import ModelError
from robusteval.runtime.external import Stored

Field = tuple[int, int, "memoryview | int"]  # number, wire type, bytes of a nested value or a whole number
DEEPEST = 60  # graphs within graphs

# Fields that hold messages of each kind, and what kind those are.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_LISTS = (b"classlabels_int64s", b"classlabels_ints", b"classlabels_strings")


def outside(content: bytes) -> list[str]:
    """Names of the files that hold tensors of this one, sorted. Raises ModelError where the bytes cannot be read."""
    return sorted({tensor.location for tensor in stored(content)})


def stored(content: bytes) -> list[Stored]:
    """The tensors of this file that lie outside it, as it says. Raises ModelError where the bytes cannot be read."""
    found = []
    for kind, message in _messages("model", memoryview(content), 0):
        if kind == "tensor":
            fields = list(_fields(message))
            if (14, 0, 1) in fields:  # data_location: EXTERNAL
                name = next((bytes(value) for number, type_, value in fields if (number, type_) == (8, 2)), b"")
                types = [value for number, type_, value in fields if (number, type_) == (2, 0)]
                entries = _entries([value for number, _, value in fields if number == 13])
                dims = tuple(_whole_numbers(fields, 1))
                found.append(Stored(name.decode(errors="replace"), int(types[-1]) if types else 0, dims, entries))
    return found


def label_lists(content: bytes) -> list[tuple[int | str, ...]]:
    """Every list of class labels that an operator of the file holds. Raises ModelError where the bytes cannot be
    read."""
    found: list[tuple[int | str, ...]] = []
    for kind, message in _messages("model", memoryview(content), 0):
        if kind != "attribute":
            continue
        fields = list(_fields(message))
        if any(number == 1 and bytes(value) in _LISTS for number, type_, value in fields if type_ == 2):
            found.append(tuple(_whole_numbers(fields, 8)) or tuple(_texts(fields)))
    return found


def _messages(kind: str, message: memoryview, depth: int) -> Iterator[tuple[str, memoryview]]:
    if depth > DEEPEST:
        raise _broken()
    yield kind, message
    inside = _INSIDE.get(kind, {})
    if inside:
        for number, type_, value in _fields(message):
            if type_ == 2 and number in inside and isinstance(value, memoryview):
                yield from _messages(inside[number], value, depth + 1)


def _fields(message: memoryview) -> Iterator[Field]:
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, type_ = tag >> 3, tag & 7
        if type_ == 0:
            value, at = _varint(message, at)
            yield number, type_, value
            continue
        if type_ == 2:
            size, at = _varint(message, at)
        elif type_ in (1, 5):
            size = 8 if type_ == 1 else 4
        else:
            raise _broken()
        if at + size > len(message):
            raise _broken()
        yield number, type_, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise _broken()
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _entries(messages: list[memoryview | int]) -> dict[str, str]:
    """What is said of data outside, by key; of a key that comes twice the last."""
    found = {}
    for entry in messages:
        if isinstance(entry, memoryview):
            pair = {number: bytes(value) for number, type_, value in _fields(entry) if type_ == 2}
            found[_text(pair.get(1, b""))] = _text(pair.get(2, b""))
    return found


def _whole_numbers(fields: list[Field], wanted: int) -> Iterator[int]:
    """The whole numbers of one field, one a field or packed into one; two's complement."""
    for number, type_, value in fields:
        if number != wanted:
            continue
        packed = value if isinstance(value, memoryview) else None
        values, at = [] if packed is not None or type_ != 0 else [int(value)], 0
        while packed is not None and at < len(packed):
            one, at = _varint(packed, at)
            values.append(one)
        yield from (value - 2**64 if value >= 2**63 else value for value in values)


def _texts(fields: list[Field]) -> Iterator[str]:
    for number, _, value in fields:
        if number == 9 and isinstance(value, memoryview):
            yield _text(bytes(value))


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise _broken() from error


def _broken() -> ModelError:
    return ModelError("The file is not an ONNX file: its bytes cannot be parsed.", "Check that the copy is complete.")
