"""Which of our attacks meets which of the peers', and with what settings: the same steps and, where they mean the same,
the same step sizes."""

from __future__ import annotations

from typing import Any

from match import FAR, SAME, STEPS, Match
from peer_attacks import Peer, Peers
from robusteval_attacks.alma import ALMA
from robusteval_attacks.apgd import APGD
from robusteval_attacks.bim import BIM
from robusteval_attacks.ddn import DDN
from robusteval_attacks.deepfool import DeepFool
from robusteval_attacks.fab import FAB
from robusteval_attacks.fgsm import FGSM
from robusteval_attacks.fmn import FMN
from robusteval_attacks.mim import MIM
from robusteval_attacks.newtonfool import NewtonFool
from robusteval_attacks.pdgd import PDGD
from robusteval_attacks.pdpgd import PDPGD
from robusteval_attacks.pgd import PGD
from robusteval_attacks.sigma_zero import SigmaZero
from slow_pairings import slow

from robusteval.contracts.plugins import Attack
from robusteval.ops import Norm


def matches(peers: Peers) -> list[Match]:
    """All comparisons, cheap ones first."""
    return [*_fixed(peers), *_cheap(peers), *_walks(peers), *slow(peers)]


def _fixed(p: Peers) -> list[Match]:
    art: dict[str, Any] = {"eps": ("eps",), "batch_size": 128}
    found = [
        Match(
            "fgsm",
            "linf",
            {"ours": [FGSM()]},
            {
                "foolbox": p.foolbox("LinfFastGradientAttack", eps=True),
                "art": p.art("FastGradientMethod", **art),
                "torchattacks": p.torchattacks("FGSM"),
            },
            "linf",
        ),
        Match(
            "bim",
            "linf",
            {"ours": [BIM()], SAME: [BIM(steps=40)]},
            {
                "foolbox": p.foolbox("LinfBasicIterativeAttack", eps=True, rel_stepsize=1 / 40, steps=40),
                "art": p.art("BasicIterativeMethod", step=1 / 40, max_iter=40, verbose=False, **art),
                "torchattacks": p.torchattacks("BIM", alpha=1 / 40, steps=40),
            },
            "linf",
            reduced={"torchattacks, 30 steps": p.torchattacks("BIM", alpha=1 / 30, steps=30)},
        ),
        Match(
            "mim",
            "linf",
            {"ours": [MIM()], SAME: [MIM(steps=20)]},
            {
                "foolbox": p.foolbox(
                    "LinfMomentumIterativeFastGradientMethod", eps=True, rel_stepsize=1 / 20, steps=20
                ),
                "art": p.art("MomentumIterativeMethod", step=1 / 20, max_iter=20, verbose=False, **art),
                "torchattacks": p.torchattacks("MIFGSM", alpha=1 / 20, steps=20),
            },
            "linf",
            reduced={"torchattacks, 16 steps": p.torchattacks("MIFGSM", alpha=1 / 16, steps=16)},
        ),
    ]
    pgd: dict[str, Peer | None] = {
        "foolbox": p.foolbox("LinfPGD", eps=True, rel_stepsize=0.1, steps=40),
        "art": p.art("ProjectedGradientDescentPyTorch", step=0.1, max_iter=40, num_random_init=1, verbose=False, **art),
        "torchattacks": p.torchattacks("PGD", alpha=0.1, steps=40),
        "adv-lib": p.adv_lib("pgd_linf", eps="\u03b5", steps=40, relative_step_size=0.1),
    }
    ours: dict[str, list[Attack]] = {"ours": [PGD()], SAME: [PGD(steps=40, step=0.1, schedule="constant")]}
    fewer = {"torchattacks, 30 steps": p.torchattacks("PGD", alpha=0.1, steps=30)}
    found += [Match("pgd", "linf", ours, pgd, budget, reduced=fewer) for budget in ("linf", "wide")]
    found.append(
        Match(
            "pgd",
            "l2",
            ours,
            {
                "foolbox": p.foolbox("L2PGD", eps=True, rel_stepsize=0.1, steps=40),
                "torchattacks": p.torchattacks("PGDL2", alpha=0.1, steps=40),
            },
            "l2",
            reduced={"torchattacks, 30 steps": p.torchattacks("PGDL2", alpha=0.1, steps=30)},
        )
    )
    return [*found, *_apgd(p, "linf"), *_apgd(p, "l2")]


def _apgd(p: Peers, norm: Norm) -> list[Match]:
    order = {"linf": float("inf"), "l2": 2}[norm]
    found = []
    for loss, named in (("ce", "cross_entropy"), ("dlr", "difference_logits_ratio")):
        art = p.art(
            "AutoProjectedGradientDescent",
            eps=("eps",),
            step=2.0,
            norm=order,
            max_iter=100,
            nb_random_init=1,
            loss_type=named,
            batch_size=128,
            verbose=False,
        )
        peers: dict[str, Peer | None] = {
            "torchattacks": p.torchattacks("APGD", norm={"linf": "Linf", "l2": "L2"}[norm], steps=100, loss=loss),
            "adv-lib": p.adv_lib("apgd", norm=norm, eps="eps", n_iter=100, loss_function=loss),
            "art": art,
            "pyautoattack": p.pyautoattack(norm, (f"apgd-{loss}",)),
        }
        ours: dict[str, list[Attack]] = {
            "ours": [APGD(loss=loss)],  # type: ignore[arg-type]
            SAME: [APGD(loss=loss, steps=100, restarts=1)],  # type: ignore[arg-type]
        }
        found.append(Match(f"apgd-{loss}", norm, ours, peers, norm))
    return found


