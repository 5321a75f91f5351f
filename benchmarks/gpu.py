"""What attacks cost on a GPU: images a second on a ResNet-50 and a ViT-B/16, beside torchattacks and adv-lib.

    python benchmarks/gpu.py --out benchmarks/results        # on a machine with a GPU that torch can use

Ours run through the engine's own path, with its problems, meters and judge, by passes as the engine measures them to be
fastest; the peers get the module as torch runs it. Everybody takes the same steps. Budgets are so small that few images
fall. "not the model's": the share of the time that is not its gradient passes, as metered, at the best cost of one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from ours import Arena
from peer_attacks import Peer, Peers, Target, load_peers
from real_models import images, model
from robusteval_attacks.apgd import APGD
from robusteval_attacks.ddn import DDN
from robusteval_attacks.fmn import FMN
from robusteval_attacks.pgd import PGD
from torch import Tensor, nn

from robusteval.contracts.plugins import Attack
from robusteval.engine.devices import exact
from robusteval.engine.schedule.pass_timing import in_words
from robusteval.ops import Norm

NETS: dict[str, Callable[[], nn.Module]] = {
    "ResNet-50": lambda: model("resnet50"),
    "ViT-B/16": lambda: model("vit-b-16"),
}
EPS = 1e-6  # Linf: so little that no image is lost on the way, as those that are leave the batch


@dataclass(frozen=True)
class Contest:
    """One attack, ours and the peers'."""

    name: str
    norm: Norm
    ours: Attack
    steps: int
    peers: dict[str, Peer | None]


def contests(p: Peers) -> list[Contest]:
    """Everybody takes the same steps."""
    return [
        Contest(
            *("PGD-20", "linf", PGD(steps=20), 20),
            {
                "torchattacks": p.torchattacks("PGD", alpha=0.1, steps=20),
                "adv-lib": p.adv_lib("pgd_linf", eps="\u03b5", steps=20, relative_step_size=0.1),
            },
        ),
        Contest(
            *("APGD-50", "linf", APGD(loss="ce", steps=50, restarts=1), 50),
            {
                "torchattacks": p.torchattacks("APGD", norm="Linf", steps=50, loss="ce"),
                "adv-lib": p.adv_lib("apgd", norm="linf", eps="eps", n_iter=50, loss_function="ce"),
            },
        ),
        Contest("DDN-60", "l2", DDN(steps=60), 60, {"adv-lib": p.adv_lib("ddn", steps=60, levels=None)}),
        Contest("FMN-100", "linf", FMN(steps=100), 100, {"adv-lib": p.adv_lib("fmn", norm="linf", steps=100)}),
    ]


def main() -> None:
    """Times everything, and prints and stores each line as soon as it is known."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=int, default=64)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    device = torch.device("cuda")
    modules, versions = load_peers()
    peers = Peers(modules)
    lines = list[str]()

    def say(*more: str) -> None:
        lines.extend(more)
        print("\n".join(more), flush=True)
        if given.out is not None:
            (given.out / "gpu.md").write_text("\n".join(lines) + "\n", encoding="utf-8")

    say(
        *("# Attacks on a GPU", ""),
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, batch {given.images}.",
        "",
        f"Peers: {', '.join(f'{name} {said}' for name, said in versions.items())}.",
        "",
        f"`python benchmarks/gpu.py --images {given.images} --out benchmarks/results`",
    )
    for name, make in NETS.items():
        with exact(device):
            for line in table(name, make().to(device), images(given.images).to(device), peers):
                say(line)


def table(name: str, net: nn.Module, x: Tensor, known: Peers) -> Iterator[str]:
    """Of one network, in Markdown, line by line."""
    with torch.no_grad():
        y = net(x).argmax(1)
    ways = {way: Arena.of(net, x, y, way) for way in ("full", "auto")}
    best = {way: min(clock(partial(gradient, arena, x)) for _ in range(5)) for way, arena in ways.items()}
    costs = "; ".join(
        f"`--precision {way}` {1e3 * spent / len(x):.2f} ms an image ({in_words(ways[way].tuning)})"
        for way, spent in best.items()
    )
    yield from ("", f"## {name}", "", f"Best pass there and back: {costs}.", "")
    yield "| attack | who | images/s | beside the fastest peer | not the model's |"
    yield "|---|---|---:|---:|---:|"
    target = Target.of(net, x, y)
    eps = torch.full((len(x),), EPS, device=x.device)
    for contest in contests(known):
        theirs, rows = {}, list[str]()
        for peer, run in contest.peers.items():
            if run is None:
                continue
            try:
                theirs[peer] = min(clock(partial(run, target, EPS)) for _ in range(2))
            except Exception as error:  # noqa: BLE001 - a peer that fails is a row that says so
                rows.append(f"| {contest.name} | {peer} | {type(error).__name__} | | |")
        rows += [f"| {contest.name} | {peer} | {len(x) / took:.1f} | | |" for peer, took in theirs.items()]
        for way, arena in ways.items():
            attack = partial(arena.once, contest.ours, contest.norm, eps)
            passes, _ = attack()
            ours = clock(attack)
            ratio = f"{ours / min(theirs.values()):.2f} x" if theirs else ""
            rest = f"{100 * (1 - passes * best[way] / len(x) / ours):.0f} %"
            rows.append(f"| {contest.name} | robusteval, {way} | {len(x) / ours:.1f} | {ratio} | {rest} |")
        yield from rows


def gradient(arena: Arena, x: Tensor) -> None:
    """One pass there and back, as ours do it."""
    leaf = arena.tuning.laid(x.detach()).requires_grad_(True)
    with arena.tuning.there_and_back(x.device.type):
        torch.autograd.grad(arena.tuning.scores(arena.classifier.twin, leaf).logsumexp(1).sum(), leaf)


def clock(work: Callable[[], object]) -> float:
    """Seconds by the clock until the GPU has done it."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
