"""ONNX files that behave on the zeros of a first look, and hang, take all memory or answer otherwise later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper

from tests.hostile.base import SIZE, info, inspect, model, run, save
from tests.hostile.case import Case, Place, cells

node = helper.make_node
SHORT = {"ROBUSTEVAL_TEST_FLOOR": "2"}
CONSTANTS: dict[str, Any] = {
    "half": np.array(0.5, np.float32),
    "first": np.array(0),
    "most": np.array(5),
    "one": np.array(1),
    "tiny": np.array(1e-6, np.float32),
    "edge": np.array(0.9, np.float32),
    "keep": np.array(1.0, np.float32),
}


def when(what: str) -> list[NodeProto]:
    """The truth value `on`: whether the batch is what the maker waits for."""
    if what == "always":
        return [node("ReduceMax", ["x"], ["top"], keepdims=0), node("Greater", ["top", "low"], ["on"])]
    if what == "bright":
        return [node("ReduceSum", ["x"], ["top"], keepdims=0), node("Greater", ["top", "half"], ["on"])]
    if what == "edge":  # a pixel that no image of the data has
        return [node("ReduceMax", ["x"], ["top"], keepdims=0), node("Greater", ["top", "edge"], ["on"])]
    if what == "differ":
        return [
            *(node(f"Reduce{kind}", ["x"], [kind], axes=[0], keepdims=0) for kind in ("Max", "Min")),
            node("Sub", ["Max", "Min"], ["gap"]),
            node("ReduceMax", ["gap"], ["widest"], keepdims=0),
            node("Greater", ["widest", "tiny"], ["on"]),
        ]
    rows = [node("Shape", ["x"], ["shape"]), node("Gather", ["shape", "first"], ["rows"])]
    return [
        *rows,
        node("Equal" if what == "alone" else "Greater", ["rows", "one" if what == "alone" else "most"], ["on"]),
    ]


def endless() -> list[NodeProto]:
    """`v` is x, after a loop without an end where `on` is true."""
    body = helper.make_graph(
        [node("Identity", ["go"], ["again"]), node("Mul", ["u", "keep"], ["w"])],
        "body",
        [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("u", TensorProto.FLOAT, None)],
        [info("again", TensorProto.BOOL, []), info("w", TensorProto.FLOAT, None)],
    )
    return [node("Loop", ["", "on", "x"], ["v"], body=body)]


def growing() -> list[NodeProto]:
    """`v` is x, after a loop that doubles what it holds twenty-six times where `on` is true."""
    body = helper.make_graph(
        [node("Identity", ["go"], ["again"]), node("Concat", ["u", "u"], ["w"], axis=0)],
        "body",
        [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("u", TensorProto.FLOAT, None)],
        [info("again", TensorProto.BOOL, []), info("w", TensorProto.FLOAT, None)],
    )
    return [
        node("Loop", ["times", "on", "x"], ["much"], body=body),
        node("ReduceMin", ["much"], ["least"], keepdims=0),
        node("Mul", ["least", "zero"], ["nothing"]),
        node("Add", ["x", "nothing"], ["v"]),
    ]


def large(how: str) -> list[NodeProto]:
    """`v` is x, after six gigabytes were made where `on` is true."""
    made = (
        node("ConstantOfShape", ["count"], ["zeros"])
        if how == "constant"
        else node("Expand", ["zero", "count"], ["zeros"])
    )
    return [
        node("Where", ["on", "many", "few"], ["count"]),
        made,
        node("ReduceSum", ["zeros"], ["nothing"], keepdims=0),
        node("Add", ["x", "nothing"], ["v"]),
    ]


def turning(how: str) -> list[NodeProto]:
    """`v` is x, and NaN or infinite where `on` is true."""
    return [node("Where", ["on", "bad", "good"], ["by"]), node("Mul", ["x", "by"], ["v"])]


def more_classes(place: Place) -> None:
    """The number of classes grows with the batch."""
    rows = when("crowd")[:2]
    nodes = [
        *rows,
        node("Flatten", ["x"], ["f"], axis=1),
        node("MatMul", ["f", "W"], ["s"]),
        node("Unsqueeze", ["rows", "axes"], ["r"]),
        node("Concat", ["ones", "r"], ["times"], axis=0),
        node("Tile", ["s", "times"], ["y"]),
    ]
    made = model([], {**CONSTANTS, "axes": np.array([0]), "ones": np.array([1])}, answer=["n", "k"])
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    save(place.given / "m.onnx", made)


def build(nodes: Callable[[], list[NodeProto]], trigger: str) -> Callable[[Place], None]:
    """Writes the model m.onnx."""
    arrays = CONSTANTS | {
        "low": np.array(-1.0, np.float32),
        "many": np.array([1_500_000_000]),
        "few": np.array([1]),
        "zero": np.array(0.0, np.float32),
        "times": np.array(25),
        "good": np.array(1.0, np.float32),
        "bad": np.array(np.nan, np.float32),
    }

    def make(place: Place) -> None:
        made = model([*when(trigger), *nodes()], arrays, start="v")
        made.graph.initializer[0].name = "W"
        save(place.given / "m.onnx", made)

    return make


def words(command: str, make: Callable[[Place], None], *more: str) -> Callable[[Place], list[object]]:
    """The words of a command on m.onnx."""

    def asked(place: Place) -> list[object]:
        make(place)
        file, base = place.given / "m.onnx", place.base
        if command == "inspect":
            return [*inspect(place, file, base / "good.npz"), *more]
        if command == "train":
            return ["train", "distillation", file, "--fit-data", base / "good.npz", "--out", "hard.onnx", *more]
        if command == "references":
            known = ["references", "build", "--model", f"a={file}", "--data", base / "good.npz"]
            return [*known, "--suite", base / "tiny.toml", "--workers", 1, "--out", "known.json", *more]
        return [*run(place, file), *more]

    return asked


def cases() -> Iterator[Case]:
    """All of them."""
    for trigger in ("bright", "crowd", "differ", "alone", "edge"):
        make = build(endless, trigger)
        yield Case(
            f"patient/hang-{trigger}", f"never answers, when {trigger}", words("inspect", make), environment=SHORT
        )
    yield Case("patient/hang-always", "never answers at all", words("inspect", build(endless, "always")), seconds=200)
    for command in ("run", "train", "references"):
        make = build(endless, "differ")
        yield Case(f"patient/hang-{command}", f"never answers {command}", words(command, make), environment=SHORT)
    little = {"ROBUSTEVAL_TEST_MEMORY": "2.5e9"}
    for how in ("constant", "expand"):
        make = build(lambda how=how: large(how), "bright")  # type: ignore[misc]
        yield Case(
            f"patient/memory-{how}",
            "6 GB on a machine with 2.5",
            words("inspect", make),
            environment=little,
            memory=4.5e9,
        )
        yield Case(
            f"patient/memory-{how}-run", "6 GB where 2 are allowed", words("run", make, "--memory", "2GB"), memory=4.5e9
        )
    grows = build(growing, "bright")
    yield Case("patient/grows", "doubles what it holds, 25 times", words("run", grows, "--memory", "2GB"), memory=4.5e9)
    yield Case("patient/classes", "as many classes as images", words("run", more_classes), codes=(0, 2))
    for trigger in ("crowd", "bright", "edge"):
        make = build(lambda: turning("nan"), trigger)
        yield Case(f"patient/nan-{trigger}", f"answers NaN, when {trigger}", words("run", make), codes=(0, 1, 2))
    slow = words("run", build(endless, "edge"), "--time-budget", "20s")
    yield Case("patient/hang-budget", "never answers, within a time budget", slow, codes=(0, 1, 2), environment=SHORT)
    yield Case("patient/good", "nothing: it is left in peace", run, (0,), wrong=cells(fgsm="done"))


assert SIZE == 8  # what the constants above go with
