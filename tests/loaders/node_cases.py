"""ONNX's own node tests, cut down to the operators that classifiers use, and how the twin's walker runs one."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from robusteval.loaders.onnx.gradients.prepass import all_nodes, inlined, merge_opsets
from robusteval.loaders.onnx.twin.node import torch_dtype
from robusteval.loaders.onnx.twin.program import Program

# Operators of training, text, signals, lists and detection: no trained image classifier's inference graph holds them.
OUTSIDE = frozenset({
    "Adagrad", "Adam", "Momentum", "ImageDecoder", "StringConcat", "StringNormalizer", "StringSplit",
    "RegexFullMatch", "TfIdfVectorizer", "LabelEncoder", "DFT", "STFT", "MelWeightMatrix", "BlackmanWindow",
    "HammingWindow", "HannWindow", "Bernoulli", "RandomUniformLike", "NegativeLogLikelihoodLoss",
    "SoftmaxCrossEntropyLoss", "SequenceInsert", "SequenceMap", "SequenceEmpty", "SequenceLength",
    "SplitToSequence", "OptionalGetElement", "OptionalHasElement", "NonMaxSuppression", "RoiAlign", "Unique",
    "TreeEnsemble", "BitCast", "TensorScatter", "LinearAttention", "FlexAttention", "CausalConvWithState",
})  # fmt: skip
# Numbers of 8 bits and fewer that are not integers, and integers of fewer than 8 bits: only ever seen in constants.
RARE = frozenset(("FLOAT8", "FLOAT4", "INT4", "INT2", "BFLOAT16"))
CACHES = ("nonpad", "with_past", "ext_cache", "padded_kv")  # attention over what a language model said before


def collect() -> list[Any]:
    """The node tests of the installed onnx whose operators and types a classifier may hold."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [case for case in collect_testcases(None) if _inside(case)]


def _inside(case: Any) -> bool:
    graph = case.model.graph
    if any(node.op_type in OUTSIDE for node in all_nodes(graph)):
        return False
    if case.name.endswith("_expanded") or "_expanded_" in case.name:
        return False  # the same operator again, written with others
    if any(word in case.name for word in CACHES):
        return False
    if "cast" in case.name and any(word in case.name for word in RARE):
        return False
    for value in (*graph.input, *graph.output):
        kind = value.type
        if not kind.HasField("tensor_type"):
            return False
        try:
            torch_dtype(kind.tensor_type.elem_type, torch.float32)
        except Exception:  # noqa: BLE001 - whatever it says of a type, the case is not for us
            return False
    return True


def run_case(case: Any) -> str:
    """ "" when the walker agrees with the published outputs, or with ONNX Runtime's; the reason otherwise."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for inputs, outputs in case.data_sets:
        try:
            got = walk(model, [as_array(v) for v in inputs])
        except Exception as error:  # noqa: BLE001 - what it raised is the finding
            return f"{type(error).__name__}: {error}"
        wanted = [as_array(v) for v in outputs]
        why = differences(got, wanted, case.rtol, case.atol)
        if why:
            other = by_runtime(model, [as_array(v) for v in inputs])
            if other is None or differences(got, other, case.rtol, case.atol):
                return why + ("" if other is not None else " (ONNX Runtime does not run it)")
    return ""


def as_array(value: Any) -> np.ndarray[Any, Any]:
    """A test's value, however it was written down."""
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def walk(model: onnx.ModelProto, inputs: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """The walker's outputs for the graph's inputs."""
    opsets = merge_opsets(model)
    graph = inlined(model).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)}
    program = Program(graph, opsets, torch.float32, False, types)
    feed = [as_tensor(a) for a in inputs]
    return [np.asarray(out) for out in program.interpret(feed, [])]


def as_tensor(a: np.ndarray[Any, Any]) -> torch.Tensor:
    """An array of any of the types that tests use, as the walker holds it."""
    if a.dtype in (np.uint16, np.uint32, np.uint64):
        a = a.astype(np.int64)
    elif a.dtype.kind not in "biu" and a.dtype not in (np.float32, np.float64):
        a = a.astype(np.float32)
    return torch.from_numpy(np.array(a))


def differences(got: list[Any], wanted: list[Any], rtol: float, atol: float) -> str:
    """What differs, or ""."""
    for mine, theirs in zip(got, wanted, strict=False):
        if mine.shape != theirs.shape:
            return f"shape {mine.shape} for {theirs.shape}"
        a, b = mine.astype(np.float64), theirs.astype(np.float64)
        if not np.allclose(a, b, rtol=max(rtol, 1e-3), atol=max(atol, 1e-6), equal_nan=True):
            return f"differs by {np.nanmax(np.abs(a - b)):.3g}"
    return ""


def by_runtime(model: onnx.ModelProto, inputs: list[np.ndarray[Any, Any]]) -> list[Any] | None:
    """ONNX Runtime's outputs, or None where it does not run the model."""
    import onnxruntime

    capped = onnx.ModelProto()
    capped.CopyFrom(model)
    capped.ir_version = min(capped.ir_version, 10)
    for entry in capped.opset_import:
        if entry.domain == "":
            entry.version = min(entry.version, 24)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(capped.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [i.name for i in session.get_inputs()]
        quiet = onnxruntime.RunOptions()
        quiet.log_severity_level = 4
        return [np.asarray(o) for o in session.run(None, dict(zip(names, inputs, strict=True)), quiet)]
    except Exception:  # noqa: BLE001 - ONNX Runtime's exceptions share no base class of their own
        return None
