"""How near DeepFool, DDN and PGD come to the closed-form smallest distance of a linear model, through the engine's
search.

    python benchmarks/linear_oracle.py

Prints, for 2, 3 and 10 classes, the largest and the median ratio of the distance found to the optimum over 64 samples.
"""

from __future__ import annotations

import torch
from robusteval_attacks.ddn import DDN
from robusteval_attacks.deepfool import DeepFool
from robusteval_attacks.pgd import PGD
from torch import Tensor

from robusteval.contracts.meter import Meter
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Attack, Defended
from robusteval.contracts.problem import Problem
from robusteval.engine.search.distance_search import Sweep
from robusteval.engine.search.judge import Threat
from robusteval.engine.seeding import generator
from robusteval.ops import Norm
from robusteval.testing.oracles import linear
from robusteval.testing.problems import inputs, safe_labels

COUNT = 64
LARGEST: dict[Norm, float] = {"l2": 6.0, "linf": 0.5}
ATTACKS: tuple[tuple[str, Attack], ...] = (
    ("deepfool", DeepFool()),
    ("ddn", DDN()),
    ("ddn, margin", DDN(loss="margin")),
    ("ddn, nearest", DDN(loss="nearest")),
    ("pgd", PGD()),
    ("pgd, margin", PGD(loss="margin")),
    ("pgd, nearest", PGD(loss="nearest")),
)


def ratios(attack: Attack, classes: int, shape: tuple[int, ...], norm: Norm) -> Tensor:
    """Distance found over the smallest one, [COUNT]."""
    oracle = linear(shape, classes)
    x = inputs(oracle.info, COUNT)
    safe = safe_labels(oracle.logits(x).argmax(1), classes)
    pipeline, meter, rng = Pipeline(Defended(oracle)), Meter(COUNT), generator(0, "oracle")
    sweep = Sweep(pipeline, x, Threat(safe, norm, oracle.info.bounds), rng, meter)

    def propose(rows: Tensor, eps: Tensor | None) -> Tensor:
        bounds = oracle.info.bounds
        return attack.run(Problem(x[rows], safe[rows], norm, eps, bounds, rng, "gradient", pipeline, meter, rows))

    minimal = attack.info.budget == "minimal"
    best = sweep.minimal(propose) if minimal else sweep.fixed(propose, LARGEST[norm], 6)
    return best.distance / oracle.smallest(x, safe, norm)


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'classes':>7}  {'input':<9} {'attack':<13} {'norm':<5} {'largest':>8} {'median':>8}")
    for classes in (2, 3, 10):
        for shape in ((20,), (1, 8, 8)):
            for name, attack in ATTACKS:
                for norm in LARGEST:
                    if norm in attack.info.norms:
                        found = ratios(attack, classes, shape, norm)
                        size = "x".join(map(str, shape))
                        print(f"{classes:>7}  {size:<9} {name:<13} {norm:<5} {found.max():8.3f} {found.median():8.3f}")


if __name__ == "__main__":
    main()