def _cheap(p: Peers) -> list[Match]:
    """Minimal attacks of few steps."""
    found = [
        Match(
            "deepfool",
            "l2",
            {"ours": [DeepFool()], "ours, 10 candidates": [DeepFool(candidates=10)]},
            {
                "foolbox": p.foolbox("L2DeepFoolAttack"),
                "art": p.art("DeepFool", nb_grads=10, batch_size=128, verbose=False),
                "torchattacks": p.torchattacks("DeepFool"),
                "adv-lib": p.adv_lib("df", norm="l2", steps=50),
            },
            reduced={"foolbox, 6 candidates": p.foolbox("L2DeepFoolAttack", candidates=6)},
        ),
        Match(
            "deepfool",
            "linf",
            {"ours": [DeepFool()], "ours, 10 candidates": [DeepFool(candidates=10)]},
            {"foolbox": p.foolbox("LinfDeepFoolAttack"), "adv-lib": p.adv_lib("df", norm="linf", steps=50)},
            reduced={"foolbox, 6 candidates": p.foolbox("LinfDeepFoolAttack", candidates=6)},
        ),
        Match(
            "ddn",
            "l2",
            {"ours": [DDN()], SAME: [DDN(steps=100, gamma=0.05, last_gamma=0.05)]},
            {"foolbox": p.foolbox("DDNAttack", steps=100), "adv-lib": p.adv_lib("ddn", steps=100, levels=None)},
            reduced={"adv-lib, 60 steps": p.adv_lib("ddn", steps=60, levels=None)},
        ),
        Match(
            "newtonfool",
            "l2",
            {"ours": [NewtonFool()]},
            {
                "foolbox": p.foolbox("NewtonFoolAttack"),
                "art": p.art("NewtonFool", batch_size=128, verbose=False),
            },
        ),
    ]
    names = {"l2": "L2FMNAttack", "linf": "LInfFMNAttack", "l1": "L1FMNAttack", "l0": "L0FMNAttack"}
    norms: tuple[Norm, ...] = ("l2", "linf", "l1", "l0")
    for norm in norms:
        peers = {
            "foolbox": p.foolbox(names[norm], steps=STEPS),
            "adv-lib": p.adv_lib("fmn", norm=norm, steps=STEPS),
        }
        fewer = {"adv-lib, 200 steps": p.adv_lib("fmn", norm=norm, steps=200)}
        found.append(Match("fmn", norm, {"ours": [FMN()], SAME: [FMN(steps=STEPS)]}, peers, reduced=fewer))
    return found


def _walks(p: Peers) -> list[Match]:
    """Minimal attacks of some hundred steps."""
    l1: Norm = "l1"
    found = [
        Match(
            "alma",
            "l2",
            {"ours": [ALMA(steps=STEPS)]},
            {"adv-lib": p.adv_lib("alma", num_steps=STEPS, distance="l2", init_lr_distance=1.0)},
        ),
        Match(
            "alma",
            l1,
            {"ours": [ALMA(steps=STEPS)]},
            {"adv-lib": p.adv_lib("alma", num_steps=STEPS, distance="l1", init_lr_distance=0.5)},
        ),
        Match(
            "pdgd",
            "l2",
            {
                "ours": [PDGD(steps=STEPS, targets=0)],
                "ours, 4 runs of 250 steps": [PDGD()],
                "ours, 6 runs of 300 steps": [PDGD(steps=300, targets=5)],
            },
            {
                "adv-lib": p.adv_lib("pdgd", num_steps=STEPS),
                "adv-lib, 1000 steps": p.adv_lib("pdgd", num_steps=1000),
            },
        ),
    ]
    norms: tuple[Norm, ...] = ("linf", "l1", "l0")
    for norm in norms:
        peer = p.adv_lib("pdpgd", norm=norm, num_steps=STEPS)
        found.append(Match("pdpgd", norm, {"ours": [PDPGD(steps=STEPS)]}, {"adv-lib": peer}))
    balls: tuple[Norm, ...] = ("l2", "linf", "l1")
    for norm in balls:
        peers = {
            "adv-lib": p.adv_lib("fab", norm=norm, n_iter=100),
            "torchattacks": p.torchattacks("FAB", norm={"linf": "Linf"}.get(norm, norm.upper()), steps=100, eps=FAR),
        }
        fewer = {"adv-lib, 50 steps": p.adv_lib("fab", norm=norm, n_iter=50)}
        ours: dict[str, list[Attack]] = {"ours": [FAB()], SAME: [FAB(steps=100, candidates=9, growth=1.0)]}
        found.append(Match("fab", norm, ours, peers, slow=True, reduced=fewer))
    peer = p.adv_lib("sigma_zero", num_steps=1000)
    found.append(Match("sigma-zero", "l0", {"ours": [SigmaZero(steps=1000)]}, {"adv-lib": peer}))
    aimed: dict[str, list[Attack]] = {"ours": [FMN(steps=250, targets=3)]}
    found += [Match("fmn-targets", norm, aimed, {}) for norm in balls[:2]]
    again: dict[str, list[Attack]] = {"ours": [PDGD(steps=300, repeats=2)]}
    found.append(Match("pdgd-repeats", "l2", again, {}))
    radius: dict[str, list[Attack]] = {"ours": [APGD(loss="dlr", steps=100, restarts=1)]}
    found += [Match("apgd-radius", norm, radius, {}) for norm in balls[:2]]
    return found
