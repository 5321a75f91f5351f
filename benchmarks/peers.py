"""Our attacks beside the peers' of the same name, on the same models and images, in one run, alternating, on one
thread.

    pip install --no-deps -r benchmarks/requirements.txt
    ROBUSTEVAL_TEST_DATA=... python benchmarks/train_robust_lenet.py     # once
    ROBUSTEVAL_TEST_DATA=... python benchmarks/peers.py --out benchmarks/results

Installs nothing; a peer that does not import is left out, and the run says so. For each attack it prints the strength
(optimality for smallest distances, robust accuracy for budgets, both as judged by our judge: in the box, distance in
float64, prediction changed), CPU seconds per image, forward and backward passes per image, and the overhead: the time
over (passes x the best cost of a pass). Ours run through the engine's own path, its judge and search included in the
time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from acceptance import acceptance
from match import BUDGETS, Match
from matches import matches
from metering import PassCost, Timed, best_cost, timed
from ours import Arena
from peer_attacks import Peer, Peers, Target, Whole, load_peers, wrap
from setting import load_images, load_lenet, machine
from tables import markdown, with_strength
from torch import Tensor, nn

from robusteval.engine.schedule.pass_timing import in_words
from robusteval.engine.search.judge import judge
from robusteval.engine.seeding import generator

MODELS = ("lenet", "robust")
_QUICK = 1.0  # seconds under which a call is repeated
_REPEATS = 3
Call = Callable[[], Tensor]


def samples(module: nn.Module, split: str, count: int, start: int) -> tuple[Tensor, Tensor]:
    """The first images of the split from `start` on that the model gets right."""
    x, y = load_images(split)
    x, y = x[start : start + 2 * count + 20], y[start : start + 2 * count + 20]
    right = (module(x).argmax(1) == y).nonzero().squeeze(1)[:count]
    return x[right], y[right]


def calls(match: Match, arena: Arena, target: Target, eps: float) -> dict[str, tuple[Call, nn.Module]]:
    """Everything that runs under one name, ours first: a call, and the module at which its passes are counted."""
    found: dict[str, tuple[Call, nn.Module]] = {}
    for label, attacks in match.ours.items():

        def ours(attacks: list[Any] = attacks) -> Tensor:
            if match.budget:
                return arena.cascade(attacks, match.norm, eps)
            largest = match.largest or {"linf": 1.0, "l2": 28.0}.get(match.norm, 784.0)
            return arena.worst(attacks, match.norm, largest, match.halvings)

        found[label] = (ours, arena.classifier.module)
    for label, peer in (match.peers | match.reduced).items():
        if peer is None:
            continue

        def theirs(peer: Peer = peer) -> Tensor:
            torch.manual_seed(0)  # the peers draw from the global generator
            return peer(target, eps)

        found[label] = (theirs, target.module)
    return found


def run_match(match: Match, model: str, arena: Arena, target: Target, cost: PassCost) -> list[dict[str, Any]]:
    """One row for each of ours and theirs; a peer that raises becomes a row that says so."""
    eps = BUDGETS[match.budget][model] if match.budget else 0.0
    done: dict[str, list[Timed]] = {}
    failed: dict[str, str] = {}
    todo = calls(match, arena, target, eps)
    for repeat in range(_REPEATS):
        for label, (call, module) in todo.items():
            if label in failed or (repeat and done[label][0].seconds > _QUICK):
                continue
            try:
                done.setdefault(label, []).append(timed(call, module))
            except Exception as error:  # a peer's fault must not end the comparison
                if label in match.ours:
                    raise
                failed[label] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                traceback.print_exc(limit=-2)
    rows = []
    for label in todo:
        base = {"attack": match.name, "norm": match.norm, "budget": match.budget, "eps": eps, "by": label}
        base |= {
            "model": model,
            "images": len(arena.x),
            "ours": label in match.ours,
            "calibrated": in_words(arena.tuning),
        }
        base |= {"reduced": True} if label in match.reduced else {}
        if label in failed:
            rows.append({**base, "failed": failed[label]})
            continue
        best = min(done[label], key=lambda run: run.seconds)
        rows.append({**base, **_measured(match, arena, best, cost)})
    return rows


def _measured(match: Match, arena: Arena, best: Timed, cost: PassCost) -> dict[str, Any]:
    """The judged distances and the figures of one call."""
    judged = judge(arena.pipeline, arena.x, best.result, arena.threat(match.norm), None, generator(0, "judge"))
    forwards, backwards = best.passes.forwards / len(arena.x), best.passes.backwards / len(arena.x)
    seconds = best.seconds / len(arena.x)
    return {
        "distance": [None if math.isinf(d) else round(d, 6) for d in judged.distance.tolist()],
        "rejected": dict(judged.rejected),
        "seconds": seconds,
        "forwards": forwards,
        "backwards": backwards,
        "overhead": seconds / cost.of(forwards, backwards) if forwards else None,
    }


def wanted(match: Match, model: str, options: argparse.Namespace) -> bool:
    """Whether the options ask for it: --only takes names ("fmn") and names with a norm ("fmn l2")."""
    if match.budget and model not in BUDGETS[match.budget]:
        return False
    if options.quick and match.slow:
        return False
    return not options.only or any(
        only in (match.name, f"{match.name} {match.norm}", match.key) for only in options.only.split(",")
    )


def combined(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """The new run's rows, and the old ones of comparisons that did not run again; the strengths over both. Every row
    says on how many images it ran, counted from the same first one."""
    if (old["split"], old["start"], old["machine"]) != (new["split"], new["start"], new["machine"]):
        raise SystemExit("The results there are of other images or another machine; give another --out.")

    def key(row: dict[str, Any]) -> tuple[str, ...]:
        return row["model"], row["attack"], row["norm"], row["budget"]

    again = {key(row) for row in new["rows"]}
    rows = [row for row in old["rows"] if key(row) not in again] + new["rows"]
    order = {model: number for number, model in enumerate(MODELS)}
    places = {match.key: number for number, match in enumerate(matches(Peers({})))}

    def place(row: dict[str, Any]) -> tuple[int, int]:
        budget = f" at {row['budget']}" if row["budget"] else ""
        return order[row["model"]], places.get(f"{row['attack']} {row['norm']}{budget}", len(places))

    return {**new, "pass": {**old["pass"], **new["pass"]}, "rows": with_strength(sorted(rows, key=place))}


def run(options: argparse.Namespace) -> dict[str, Any]:
    modules, notes = load_peers()
    for name, what in notes.items():
        print(f"{name}: {what}", file=sys.stderr)
    rows: list[dict[str, Any]] = []
    costs: dict[str, Any] = {}
    for model in options.models.split(","):
        module = load_lenet(model)
        x, y = samples(module, options.split, options.images, options.start)
        arena, target = Arena.of(module, x, y), wrap(Target.of(Whole(module).eval(), x, y), modules)
        cost = best_cost(module, x)
        costs[model] = {"forward": cost.forward, "backward": cost.backward, "how": cost.how}
        for match in matches(Peers(modules)):
            if not wanted(match, model, options):
                continue
            began = time.process_time()
            rows += run_match(match, model, arena, target, cost)
            print(f"{model}: {match.key}: {time.process_time() - began:.1f} CPU s", file=sys.stderr, flush=True)
    load = os.getloadavg()[0]
    return {
        "machine": machine(),
        "load average at the end": round(load, 1),
        "peers": notes,
        "images": options.images,
        "split": options.split,
        "start": options.start,
        "pass": costs,
        "rows": with_strength(rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="attacks (fmn) or attacks with a norm (fmn l2), by commas")
    parser.add_argument(
        "--images", type=int, default=100, help="how many of the images, from --start on, that are right"
    )
    parser.add_argument("--split", default="test", choices=["test", "train"], help="images to take")
    parser.add_argument("--start", type=int, default=0, help="first image; settings are tuned on train, from 55000 on")
    parser.add_argument("--models", default=",".join(MODELS), help="lenet, robust or both, separated by commas")
    parser.add_argument("--out", type=Path, help="folder for peers.json and peers.md")
    parser.add_argument("--fresh", action="store_true", help="forgets the results that --out holds")
    parser.add_argument("--quick", action="store_true", help="leaves out attacks of thousands of passes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = run(options)
    known = options.out / "peers.json" if options.out else None
    if known is not None and known.exists() and not options.fresh:
        result = combined(result, json.loads(known.read_text()))
    text = markdown(result, acceptance(result["rows"]))
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "peers.json").write_text(json.dumps(result, indent=1) + "\n")
        (options.out / "peers.md").write_text(text)


if __name__ == "__main__":
    main()
