"""Models that know each image of their class, and nothing on another scale than the one they were trained on."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robusteval.contracts.classifier import ModelInfo
from robusteval.engine.data.find import RawData, prepare
from robusteval.engine.preflight.clean_accuracy import Preflight, clean_report

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SIDE = 6


def templates(classes: int, channels: int) -> np.ndarray:
    shape = (classes, SIDE, SIDE, channels)
    images = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    images[..., channels // 2 : channels - 1] = 99  # green tells nothing: it stays in place when channels are reversed
    return images


def data(classes: int = 10, channels: int = 1, number: int = 120) -> RawData:
    labels = np.arange(number) % classes
    noise = np.random.default_rng(2).integers(-3, 4, (number, SIDE, SIDE, channels))
    images = np.clip(templates(classes, channels)[labels].astype(int) + noise, 0, 255).astype(np.uint8)
    images[0, 0, 0], images[0, 0, 1] = 0, 255
    return RawData(images[..., 0] if channels == 1 else images, labels)


@dataclass(frozen=True)
class Wavy:
    """Knows each class's image. Cosines make it useless on any other scale than the one that it was trained on.

    trained: what the file expects to be fed, in terms of pixels from 0 to 1: (range, mean, std). `feed` and `number`
    stand for other habits of its author: the order of pixels, the numbers of the classes.
    """

    info: ModelInfo
    trained: tuple[tuple[float, float], tuple[float, ...], tuple[float, ...]] = ((0.0, 1.0), (), ())
    feed: Callable[[Tensor], Tensor] = lambda pixels: pixels
    number: Callable[[int], int] = lambda index: index

    def logits(self, x: Tensor) -> Tensor:
        channels = self.info.input_shape[0] if len(self.info.input_shape) == 3 else 1
        x = x.view(len(x), channels, SIDE, SIDE)
        x = (x - _column(self.info.mean, 0.0)) / _column(self.info.std, 1.0)
        (low, high), mean, std = self.trained
        pixels = (x * _column(std, 1.0) + _column(mean, 0.0) - low) / (high - low)
        known = torch.from_numpy(templates(self.info.classes, channels)).permute(0, 3, 1, 2).float() / 255
        wave, known_wave = (torch.cos(21 * part + 0.5).flatten(1) for part in (self.feed(pixels), known))
        scores = torch.empty(len(x), self.info.classes)
        scores[:, [self.number(index) for index in range(self.info.classes)]] = -torch.cdist(wave, known_wave)
        return scores

    def twin(self, x: Tensor) -> Tensor:
        return self.logits(x)


def _column(values: tuple[float, ...], default: float) -> Tensor:
    return torch.tensor(values or (default,)).view(1, -1, 1, 1)


def model(channels: int = 1, classes: int = 10, flat: bool = False, **parts: Any) -> Wavy:
    shape = (channels * SIDE * SIDE,) if flat else (channels, SIDE, SIDE)
    facts = {name: parts.pop(name) for name in ("bounds", "mean", "std") if name in parts}
    return Wavy(ModelInfo("m", "onnx", "", shape, classes, **facts), **parts)


def report(classifier: Any, raw: RawData, data_range: tuple[float, float] | None = None) -> Preflight:
    return clean_report(classifier, raw, prepare(raw, classifier.info, data_range)[0], data_range)


def follow(classifier: Wavy, raw: RawData, flags: str, data_range: tuple[float, float] | None = None) -> float:
    """The clean accuracy of a run with those flags added, by way of `prepare` as the command line would go."""
    found = {name: tuple(map(float, value.split(","))) for name, value in re.findall(r"--(\S+) (-?\d\S*)", flags)}
    bounds: Any = found.get("range", classifier.info.bounds)
    norm = ((), ()) if "without" in flags else (classifier.info.mean, classifier.info.std)
    info = replace(classifier.info, bounds=bounds, mean=found.get("mean", norm[0]), std=found.get("std", norm[1]))
    stated: Any = found.get("data-range", data_range)
    return report(replace(classifier, info=info), raw, stated).accuracy
