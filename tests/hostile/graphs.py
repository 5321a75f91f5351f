"""ONNX files that are broken, or say odd things; `inspect` refuses each, or says what it is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.hostile.base import CLASSES, SIZE, info, inspect, model, save, weights
from tests.hostile.case import Case, Outcome, Place, says
from tests.hostile_text import EVIL

Made = Callable[[], onnx.ModelProto | bytes]
node = helper.make_node


def _words(made: Made) -> Callable[[Place], list[object]]:
    def make(place: Place) -> list[object]:
        content = made()
        path = place.given / "m.onnx"
        path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
        return inspect(place, path)

    return make


def _good() -> bytes:
    return bytes(model().SerializeToString())


def _part(share: float) -> Made:
    return lambda: _good()[: int(len(_good()) * share)]


def _flipped(seed: int) -> bytes:
    content, rng = bytearray(_good()), np.random.default_rng(seed)
    for place in rng.integers(0, len(content), 3):
        content[place] ^= 1 << int(rng.integers(8))
    head = bytearray(content)
    for place in rng.integers(0, 60, 2):
        head[place] ^= 1 << int(rng.integers(8))
    return bytes(head if seed % 2 else content)


def _edited(change: Callable[[onnx.ModelProto], object], **more: Any) -> Made:
    def made() -> onnx.ModelProto:
        found = model(**more)
        change(found)
        return found

    return made


def _cycle() -> onnx.ModelProto:
    return model([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"])], start="b")


def _itself() -> onnx.ModelProto:
    return model([node("Add", ["x", "a"], ["a"])], start="a")


def _deep(levels: int) -> Made:
    def made() -> onnx.ModelProto:
        value = "x"
        inner = helper.make_graph([node("Identity", [value], ["r0"])], "g0", [], [info("r0", 1, None)])
        for level in range(1, levels):
            branch = node(
                "If", ["yes"], [f"r{level}"], then_branch=inner, else_branch=inner if level < 3 else _flat(level)
            )
            inner = helper.make_graph([branch], f"g{level}", [], [info(f"r{level}", 1, None)])
        last = node("If", ["yes"], ["v"], then_branch=inner, else_branch=_flat(levels))
        return model([last], {"yes": np.array(True)}, start="v")

    return made


def _nested() -> bytes:
    """By hand, as the library writes none so deep: graph, node (1), attribute (5), graph (6) again."""
    content = b""
    for _ in range(1000):
        for number in (6, 5, 1):
            content = _field(number, content)
    return _good() + _field(7, content)


def _field(number: int, content: bytes) -> bytes:
    size, left = b"", len(content)
    while left > 127:
        size, left = size + bytes([left & 127 | 128]), left >> 7
    return bytes([number << 3 | 2]) + size + bytes([left]) + content


def _flat(level: int) -> onnx.GraphProto:
    return helper.make_graph([node("Identity", ["x"], [f"e{level}"])], f"h{level}", [], [info(f"e{level}", 1, None)])


def _recursive() -> onnx.ModelProto:
    made = model([node("F", ["x"], ["v"], domain="own")], start="v", opsets={"": 17, "own": 1})
    again = helper.make_function(
        "own", "F", ["a"], ["b"], [node("F", ["a"], ["b"], domain="own")], [helper.make_opsetid("own", 1)]
    )
    made.functions.append(again)
    return made


def _constant(value: float, shape: str = "scores") -> onnx.ModelProto:
    """Answers that are no scores."""
    return model([node("Mul", ["x", "c"], ["v"])], {"c": np.array(value, np.float32)}, start="v", name=shape)


def _tensor(change: Callable[[TensorProto], object]) -> Made:
    return _edited(lambda found: change(found.graph.initializer[0]))


def _dims(found: TensorProto, dims: list[int]) -> None:
    del found.dims[:]
    found.dims.extend(dims)


def _input(*shape: int | str) -> Made:
    pool = [node("GlobalAveragePool", ["x"], ["p"]), node("Expand", ["p", "s"], ["v"])]
    return lambda: model(pool, {"s": np.array([1, 1, SIZE, SIZE])}, start="v", shape=shape)


def _raw_name(value: bytes) -> Made:
    return lambda: _good().replace(b"tiny", (value * 4)[:4])


def _outputs(count: int) -> onnx.ModelProto:
    made = model()
    for number in range(count):
        made.graph.node.append(node("Identity", ["y"], [f"y{number}"]))
        made.graph.output.append(info(f"y{number}", TensorProto.FLOAT, ["n", CLASSES]))
    return made


def _many(kind: str, count: int) -> onnx.ModelProto:
    if kind == "inputs":
        return model([node("Sum", ["x"] * count, ["v"])], start="v")
    names = ["x", *(f"v{number}" for number in range(count))]
    return model([node("Identity", [a], [b]) for a, b in itertools.pairwise(names)], start=names[-1])


def _no_input(found: onnx.ModelProto) -> None:
    del found.graph.input[:]
    found.graph.initializer.append(numpy_helper.from_array(np.zeros((2, 1, SIZE, SIZE), np.float32), "x"))


def _wide() -> onnx.ModelProto:
    return model(
        [node("Tile", ["x", "t"], ["v"])],
        {"t": np.array([1, 1, 1, 1]), "W": np.zeros((64, 2_000_000), np.float32)},
        start="v",
        answer=["n", 2_000_000],
    )


BROKEN: dict[str, tuple[str, Made]] = {
    "empty": ("no byte at all", lambda: b""),
    "text": ("a page of HTML", lambda: b"<html>not found</html>"),
    "noise": ("random bytes", lambda: np.random.default_rng(0).bytes(20_000)),
    "zeros": ("a megabyte of zeros", lambda: bytes(1 << 20)),
    "varint": ("a length of 2^63", lambda: b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + b"x" * 50),
    "groups": ("100,000 groups of old protobuf within each other", lambda: b"\x3b" * 100_000),
    "cut-0.1": ("a tenth of a file", _part(0.1)),
    "cut-0.5": ("half of a file", _part(0.5)),
    "cut-0.99": ("a file but for its end", _part(0.99)),
    "no-graph": ("a model without a graph", lambda: onnx.ModelProto(ir_version=8)),
    "no-nodes": ("a graph without operators", _edited(lambda found: found.graph.ClearField("node"))),
    "no-outputs": ("a graph without outputs", _edited(lambda found: found.graph.ClearField("output"))),
    "no-inputs": ("a graph without inputs", _edited(_no_input)),
    "cycle": ("operators that wait for each other", _cycle),
    "itself": ("an operator that waits for itself", _itself),
    "recursive": ("a function that calls itself", _recursive),
    "nan": ("answers nothing but NaN", lambda: _constant(float("nan"))),
    "inf": ("answers that are infinite", lambda: _constant(float("inf"))),
    "no-opset": ("no operator set", _edited(lambda found: found.ClearField("opset_import"))),
    "opset-0": ("operator set 0", lambda: model(opsets={"": 0})),
    "opset-9999": ("operator set 9999", lambda: model(opsets={"": 9999})),
    "opset-negative": ("operator set -1", lambda: model(opsets={"": -1})),
    "ir-9999": ("a format of the year 9999", lambda: model(ir=9999)),
    "domain": (
        "an operator of a domain of its own",
        lambda: model([node("Evil", ["x"], ["v"], domain="evil.com")], start="v", opsets={"": 17, "evil.com": 1}),
    ),
    "unknown": ("an operator that is none", lambda: model([node(EVIL["esc"], ["x"], ["v"])], start="v")),
    "short": ("weights with fewer bytes than their shape", _tensor(lambda found: setattr(found, "raw_data", b"abc"))),
    "dims-negative": ("weights of negative size", _tensor(lambda found: _dims(found, [-64, -3]))),
    "dims-huge": ("weights of 2^62 rows", _tensor(lambda found: _dims(found, [1 << 62, 3]))),
    "dims-many": ("weights with 300,000 axes", _tensor(lambda found: _dims(found, [1] * 300_000))),
    "kind": ("weights of a kind that is none", _tensor(lambda found: setattr(found, "data_type", 999))),
    "gigapixel": ("images of 16,000 x 16,000", _input("n", 1, 16_000, 16_000)),
    "terapixel": ("images of 2^31 x 2^31", _input("n", 1, 1 << 31, 1 << 31)),
    "axis-negative": ("images of negative size", _input("n", 1, -5, 8)),
    "rank-0": ("an input without axes", _input()),
    "rank-40": ("an input with forty axes", _input("n", *[1] * 39)),
    "pixels-0": ("images without pixels", _input("n", 0, 8, 8)),
    "batch-huge": ("a batch of 10^9 images", _input(10**9, 1, 8, 8)),
    "two-inputs": ("a second input", _edited(lambda found: found.graph.input.append(info("z", 1, [1])))),
    "sequence": (
        "an answer that is a sequence",
        lambda: model(
            [node("SequenceConstruct", ["x"], ["q"]), node("SequenceAt", ["q", "i"], ["v"])],
            {"i": np.array(99)},
            start="v",
        ),
    ),
}
EITHER: dict[str, tuple[str, Made]] = {
    **{f"flip-{seed}": ("bits flipped at random", lambda seed=seed: _flipped(seed)) for seed in range(8)},  # type: ignore[misc]  # a default binds it
    "one-class": ("a single class", lambda: model(arrays={"W": weights()[:, :1]}, answer=["n", 1])),
    "twice": (
        "two tensors of one name",
        _edited(lambda found: found.graph.initializer.append(found.graph.initializer[0])),
    ),
    "deep-20": ("twenty graphs within each other", _deep(20)),
    "deep-1000": ("a thousand graphs within each other", _nested),
    "nodes-20000": ("a chain of 20,000 operators", lambda: _many("nodes", 20_000)),
    "fan-in": ("an operator with 50,000 inputs", lambda: _many("inputs", 50_000)),
    "outputs": ("a thousand outputs", lambda: _outputs(1000)),
    "attribute": (
        "an attribute of 40 MB",
        _edited(lambda found: found.graph.node[0].attribute.append(helper.make_attribute("x", "n" * 40_000_000))),
    ),
    "doc": ("a description of 40 MB", _edited(lambda found: setattr(found, "doc_string", EVIL["esc"] * 2_000_000))),
    "surrogate": ("half a letter in its name", _raw_name(b"\xed\xa0\x80")),
    "not-utf-8": ("bytes that are no text in its name", _raw_name(b"\xff\xfe")),
    "classes-2000000": ("two million classes", _wide),
    "random": (
        "answers that change from call to call",
        lambda: model([node("RandomNormalLike", ["x"], ["r"]), node("Add", ["x", "r"], ["v"])], start="v"),
    ),
}


def _named(where: str, kind: str) -> Made:
    text = EVIL[kind]
    props = {
        "name": text,
        "dataset": text,
        "class_names": ",".join(f"{text[:600_000]}{n}".replace(",", "") for n in range(3)),
    }
    if where == "metadata":
        return lambda: model(props=props)
    short = text[:100_000]
    return lambda: model(x=short) if where == "x" else model(y=short)


def _one_screen(found: Outcome) -> str:
    return "" if len(found.out) < 30_000 else f"printed {len(found.out)} letters"


def cases() -> Iterator[Case]:
    """All of them."""
    for name, (tries, made) in BROKEN.items():
        yield Case(f"onnx/{name}", tries, _words(made))
    for name, (tries, made) in EITHER.items():
        yield Case(f"onnx/{name}", tries, _words(made), codes=(0, 2), memory=7e9)  # 14 times its file
    for kind in EVIL:
        yield Case(
            f"onnx/names-{kind}", f"metadata with {kind}", _words(_named("metadata", kind)), (0,), wrong=_one_screen
        )
    for kind in ("esc", "newline", "nul-and-del", "long"):
        for where in ("x", "y"):
            tries = f"an {'input' if where == 'x' else 'output'} named with {kind}"
            yield Case(f"onnx/{where}-{kind}", tries, _words(_named(where, kind)), (0, 2), wrong=_one_screen)
    yield Case(
        "onnx/missing",
        "a path where nothing is",
        lambda place: inspect(place, place.given / "no.onnx"),
        wrong=says("There is no file"),
    )
    yield Case("onnx/name-long", "a path of 5,000 letters", lambda place: ["inspect", "n" * 5000 + ".onnx"])
    yield Case("onnx/name-odd", "a file named with ESC and a line break", _oddly_named, codes=(0,))


def _oddly_named(place: Place) -> list[object]:
    path: Path = place.given / "m\x1b[2J\nGrade: A\u202e.onnx"
    return inspect(place, save(path, model()))
