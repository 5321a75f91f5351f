"""A trained model as files: ONNX that stands on its own, checked with ONNX Runtime, and its weights as safetensors."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.torch import save
from torch import Tensor, nn

from robusteval.contracts.classifier import Classifier, ModelInfo
from robusteval.contracts.training import parameters_of, trainable
from robusteval.errors import ModelError, RobustEvalError

OPSET = 18
TOLERANCE = 1e-4  # of the largest score: by how much the file may differ from what was trained


def write_model(
    model: Classifier, source: ModelInfo, path: Path, facts: Mapping[str, Any], probe: Tensor, learnt: str = ""
) -> float:
    """Writes path and, beside it, the weights as .safetensors; the largest difference from `model.logits` on probe.

    The file takes canonical inputs, float32 [N, *input_shape] in the stated range, and gives scores [N, K]: range,
    mean, deviation and layout are inside. It keeps the data set and the class names of `source`; facts: what made it;
    learnt: marks of the images that it was trained on, as in ModelInfo.
    Raises ModelError where the model cannot be exported, or where the file does not answer as the model does.
    """
    module = trainable(model).requires_grad_(False).cpu()
    strings = _strings(source, facts)
    content = _onnx_bytes(module, source, strings | ({"robusteval.learnt": learnt} if learnt else {}))
    gap = _gap(content, model, probe.cpu())
    if not gap <= TOLERANCE:
        raise ModelError(
            f"The ONNX file would differ from the trained model by {gap:.2g} of the largest score, so it was not "
            "written.",
            "Please report this with the model; the training is kept.",
        )
    written = [
        (path, content),
        (path.with_suffix(".safetensors"), save(parameters_of(module), strings)),
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for target, data in written:
            part = target.with_name(target.name + ".part")
            part.write_bytes(data)
            part.replace(target)
    except OSError as error:
        raise RobustEvalError(
            f"{path} cannot be written: {error.strerror or error}.", "Choose another --out."
        ) from error
    return gap


def _onnx_bytes(module: nn.Module, source: ModelInfo, strings: dict[str, str]) -> bytes:
    low, high = source.bounds
    example = torch.full((2, *source.input_shape), (low + high) / 2, device="cpu")
    try:
        # The exporter by tracing needs no package beyond torch, and says with warnings that there is a newer one.
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
            file = str(Path(folder) / "model.onnx")
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (example,),
                file,
                dynamo=False,
                opset_version=OPSET,
                input_names=["x"],
                output_names=["logits"],
                dynamic_axes={"x": {0: "N"}, "logits": {0: "N"}},
            )
            exported = onnx.load(file)
    except Exception as error:  # the exporter fails with errors of many types
        reason = (str(error).splitlines() or [type(error).__name__])[-1]
        raise ModelError(
            f"torch cannot write the trained model as ONNX: {reason[:200]}",
            "The training is kept; use it within a run.",
        ) from error
    exported.producer_name = "robusteval"
    for node in exported.graph.node:
        node.doc_string = ""  # it names source files, which differ from machine to machine
    onnx.helper.set_model_props(exported, strings)
    return bytes(exported.SerializeToString())


def _strings(source: ModelInfo, facts: Mapping[str, Any]) -> dict[str, str]:
    props = {"robusteval.training": json.dumps(dict(facts), sort_keys=True)}
    if source.dataset:
        props["robusteval.dataset"] = source.dataset
    if source.class_names:
        props["class_names"] = ",".join(source.class_names)
    return props


def _gap(content: bytes, model: Classifier, probe: Tensor) -> float:
    """The largest difference on probe, as a share of the largest score, at several batch sizes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for count in (1, 3, len(probe)):
        x = probe[:count]
        truth = model.logits(x).numpy()
        try:
            (answered,) = session.run(None, {"x": x.numpy().astype(np.float32)})
        except Exception:  # noqa: BLE001
            # onnxruntime's own exceptions; a batch that does not fit makes the file useless
            return float("inf")
        worst = max(worst, float(np.abs(answered - truth).max()) / max(1e-12, float(np.abs(truth).max())))
    return worst
