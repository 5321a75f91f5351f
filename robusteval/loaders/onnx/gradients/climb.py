"""Which rung a file stands on: its answers are read, its graph prepared, and its gradients measured."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from robusteval.loaders.onnx.gradients.ladder import Climb
from robusteval.loaders.onnx.gradients.modes import settle
from robusteval.loaders.onnx.gradients.prepass import Prepared, all_nodes, prepare
from robusteval.loaders.onnx.gradients.probes import Probes, gather
from robusteval.loaders.onnx.reading.file import ModelFile
from robusteval.loaders.onnx.reading.reference import Truth
from robusteval.loaders.onnx.twin.node import Unsupported
from robusteval.loaders.output_head import Head, flat_rows, read_head

WHOLE = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")


def climb(file: ModelFile, truth: Truth, samples: Tensor | None) -> tuple[Head, Climb]:
    """Reads the head off some answers, then finds the rung whose gradients serve, by the user's images where there are
    any.

    samples: float32 [n, *input_shape] in the stated range. Raises ModelError where they are not answered by finite
    numbers.
    """
    labels = truth.output_reading.kind == "labels"
    prepared, refusal = _prepared(file, truth, False)
    probes = gather(truth, samples, prepared is not None and prepared.tail == "Log")
    if prepared is not None and prepared.tail and not labels and probes.raw[0].numel() == 1:
        prepared, refusal = _prepared(file, truth, True)
    head = read_head(probes.raw, prepared.tail if prepared else "", labels)
    forced, notes = _coupling(truth, probes)
    start = Climb("E", refusal, precision=_precision(file), forced_batch=forced, notes=(*notes, *probes.notes))
    if prepared is None or (labels and prepared.tail != "Labels"):
        return head, replace(start, reason=refusal or "The file returns labels only.")
    if prepared.tail and not head.tail:  # its numbers are not what a softmax or sigmoid makes
        start = replace(start, soft=False)
        prepared = prepare(file.proto(), truth.output_reading.tensor, soft=False)
    try:
        return head, settle(file, truth, probes, prepared, head, start)
    except Unsupported as error:
        return head, replace(start, rung="E", reason=_sentence(error))


def _prepared(file: ModelFile, truth: Truth, one_score: bool) -> tuple[Prepared | None, str]:
    """The graph for the walker, or the sentence why there is none."""
    try:
        labels = truth.output_reading.kind == "labels"
        return prepare(file.proto(), truth.output_reading.tensor, one_score, labels=labels), ""
    except Unsupported as error:
        return None, _sentence(error)


def _sentence(error: Unsupported) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def _precision(file: ModelFile) -> str:
    model = file.proto()
    kinds = {node.op_type for node in all_nodes(model.graph)}
    if any(op in WHOLE or op.startswith("QLinear") or op in ("QGemm", "QAttention") for op in kinds):
        return "int8"
    weights = [t.data_type for t in model.graph.initializer if math.prod(t.dims) > 1]
    halves = sum(t in (10, 16) for t in weights)
    casts = [a.i for n in all_nodes(model.graph) if n.op_type == "Cast" for a in n.attribute if a.name == "to"]
    if (weights and 2 * halves > len(weights)) or any(to in (10, 16) for to in casts):
        return "float16"
    return "float64" if weights and all(t == 11 for t in weights) else "float32"


def _coupling(truth: Truth, probes: Probes) -> tuple[int | None, tuple[str, ...]]:
    """Whether a row's answer depends on the rows beside it (dynamic quantisation does that)."""
    if truth.input_reading.batch is not None:
        return None, ()
    x = torch.cat([probes.x[:16], probes.made])
    together, alone = flat_rows(truth.raw(x)), flat_rows(truth.raw(x, 1))
    together, alone = together.nan_to_num(0.0, 0.0, 0.0), alone.nan_to_num(0.0, 0.0, 0.0)
    gap = float((together - alone).abs().max()) / max(1e-12, float(alone.abs().max()))
    if gap <= 1e-3:
        return None, ()
    note = f"Answers depend on the other rows of a batch (by {gap:.1%}): every input is asked alone."
    return 1, (note,)
