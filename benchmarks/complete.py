"""How many balls with verdicts of other verifiers are proved within 1, 10 and 60 seconds each; and of the examples.

    ROBUSTEVAL_TEST_DATA=... python benchmarks/complete.py --out benchmarks/results/complete.md

Each ball is asked about alone, on one thread; seconds are of the process. The 60 balls are those of the benchmark
verivital of the Verification of Neural Networks Competition 2021, of which others proved 53 and broke 7.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from robusteval_certifiers.alpha_crown import AlphaCrown
from robusteval_certifiers.beta_crown import BetaCrown
from robusteval_certifiers.crown import Crown
from setting import data_folder

from robusteval.api import Certifier, Norm, Statement, graph_of, graph_scores, load_model, proved
from robusteval.engine.data.fashion_mnist import FashionMnist

ROOT = Path(__file__).parents[1]
CERTIFIERS: tuple[Certifier, ...] = (Crown(), AlphaCrown(), BetaCrown())
NETS = ("Convnet_avgpool", "Convnet_maxpool")
SECONDS = (1, 10, 60)
BALLS: tuple[tuple[str, Norm, float], ...] = (
    ("fashion-robust", "linf", 0.05),
    ("fashion-robust", "linf", 0.1),
    ("fashion-robust", "l2", 0.1),
)


@dataclass(frozen=True)
class Answer:
    """Of one ball: whether it was proved, and the seconds of the process that this took."""

    held: bool
    seconds: float


def main() -> None:
    """Prints both tables, row by row, and writes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--images", type=int, default=32)
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines: list[str] = []

    def told(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    told("# What is proved, and how soon\n")
    told("    python benchmarks/complete.py --out benchmarks/results/complete.md\n")
    told("Balls with verdicts of other verifiers, each asked about alone, on one thread; seconds of the process.\n")
    told("| net | certifier | proved by others | in 1 s | in 10 s | in 60 s | mean s | longest, s | of those broken |")
    told("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for net in NETS:
        asked, holds = _instances(f"{net}.onnx")
        for certifier in CERTIFIERS:
            told(_competition(net, certifier, asked, holds))
    told(f"\nThe first {given.images} images of the examples' data; those wrong when clean count as not proved.\n")
    told("| model | ball | certifier | proved | in 2 s | mean s | longest, s |\n|---|---|---|---:|---:|---:|---:|")
    for name, norm, eps in BALLS:
        asked = _example(name, norm, eps, given.images)
        for certifier in CERTIFIERS:
            told(f"| {name} | {norm} {eps:g} | {certifier.info.name} " + _shares(certifier, asked, given.images))
    if given.out:
        given.out.write_text("\n".join(lines) + "\n")


def _competition(net: str, certifier: Certifier, asked: Statement, holds: list[bool]) -> str:
    """A row of the first table."""
    answers = [_answer(certifier, asked, row) for row in range(len(holds))]
    true = [answer for answer, known in zip(answers, holds, strict=True) if known]
    wrong = sum(answer.held for answer, known in zip(answers, holds, strict=True) if not known)
    counts = " | ".join(str(sum(a.held and a.seconds <= seconds for a in true)) for seconds in SECONDS)
    spent = [answer.seconds for answer in answers]
    times = f"{np.mean(spent):.2f} | {max(spent):.1f}"
    return f"| {net} | {certifier.info.name} | {len(true)} | {counts} | {times} | {wrong} of {len(holds) - len(true)} |"


def _shares(certifier: Certifier, asked: Statement, images: int) -> str:
    """The end of a row of the second table."""
    answers = [_answer(certifier, asked, row) for row in range(len(asked.eps))]
    held = 100 * sum(answer.held for answer in answers) / images
    soon = 100 * sum(answer.held and answer.seconds <= 2 for answer in answers) / images
    spent = [answer.seconds for answer in answers]
    return f"| {held:.1f} % | {soon:.1f} % | {np.mean(spent):.2f} | {max(spent):.1f} |"


def _instances(name: str) -> tuple[Statement, list[bool]]:
    """(the balls of a net, which of them others proved)."""
    folder = data_folder() / "vnncomp"
    cases = json.loads((folder / "verivital.json").read_text())["instances"]
    cases = [case for case in cases if case["onnx"] == name]
    pixels = np.array([case["x0_u8"] for case in cases], dtype=np.float32).reshape(-1, 1, 28, 28) / 255
    graph = graph_of(load_model(folder / "verivital" / name))
    label = torch.tensor([case["label"] for case in cases])
    hot = torch.nn.functional.one_hot(label, graph.classes).bool()
    eps = torch.tensor([case["eps_pixel"] for case in cases], dtype=torch.float64)
    asked = Statement(graph, torch.from_numpy(pixels).double(), label, hot, "linf", eps, (0.0, 1.0))
    return asked, [case["verdict"].startswith("unsat") for case in cases]


def _example(name: str, norm: Norm, eps: float, images: int) -> Statement:
    """About those of the first images that are right when clean."""
    pixels, labels, _ = FashionMnist().raw("test")
    x = torch.from_numpy(pixels[:images].astype("float32") / 255)[:, None].double()
    y = torch.from_numpy(labels[:images].astype("int64"))
    graph = graph_of(load_model(ROOT / "examples" / f"{name}.onnx"))
    right = graph_scores(graph, x).argmax(1) == y
    hot = torch.nn.functional.one_hot(y, graph.classes).bool()
    asked = Statement(graph, x, y, hot, norm, torch.full((images,), eps).double(), (0.0, 1.0))
    return asked[right.nonzero().squeeze(1)]


def _answer(certifier: Certifier, asked: Statement, row: int) -> Answer:
    alone = asked[torch.tensor([row])]
    begun = time.process_time()
    held = bool(proved(alone, certifier.bound(alone))[0])
    return Answer(held, time.process_time() - begun)


if __name__ == "__main__":
    main()
