"""Operators of classical machine learning that have a gradient: scalers and linear models (ai.onnx.ml)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.twin.indexing import RULES as INDEXING
from robusteval.loaders.onnx.twin.node import Fn, Node, Rule, through


def _post(kind: str) -> Fn:
    if kind == "SOFTMAX":
        return lambda y: torch.softmax(y, -1)
    if kind == "LOGISTIC":
        return torch.sigmoid
    if kind == "SOFTMAX_ZERO":
        return _softmax_zero
    return lambda y: y


def _softmax_zero(y: Tensor) -> Tensor:
    live = y.abs() > 1e-7
    e = torch.where(live, torch.exp(y - y.amax(-1, keepdim=True)), torch.zeros_like(y))
    return e / e.sum(-1, keepdim=True)


def _scaler(node: Node) -> Fn:
    offset, scale = (
        torch.tensor(node.get_floats("offset") or [0.0], device="cpu"),
        torch.tensor(node.get_floats("scale") or [1.0], device="cpu"),
    )
    return lambda x: (x.to(node.real) - offset.to(x.device, node.real)) * scale.to(x.device, node.real)


def _normalizer(node: Node) -> Fn:
    kind = node.get_str("norm", "MAX")

    def run(x: Tensor) -> Tensor:
        x = x.to(node.real)
        if kind == "MAX":
            size = x.amax(-1, keepdim=True)
        else:
            size = torch.linalg.vector_norm(x, 1 if kind == "L1" else 2, -1, keepdim=True)
        return x / torch.where(size == 0, torch.ones_like(size), size)

    return run


def _linear(node: Node, key: str) -> tuple[Tensor, Tensor, int]:
    weights, bias = node.get_floats(key) or [], node.get_floats("intercepts")
    rows = len(bias) if bias else max(1, node.get_int("targets", 1))
    matrix = torch.tensor(weights, dtype=node.real, device="cpu").reshape(rows, -1)
    return matrix, torch.tensor(bias or [0.0] * rows, dtype=node.real, device="cpu"), rows


def _linear_classifier(node: Node) -> Fn:
    """Labels and scores; a single row of coefficients scores two classes."""
    matrix, bias, rows = _linear(node, "coefficients")
    kind = node.get_str("post_transform", "NONE")
    labels = node.get_ints("classlabels_ints")
    count = len(labels or []) or len(node.attrs["classlabels_strings"].strings if not labels else [])

    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        y = F.linear(x.to(node.real), matrix.to(x.device), bias.to(x.device))
        if rows == 1 and count == 2:
            p = _post(kind)(y) if kind == "LOGISTIC" else y
            scores = torch.cat([1 - p if kind == "LOGISTIC" else -p, p], -1)
            scores = _post(kind)(scores) if kind.startswith("SOFTMAX") else scores
        else:
            scores = _post(kind)(y)
        best = scores.argmax(-1)
        return torch.tensor(labels, device=x.device)[best] if labels else best, scores

    return run


def _linear_regressor(node: Node) -> Fn:
    matrix, bias, _ = _linear(node, "coefficients")
    post = _post(node.get_str("post_transform", "NONE"))
    return lambda x: post(F.linear(x.to(node.real), matrix.to(x.device), bias.to(x.device)))


def _imputer(node: Node) -> Fn:
    values = node.get_floats("imputed_value_floats") or [float(i) for i in node.get_ints("imputed_value_int64s") or []]
    old = node.get_float("replaced_value_float", math.nan)

    def run(x: Tensor) -> Tensor:
        new = torch.tensor(values, dtype=x.dtype, device=x.device)
        return torch.where(torch.isnan(x) if math.isnan(old) else x == old, new, x)

    return run


def _binarizer(node: Node) -> Fn:
    threshold = node.get_float("threshold", 0.0)
    return lambda x: through(node, x, (x > threshold).to(x.dtype))


def _feature_vectorizer(node: Node) -> Fn:
    sizes = node.get_ints("inputdimensions") or []

    def run(*xs: Tensor) -> Tensor:
        return torch.cat([x.reshape(x.shape[0], -1)[:, :n].to(node.real) for x, n in zip(xs, sizes, strict=True)], 1)

    return run


RULES: Mapping[str, Rule] = {
    "Scaler": Rule(_scaler),
    "Normalizer": Rule(_normalizer),
    "LinearClassifier": Rule(_linear_classifier),
    "LinearRegressor": Rule(_linear_regressor),
    "Imputer": Rule(_imputer),
    "Binarizer": Rule(_binarizer, steps=True),
    "FeatureVectorizer": Rule(_feature_vectorizer),
    "ArrayFeatureExtractor": INDEXING["ArrayFeatureExtractor"],
}
