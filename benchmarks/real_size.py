"""What attacks cost at 224 x 224 on ResNet-50 and ViT-B/16, beside the peers' with as many steps.

    pip install --no-deps -r benchmarks/requirements.txt
    python benchmarks/real_size.py --out benchmarks/results

Random weights and the models' own answers as labels: cost, not strength. PGD and APGD have a budget within which
nothing falls, so that they take all their steps; DDN and FMN have as many in any case. Ours run through the engine's
own path, with judge, search and meters, once in float32 and once as `--precision auto` has it. Every call is a process
of its own, on one thread: CPU seconds an image, passes counted at the model, and the most memory in use above what was
in use before. Memory is measured by itself, on more images and in two steps, as further steps need no more.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from metering import Passes, best_cost
from ours import Arena
from peer_attacks import Peer, Peers, Target, Whole, load_peers, wrap
from real_models import MAKERS, images, model
from robusteval_attacks.apgd import APGD
from robusteval_attacks.ddn import DDN
from robusteval_attacks.fmn import FMN
from robusteval_attacks.pgd import PGD
from setting import machine
from torch import Tensor

from robusteval.contracts.tuning import AUTO, FULL_ONLY
from robusteval.engine.schedule.pass_timing import in_words

STEPS = {"pgd": 20, "apgd": 50, "ddn": 60, "fmn": 100}
_NEVER = 1e-7  # a budget within which nothing falls
_FAR = 1000.0
OURS = {"ours, float32": FULL_ONLY, "ours": AUTO}


def ours(attack: str, steps: int, arena: Arena) -> Tensor:
    """The adversarials of ours."""
    if attack == "pgd":
        return arena.cascade([PGD(steps=steps)], "linf", _NEVER)
    if attack == "apgd":
        return arena.cascade([APGD(steps=steps, restarts=1)], "linf", _NEVER)
    made = DDN(steps=steps) if attack == "ddn" else FMN(steps=steps)
    return arena.nearest(made, "l2", _FAR, 0).x


def peers(attack: str, steps: int, p: Peers) -> dict[str, Peer | None]:
    """Those that have the attack."""
    if attack == "pgd":
        return {
            "torchattacks": p.torchattacks("PGD", alpha=0.1, steps=steps),
            "adv-lib": p.adv_lib("pgd_linf", eps="\u03b5", steps=steps, relative_step_size=0.1),
            "foolbox": p.foolbox("LinfPGD", eps=True, rel_stepsize=0.1, steps=steps),
        }
    if attack == "apgd":
        return {
            "torchattacks": p.torchattacks("APGD", norm="Linf", steps=steps, loss="ce"),
            "adv-lib": p.adv_lib("apgd", norm="linf", eps="eps", n_iter=steps, loss_function="ce"),
        }
    if attack == "ddn":
        return {"adv-lib": p.adv_lib("ddn", steps=steps), "foolbox": p.foolbox("DDNAttack", steps=steps)}
    return {"adv-lib": p.adv_lib("fmn", norm="l2", steps=steps), "foolbox": p.foolbox("L2FMNAttack", steps=steps)}


def one(name: str, attack: str, by: str, count: int, steps: int) -> dict[str, Any]:
    """What one call costs, in this process."""
    torch.set_num_threads(1)
    module, x = model(name), images(count)
    y = torch.cat([module(part).argmax(1) for part in torch.split(x, 8)])
    found: dict[str, Any] = {"model": name, "attack": attack, "by": by, "images": count, "steps": steps}
    passes = Passes()
    if by in OURS:
        arena = Arena.of(module, x, y, OURS[by])
        for part in (arena.classifier.module, arena.classifier.faster):
            if part is not None:
                passes.watch(part)
        call: Callable[[], Tensor] = lambda: ours(attack, steps, arena)  # noqa: E731
        found |= {"passes": in_words(arena.tuning), "folded": arena.classifier.faster is not None}
    else:
        known, _ = load_peers()
        target = wrap(Target.of(Whole(module).eval(), x, y), {key: known[key] for key in known if key == "foolbox"})
        peer = peers(attack, steps, Peers(known))[by]
        if peer is None:
            return found | {"failed": "not installed"}
        passes.watch(target.module)
        torch.manual_seed(0)
        budget = _NEVER if attack in ("pgd", "apgd") else 0.0
        call = lambda: peer(target, budget)  # noqa: E731
    before = _in_use()
    started = time.process_time()
    call()
    found["seconds"] = (time.process_time() - started) / count
    found |= {"forwards": passes.forwards / count, "backwards": passes.backwards / count}
    return found | {"memory": max(0.0, _most() - before)}


def _in_use() -> float:
    """MiB of memory in use now; the high-water mark starts anew here, where the system can do that."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _most() -> float:
    return _status("VmHWM")


