"""What attacks cost at 224 x 224 on ResNet-50 and ViT-B/16, beside the peers' with as many steps.

    pip install --no-deps -r benchmarks/requirements.txt
    python benchmarks/real_size.py --out benchmarks/results

Random weights and the models' own answers as labels: cost, not strength. PGD and APGD have a budget within which
nothing falls, so that they take all their steps; DDN and FMN have as many in any case. Ours run through the engine's
own path, with judge, search and meters, once in float32 and once as `--precision auto` has it. Ours and each peer run
in processes of their own, on one thread: CPU seconds an image, passes counted at the model, and the most memory in use
above what was in use before. Memory is measured by itself, on more images and in two steps, as further steps need no
more.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import resource
import subprocess
import sys
import time
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
from robusteval.engine.schedule.pass_timing import in_words, timed
from robusteval.loaders.pytorch.classifier import TorchClassifier

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


def several(name: str, by: str, count: int, steps: dict[str, int]) -> list[dict[str, Any]]:
    """What each of some attacks costs, in this process. steps: of each attack."""
    torch.set_num_threads(1)
    module, x = model(name), images(count)
    y = torch.cat([module(part).argmax(1) for part in torch.split(x, 8)])
    passes, told = Passes(), {}
    if by in OURS:
        classifier = TorchClassifier.from_module(module, tuple(x.shape[1:]))
        arena = Arena(classifier, x, y, timed(classifier, x, OURS[by]).tuning)
        for part in (classifier.module, classifier.faster):
            if part is not None:
                passes.watch(part)
        told = {"way": in_words(arena.tuning), "folded": classifier.faster is not None}
    else:
        known, _ = load_peers()
        target = wrap(Target.of(Whole(module).eval(), x, y), {key: known[key] for key in known if key == "foolbox"})
        passes.watch(target.module)
    rows = []
    for attack, many in steps.items():

        def call(attack: str = attack, many: int = many) -> Tensor | None:
            if by in OURS:
                return ours(attack, many, arena)
            peer = peers(attack, many, Peers(known)).get(by)
            torch.manual_seed(0)
            return None if peer is None else peer(target, _NEVER if attack in ("pgd", "apgd") else 0.0)

        row: dict[str, Any] = {"model": name, "attack": attack, "by": by, "images": count, "steps": many, **told}
        passes.forwards = passes.backwards = 0
        before, started = _in_use(), time.process_time()
        made = call()
        row["seconds"] = (time.process_time() - started) / count
        row |= {"forwards": passes.forwards / count, "backwards": passes.backwards / count}
        row["memory"] = max(0.0, _most() - before)
        rows.append(row if made is not None else {**row, "failed": "no such attack, or not installed"})
    return rows


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


def apart(name: str, by: str, count: int, steps: dict[str, int]) -> list[dict[str, Any]]:
    """`several` in a process of its own."""
    command = [sys.executable, __file__, "--several", json.dumps([name, by, count, steps])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - this very script
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["ended"])[-1]
        return [{"model": name, "attack": attack, "by": by, "failed": said} for attack in steps]
    made: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return made


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All rows, and the best pass of torch on each model."""
    result: dict[str, Any] = {"machine": machine(), "peers": load_peers()[1], "pass": {}, "rows": [], "memory": []}
    wanted = options.attacks.split(",")
    for name in options.models.split(","):
        cost = best_cost(model(name), images(options.images))
        result["pass"][name] = {"forward": cost.forward, "backward": cost.backward, "how": cost.how}
        for by in [*OURS, "torchattacks", "adv-lib", "foolbox"]:
            steps = {item: max(2, round(STEPS[item] * options.share)) for item in wanted if _has(item, by)}
            result["rows"] += apart(name, by, options.images, steps)
            print(*result["rows"][-len(steps) :], sep="\n", file=sys.stderr, flush=True)
            if options.memory:
                result["memory"] += apart(name, by, options.memory, {"pgd": 2})
                print(result["memory"][-1], file=sys.stderr, flush=True)
    result["rows"].sort(key=lambda row: (options.models.index(row["model"]), wanted.index(row["attack"])))
    return result


def _has(attack: str, by: str) -> bool:
    return by in OURS or by in peers(attack, 2, Peers({}))


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
    ways = {(row["model"], row["by"]): row["way"] for row in result["rows"] if "way" in row}
    return "\n".join([*lines, "", *[f"* {name}, {by}: {way}" for (name, by), way in ways.items()]]) + "\n"


def _line(row: dict[str, Any], result: dict[str, Any]) -> str:
    start = f"| {row['model']} | {row['attack']} | {row['by']} |"
    if "failed" in row:
        return f"{start} {row['failed']} | | | |"
    best = result["pass"][row["model"]]
    pure = row["forwards"] * best["forward"] + row["backwards"] * best["backward"]
    same = [item for item in result["rows"] if (item["model"], item["attack"]) == (row["model"], row["attack"])]
    theirs = [item["seconds"] for item in same if item["by"] not in OURS and "failed" not in item]
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
    parser.add_argument("--several", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.several:
        print(json.dumps(several(*json.loads(options.several))))
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
