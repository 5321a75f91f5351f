"""Comparisons of thousands of passes: Carlini-Wagner, EAD, JSMA, attacks without gradients,
AutoAttack, and what our suite `standard` makes of its members together."""

from __future__ import annotations

from match import BUDGETS, SAME, WORST, Match
from peer_attacks import Peer, Peers
from robusteval_attacks.apgd import APGD
from robusteval_attacks.boundary import Boundary
from robusteval_attacks.carlini_wagner import CarliniWagner
from robusteval_attacks.ead import EAD
from robusteval_attacks.fab import FAB
from robusteval_attacks.hopskipjump import HopSkipJump
from robusteval_attacks.jsma import JSMA
from robusteval_attacks.square import Square

from robusteval.contracts.plugins import Attack
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.suite import suite
from robusteval.ops import Norm


def slow(p: Peers) -> list[Match]:
    """All of them."""
    return [*_optimised(p), *_sparse(p), *_queries(p), *_standard(p)]


def _optimised(p: Peers) -> list[Match]:
    carlini: dict[str, Peer | None] = {
        "foolbox": p.foolbox(
            "L2CarliniWagnerAttack", binary_search_steps=9, steps=200, stepsize=0.05, initial_const=0.01
        ),
        "adv-lib": p.adv_lib(
            "carlini_wagner_l2", learning_rate=0.05, initial_const=0.01, binary_search_steps=9, max_iterations=200
        ),
        "torchattacks (one constant)": p.torchattacks("CW", c=1, steps=200, lr=0.05),
    }
    cw: dict[str, list[Attack]] = {"ours": [CarliniWagner()], SAME: [CarliniWagner(searches=9, guess=0.0)]}
    fewer = {
        "foolbox, 6 searches": p.foolbox(
            "L2CarliniWagnerAttack", binary_search_steps=6, steps=200, stepsize=0.05, initial_const=0.01
        )
    }
    elastic: dict[str, Peer | None] = {
        "foolbox": p.foolbox("EADAttack", binary_search_steps=9, steps=200, decision_rule="L1"),
        "torchattacks": p.torchattacks("EADL1", binary_search_steps=9, max_iterations=200),
    }
    return [
        Match("carlini-wagner", "l2", cw, carlini, slow=True, reduced=fewer),
        Match("ead", "l1", {"ours": [EAD()]}, elastic),
    ]


def _sparse(p: Peers) -> list[Match]:
    """JSMA: the peers need one class to aim at, and get the likeliest wrong one."""
    peers = {
        "art": p.art("SaliencyMapMethod", aim=True, theta=1.0, gamma=1.0, batch_size=128, verbose=False),
        "torchattacks": p.torchattacks("JSMA", aim=True, theta=1.0, gamma=1.0),
    }
    return [Match("jsma", "l0", {"ours": [JSMA()], "ours, 3 targets": [JSMA(targets=3)]}, peers, slow=True)]


def _queries(p: Peers) -> list[Match]:
    """Attacks without gradients, at about the same number of queries."""
    square: dict[str, Peer | None] = {
        "torchattacks": p.torchattacks("Square", n_queries=1000),
        "art": p.art("SquareAttack", eps=("eps",), max_iter=1000, batch_size=128, verbose=False),
    }
    hops: dict[str, Peer | None] = {
        "foolbox": p.foolbox("HopSkipJumpAttack", steps=20),
        "art": p.art("HopSkipJump", max_iter=20, verbose=False),
    }
    walk: dict[str, Peer | None] = {"foolbox": p.foolbox("BoundaryAttack", steps=3000)}
    return [
        Match("square", "linf", {"ours": [Square(queries=1000)]}, square, "linf"),
        Match("hopskipjump", "l2", {"ours": [HopSkipJump(queries=7000)]}, hops, slow=True),
        Match("boundary", "l2", {"ours": [Boundary(queries=3000)]}, walk, slow=True),
    ]


def _standard(p: Peers) -> list[Match]:
    """AutoAttack and the cascade of suite `standard` beside it; the worst case over that suite's members."""
    published: list[Attack] = [
        APGD(loss="ce", steps=100, restarts=1),
        APGD(loss="targeted-dlr", steps=100, restarts=1),
        FAB(steps=100, targets=9, growth=1.0),
        Square(queries=5000),
    ]
    catalogue = discover()
    read = suite.read("standard", catalogue)

    def made(spec: suite.MemberSpec) -> Attack:
        attack: Attack = catalogue.get("attack", spec.plugin)(**spec.params)
        return attack

    cascade = next(cascade for cascade in read.cascades if BUDGETS["trained"]["robust"] in cascade.eps.get("linf", ()))
    ours = {"ours": published, "ours, suite standard's cascade": [made(spec) for spec in cascade.members]}
    # torchattacks' AutoAttack is left out: its parts take ten steps in place of a hundred
    whole: dict[str, Peer | None] = {"pyautoattack": p.pyautoattack("linf")}
    found = [Match("autoattack", "linf", ours, whole, "trained", slow=True)]
    norms: tuple[Norm, ...] = ("l2", "linf")
    for norm in norms:
        specs = [
            spec for spec in read.attacks if norm in (spec.norms or catalogue.get("attack", spec.plugin).info.norms)
        ]
        members = {"ours": [made(spec) for spec in specs]}
        halvings = tuple(spec.search for spec in specs)
        found.append(Match(WORST, norm, members, {}, halvings=halvings, largest=read.eps[norm]))
    return found
