"""What the certifiers prove and what it costs: the examples, a LeNet, and nets of growing width and depth.

    python benchmarks/certify.py --images 32 --parts examples quantised lenet sizes

Seconds are of the process (one thread), an image that is right when clean; proofs are of the first images of the
bundled Fashion-MNIST, or with the LeNet of MNIST, both in `ROBUSTEVAL_TEST_DATA`. Nets of the table by size are random,
so only their cost is told.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from robusteval_certifiers.alpha_crown import AlphaCrown
from robusteval_certifiers.crown import Crown
from robusteval_certifiers.ibp import Ibp
from torch import Tensor

from robusteval.api import (
    Certifier,
    GraphNode,
    ModelGraph,
    Norm,
    Statement,
    graph_of,
    graph_scores,
    load_model,
    proved,
)
from robusteval.engine.data.fashion_mnist import FashionMnist

ROOT = Path(__file__).parents[1]
CERTIFIERS: tuple[Certifier, ...] = (Ibp(), Crown(), AlphaCrown())
BALLS: dict[str, tuple[tuple[Norm, float], ...]] = {
    "fashion-robust": (("linf", 0.05), ("linf", 0.1), ("l2", 0.1), ("l1", 0.2)),
    "fashion-cnn": (("linf", 0.004), ("linf", 0.01), ("l2", 0.02), ("l1", 0.05)),
}


LENET = (0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.05, 0.1)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--parts", nargs="+", choices=sorted(PARTS), default=sorted(PARTS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    for part in given.parts:
        PARTS[part](given.images)


def examples(images: int) -> None:
    """The bundled examples in the three norms."""
    print("\n| model | ball | certifier | proved | s an image |\n|---|---|---|---:|---:|")
    for name, balls in BALLS.items():
        graph, x, y = _example(name, images)
        for norm, eps in balls:
            for certifier in CERTIFIERS:
                share, seconds = _asked(certifier, graph, x, y, norm, eps)
                print(f"| {name} | {norm} {eps:g} | {certifier.info.name} | {100 * share:.1f} % | {seconds:.3f} |")


def quantised(images: int) -> None:
    """The int8 example beside the one that it was made of, in Linf; what PGD leaves is judged by the files."""
    certifiers = CERTIFIERS[:2]
    names = [certifier.info.name for certifier in certifiers]
    print(f"\n| model | Linf | {' | '.join(f'{name}, s an image' for name in names)} | left by PGD |")
    print(f"|---|---:|{'---:|' * len(names)}---:|")
    for name in ("fashion-int8", "fashion-cnn"):
        graph, x, y = _example(name, images)
        for eps in (0.001, 0.002, 0.004, 0.01):
            found = [_asked(certifier, graph, x, y, "linf", eps) for certifier in certifiers]
            cells = " | ".join(f"{100 * share:.1f} %, {seconds:.3f}" for share, seconds in found)
            print(f"| {name} | {eps:g} | {cells} | {100 * _left(name, graph, x, y, eps):.1f} % |", flush=True)


def _left(name: str, graph: ModelGraph, x: Tensor, y: Tensor, eps: float, steps: int = 40) -> float:
    """The share of images that the file answers rightly at all points of a descent, whose gradients are the graph's,
    straight through roundings."""
    model = load_model(ROOT / "examples" / f"{name}.onnx")
    point, right = x.double(), model.logits(x).argmax(1) == y
    for _ in range(steps):
        leaf = point.detach().requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(graph_scores(graph, leaf), y, reduction="sum")
        (grad,) = torch.autograd.grad(loss, leaf)
        point = (point + eps / 8 * grad.sign()).clamp(x - eps, x + eps).clamp(0.0, 1.0).detach()
        right &= model.logits(point.float().clamp(x - eps, x + eps)).argmax(1) == y
    return float(right.double().mean())


def lenet(images: int) -> None:
    """crown on a LeNet of 431,080 parameters, in Linf."""
    folder = Path(os.environ["ROBUSTEVAL_TEST_DATA"])
    graph = graph_of(load_model(folder / "models" / "lenet.onnx"))
    pixels, labels = (np.load(folder / "mnist" / "test1000.npz")[name][:images] for name in ("x", "y"))
    x = torch.from_numpy(pixels.astype("float32")).reshape(-1, 1, 28, 28)
    y = torch.from_numpy(labels.astype("int64"))
    print("\n| LeNet, Linf | proved | s an image |\n|---|---:|---:|")
    for eps in LENET:
        share, seconds = _asked(Crown(), graph, x, y, "linf", eps)
        print(f"| {eps:g} | {100 * share:.1f} % | {seconds:.3f} |", flush=True)


def sizes(images: int) -> None:
    """Random nets by depth and width, on four images at most."""
    print("\n| hidden layers | width | certifier | s an image |\n|---:|---:|---|---:|")
    for depth, width in ((2, 64), (2, 256), (2, 1024), (4, 256), (8, 256)):
        graph = _dense(depth, width)
        x = torch.rand(min(images, 4), 784, generator=torch.Generator("cpu").manual_seed(1)).double()
        for certifier in CERTIFIERS:
            _, seconds = _asked(certifier, graph, x, graph_scores(graph, x).argmax(1), "linf", 0.01)
            print(f"| {depth} | {width} | {certifier.info.name} | {seconds:.3f} |")


def _example(name: str, images: int) -> tuple[ModelGraph, Tensor, Tensor]:
    pixels, labels, _ = FashionMnist().raw("test")
    x = torch.from_numpy(pixels[:images].astype("float32") / 255)[:, None]
    return (
        graph_of(load_model(ROOT / "examples" / f"{name}.onnx")),
        x,
        torch.from_numpy(labels[:images].astype("int64")),
    )


def _asked(
    certifier: Certifier, graph: ModelGraph, x: Tensor, y: Tensor, norm: Norm, eps: float
) -> tuple[float, float]:
    """(share of all images that is proved, seconds an image that was asked about)."""
    right = graph_scores(graph, x).argmax(1) == y
    x, y, total = x[right], y[right], len(x)
    hot = torch.nn.functional.one_hot(y, graph.classes).bool()
    asked = Statement(graph, x.double(), y, hot, norm, torch.full((len(x),), eps).double(), (0.0, 1.0))
    begun = time.process_time()
    held = proved(asked, certifier.bound(asked))
    return int(held.sum()) / total, (time.process_time() - begun) / max(len(x), 1)


def _dense(depth: int, width: int) -> ModelGraph:
    rng = torch.Generator("cpu").manual_seed(depth * width)
    nodes = [GraphNode("input", (), (784,))]
    sizes = [784, *[width] * depth, 10]
    for number, (before, after) in enumerate(itertools.pairwise(sizes)):
        weight = torch.randn(after, before, generator=rng).double() * (2 / before) ** 0.5
        tensors = {"weight": weight, "bias": torch.zeros(after).double()}
        nodes.append(GraphNode("linear", (len(nodes) - 1,), (after,), tensors))
        if number < depth:
            nodes.append(GraphNode("activation", (len(nodes) - 1,), (after,), {}, {"kind": "relu"}))
    return ModelGraph(tuple(nodes))


PARTS: dict[str, Callable[[int], None]] = {
    "examples": examples,
    "quantised": quantised,
    "lenet": lenet,
    "sizes": sizes,
}

if __name__ == "__main__":
    main()