def _status(name: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name + ":"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def apart(*given: object) -> dict[str, Any]:
    """`one` in a process of its own."""
    command = [sys.executable, __file__, "--one", json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - this very script
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return {"model": given[0], "attack": given[1], "by": given[2], "failed": said[-1] if said else "ended"}
    made: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return made


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All rows, ours and theirs alternating, and the best pass of torch on each model."""
    result: dict[str, Any] = {"machine": machine(), "peers": load_peers()[1], "pass": {}, "rows": [], "memory": []}
    for name in options.models.split(","):
        cost = best_cost(model(name), images(options.images))
        result["pass"][name] = {"forward": cost.forward, "backward": cost.backward, "how": cost.how}
        for attack in options.attacks.split(","):
            steps = max(2, round(STEPS[attack] * options.share))
            for by in [*OURS, *peers(attack, steps, Peers({}))]:
                result["rows"].append(apart(name, attack, by, options.images, steps))
                print(result["rows"][-1], file=sys.stderr, flush=True)
                if attack == "pgd" and options.memory:
                    result["memory"].append(apart(name, attack, by, options.memory, 2))
                    print(result["memory"][-1], file=sys.stderr, flush=True)
    return result


def markdown(result: dict[str, Any]) -> str:
    """The tables."""
    lines = ["# Cost at real size", "", "Machine: " + ", ".join(f"{k} {v}" for k, v in result["machine"].items()) + "."]
    lines += ["", "Peers: " + ", ".join(f"{name} {said}" for name, said in result["peers"].items()) + ".", ""]
    for name, best in result["pass"].items():
        both = best["forward"] + best["backward"]
        lines.append(f"Torch's best pass of {name}: {1e3 * both:.0f} ms an image there and back ({best['how']}).")
    lines += [
        "",
        "| model | attack | by | s / image | passes | x best pass | x fastest peer |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for row in result["rows"]:
        lines.append(_line(row, result))
    lines += ["", "Most memory above what was in use before, PGD:", ""]
    lines += ["| model | by | images | MiB |", "|---|---|---:|---:|"]
    for row in result["memory"]:
        shown = row.get("failed") or f"{row['memory']:.0f}"
        lines.append(f"| {row['model']} | {row['by']} | {row.get('images', '')} | {shown} |")
    ways = {(row["model"], row["by"]): row["passes"] for row in result["rows"] if "passes" in row}
    return "\n".join([*lines, "", *[f"* {name}, {by}: {way}" for (name, by), way in ways.items()]]) + "\n"


def _line(row: dict[str, Any], result: dict[str, Any]) -> str:
    start = f"| {row['model']} | {row['attack']} | {row['by']} |"
    if "failed" in row:
        return f"{start} {row['failed']} | | | |"
    best = result["pass"][row["model"]]
    pure = row["forwards"] * best["forward"] + row["backwards"] * best["backward"]
    same = [one for one in result["rows"] if (one["model"], one["attack"]) == (row["model"], row["attack"])]
    theirs = [one["seconds"] for one in same if one["by"] not in OURS and "failed" not in one]
    ratio = f"{row['seconds'] / min(theirs):.2f}" if theirs else ""
    passes = f"{row['forwards']:.0f} + {row['backwards']:.0f}"
    return f"{start} {row['seconds']:.2f} | {passes} | {row['seconds'] / pure:.2f} | {ratio} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MAKERS), help="separated by commas")
    parser.add_argument("--attacks", default=",".join(STEPS), help="separated by commas")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--memory", type=int, default=32, help="images on which memory is measured; 0: not at all")
    parser.add_argument("--share", type=float, default=1.0, help="of the steps, for a quick look: time goes with steps")
    parser.add_argument("--out", type=Path, help="folder for real-size.json and real-size.md")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(*json.loads(options.one))))
        return
    torch.set_num_threads(1)
    result = run(options)
    print(markdown(result))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "real-size.json").write_text(json.dumps(result, indent=1) + "\n")
        (options.out / "real-size.md").write_text(markdown(result))


if __name__ == "__main__":
    main()
