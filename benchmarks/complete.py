"""How many balls with verdicts of other verifiers are proved within 1, 10 and 60 seconds each, and of the example.

    ROBUSTEVAL_TEST_DATA=... python benchmarks/complete.py --out benchmarks/results/complete.md

Each ball is asked about alone, on one thread. Seconds are of the process. The 60 balls are those of the benchmark
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

from robusteval.api import Certifier, Norm, Statement, graph_of, graph_scores, load_model, proved
from robusteval.engine.data.fashion_mnist import FashionMnist
from tests.data import FOLDER

ROOT = Path(__file__).parents[1]
CERTIFIERS: tuple[Certifier, ...] = (Crown(), AlphaCrown(), BetaCrown())
SECONDS = (1, 10, 60)
BALLS: dict[str, tuple[tuple[Norm, float], ...]] = {
    "fashion-robust": (("linf", 0.05), ("linf", 0.1), ("l2", 0.1), ("l1", 0.2)),
    "fashion-cnn": (("linf", 0.004), ("linf", 0.01), ("l2", 0.02), ("l1", 0.05)),
}


@dataclass(frozen=True)
class Answer:
    """Of one ball: whether it was proved, and the seconds of the process that this took."""

    held: bool
    seconds: float


def main() -> None:
    """Writes both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--images", type=int, default=32)
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = [*_competition(), *_examples(given.images)]
    text = "\n".join(lines)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


def _competition() -> list[str]:
    within = " | ".join(f"within {seconds} s" for seconds in SECONDS)
    lines = [f"| net | certifier | balls that others proved | {within} | longest, s | proved of those that others broke |"]
    lines.append("|---|---|---:|" + "---:|" * (len(SECONDS) + 2))
    for kind in ("avg", "max"):
        name = f"Convnet_{kind}pool.onnx"
        asked, holds = _instances(name)
        for certifier in CERTIFIERS:
            answers = [_answer(certifier, asked[torch.tensor([row])]) for row in range(len(holds))]
            true = [answer for answer, known in zip(answers, holds, strict=True) if known]
            wrong = sum(answer.held for answer, known in zip(answers, holds, strict=True) if not known)
            counts = [sum(a.held and a.seconds <= seconds for a in true) for seconds in SECONDS]
            longest = max(answer.seconds for answer in answers)
            cells = [name, certifier.info.name, sum(holds), *counts, f"{longest:.1f}", f"{wrong} of {len(holds) - len(true)}"]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def _instances(name: str) -> tuple[Statement, list[bool]]:
    """(the balls of a net, which of them others proved)."""
    cases = json.loads((FOLDER / "vnncomp" / "verivital.json").read_text())["instances"]
    cases = [case for case in cases if case["onnx"] == name]
    pixels = np.array([case["x0_u8"] for case in cases], dtype=np.float32).reshape(-1, 1, 28, 28) / 255
    graph = graph_of(load_model(FOLDER / "vnncomp" / "verivital" / name))
    label = torch.tensor([case["label"] for case in cases])
    hot = torch.nn.functional.one_hot(label, graph.classes).bool()
    eps = torch.tensor([case["eps_pixel"] for case in cases], dtype=torch.float64)
    asked = Statement(graph, torch.from_numpy(pixels).double(), label, hot, "linf", eps, (0.0, 1.0))
    return asked, [case["verdict"].startswith("unsat") for case in cases]


def _examples(images: int) -> list[str]:
    pixels, labels, _ = FashionMnist().raw("test")
    x = torch.from_numpy(pixels[:images].astype("float32") / 255)[:, None].double()
    y = torch.from_numpy(labels[:images].astype("int64"))
    lines = ["", f"Of the first {images} images of the examples' data; those that are wrong when clean count as not proved.", ""]
    lines += ["| model | ball | certifier | proved | mean s an image | longest, s |", "|---|---|---|---:|---:|---:|"]
    for name, balls in BALLS.items():
        graph = graph_of(load_model(ROOT / "examples" / f"{name}.onnx"))
        right = (graph_scores(graph, x).argmax(1) == y).nonzero().squeeze(1)
        for norm, eps in balls:
            hot = torch.nn.functional.one_hot(y, graph.classes).bool()
            asked = Statement(graph, x, y, hot, norm, torch.full((images,), eps).double(), (0.0, 1.0))
            for certifier in CERTIFIERS:
                answers = [_answer(certifier, asked[row[None]]) for row in right]
                share = 100 * sum(answer.held for answer in answers) / images
                seconds = [answer.seconds for answer in answers]
                ball = f"{norm} {eps:g}"
                cells = [name, ball, certifier.info.name, f"{share:.1f} %", f"{np.mean(seconds):.2f}", f"{max(seconds):.1f}"]
                lines.append("| " + " | ".join(cells) + " |")
    return lines


def _answer(certifier: Certifier, asked: Statement) -> Answer:
    begun = time.process_time()
    held = bool(proved(asked, certifier.bound(asked))[0])
    return Answer(held, time.process_time() - begun)


if __name__ == "__main__":
    main()
