"""Plugins whose faults are not to be the tool's: they hang, exit, raise, return garbage, change what they were given,
set what is global, and say odd things. The other attack of the run is done in any case."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from robusteval.record.store import load
from tests.hostile.base import SUITE, run
from tests.hostile.case import Case, Outcome, Place, cells
from tests.hostile_text import EVIL

PLUGIN = '''
import os, re, signal, sys, threading, time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from robusteval.api import AttackInfo, Defended, DefenseInfo, MetricInfo, Result, hookimpl, param

EVIL = {evil!r}


class Odd(BaseException):
    """No Exception."""


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def strike(how, x=None):
    if how == "sleep": time.sleep(3600)
    if how == "spin": re.match(r"(a+)+$", "a" * 80 + "b")
    if how == "exit": sys.exit(0)
    if how == "exit3": sys.exit(3)
    if how == "die": os._exit(0)
    if how == "die3": os._exit(3)
    if how == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if how == "term": os.kill(os.getpid(), signal.SIGTERM)
    if how == "crash": __import__("ctypes").string_at(0)
    if how == "raise": raise RuntimeError(EVIL)
    if how == "mute": raise Mute
    if how == "odd": raise Odd(EVIL)
    if how == "interrupt": raise KeyboardInterrupt
    if how == "deep": return strike(how)
    if how == "memory": return np.ones(1 << 29)
    if how == "print": print(EVIL, flush=True); print(EVIL, file=sys.stderr, flush=True)
    if how == "mutate": x.fill_(7)
    if how == "globals":
        torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False); torch.manual_seed(0); np.random.seed(0)
        np.seterr(all="raise"); os.chdir("/"); os.environ.clear(); sys.setrecursionlimit(60); torch.set_num_threads(7)
    if how == "patch":
        torch.nn.functional.softmax = torch.softmax = None
    if how == "threads":
        for _ in range(20): threading.Thread(target=time.sleep, args=(3600,)).start()
    if how == "child": __import__("subprocess").Popen(["sleep", "3600"])
    if how == "none": return None
    if how == "text": return EVIL
    if how == "shape" and x is not None: return x[:, :, :3]
    if how == "nan" and x is not None: return x * float("nan")
    if how == "outside" and x is not None: return x + 100
    if how == "type" and x is not None: return x.to(torch.int64)
    if how == "meta" and x is not None: return x.to("meta")
    if how == "sparse" and x is not None: return x.to_sparse()
    if how == "few" and x is not None: return x[:1]
    return x


@dataclass(frozen=True)
class Attack:
    info: ClassVar = AttackInfo("acme.odd", "1", ("linf",), "minimal", "scores", EVIL, "none")
    how: str = param("", "what it does")

    def run(self, problem):
        return strike(self.how, problem.x)

    def passes(self, norm, classes):
        if self.how == "passes": return "many"
        return None


class Model:
    def __init__(self, inner, how):
        self.inner, self.how, self.info = inner, how, inner.info

    def logits(self, x):
        found = strike(self.how, self.inner.logits(x))
        return found

    def twin(self, x):
        return self.inner.twin(x)


@dataclass(frozen=True)
class Defense:
    info: ClassVar = DefenseInfo("acme.wall", "1", "preprocessor", False, EVIL, "none")
    fit_how: str = param("", "what its fit does")
    ask_how: str = param("", "what its model does")

    def fit(self, model, data, rng):
        if self.fit_how:
            found = strike(self.fit_how)
            if self.fit_how in ("text", "none"): return found
        return Defended(Model(model, self.ask_how), notes=(EVIL,))


class Figure:
    info: ClassVar = MetricInfo("acme.figure", "1", EVIL, "none")

    def compute(self, record):
        how = os.environ.get("METRIC", "")
        if how == "nan": return [Result("acme.figure", "x", "scalar", EVIL, EVIL, float("nan"))]
        if how == "large": return (Result("acme.figure", str(n), "scalar", "t", "d", 1.0) for n in range(10**9))
        if how == "change":
            for cell in record.cells: cell.distance = [9.0 for _ in cell.distance]
            return []
        return strike(how) or []


if os.environ.get("IMPORT"): strike(os.environ["IMPORT"])


@hookimpl
def robusteval_attacks(): return [Attack]


@hookimpl
def robusteval_defenses(): return [Defense]


@hookimpl
def robusteval_metrics(): return [Figure]
'''
SITE = {"PYTHONPATH": "{home}/in/site:{path}"}
ATTACK = '[[attack]]\nplugin = "acme.odd"\nname = "odd"\nparams = {{ how = "{how}" }}\n'
DEFENSE = '[[defense]]\nplugin = "acme.wall"\nname = "wall"\nadaptive = ["fgsm"]\nparams = {{ {what} = "{how}" }}\n'


def _install(place: Place) -> None:
    """As pip would leave it."""
    site = place.given / "site"
    facts = site / "acme-1.dist-info"
    facts.mkdir(parents=True)
    (site / "acme.py").write_text(PLUGIN.format(evil=EVIL["esc"] + EVIL["newline"] + EVIL["bidi"]))
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[robusteval]\nacme = acme\n")


def _suite(text: str, figures: bool = False) -> Callable[[Place], list[object]]:
    def make(place: Place) -> list[object]:
        _install(place)
        suite = SUITE.replace("probe_samples = 0", "probe_samples = 0\ncell_timeout = 4") + text
        if figures:
            suite = suite.replace('["accuracy-curve"]', '["accuracy-curve", "acme.figure"]')
        (place.given / "s.toml").write_text(suite)
        return run(place, suite=place.given / "s.toml")

    return make


def _same(status: str) -> Callable[[Outcome], str]:
    """The plugin's cell has that status, and the other attack found what it finds alone."""

    def wrong(found: Outcome) -> str:
        if more := cells(fgsm="done", **({"odd": status} if status else {}))(found):
            return more
        alone, beside = (load(folder) for folder in (found.place.base / "run", found.place.out))
        columns = [
            [cell.distance for cell in record.cells if (cell.attack, cell.defense) == ("fgsm", "none")]
            for record in (alone, beside)
        ]
        return "" if columns[0] == columns[1] and columns[0] else "changed what another attack found"

    return wrong


# fmt: off
FAILS = (
    "sleep", "spin", "exit", "exit3", "die", "die3", "kill", "term", "crash", "raise", "mute", "odd", "interrupt",
    "deep", "none", "text", "shape", "meta", "few", "memory",
)
# fmt: on
LIVES = ("mutate", "globals", "nan", "outside", "print", "threads", "child", "type", "sparse", "patch", "passes")
FITS = ("sleep", "exit", "die", "raise", "odd", "interrupt", "text", "none", "globals", "kill")
ASKS = ("sleep", "raise", "exit", "shape", "nan", "text", "kill")
METRICS = ("sleep", "exit", "die", "raise", "nan", "large", "text", "change", "odd")
CALLS = {"ROBUSTEVAL_TEST_CALL": "4"}


def cases() -> Iterator[Case]:
    """All of them."""
    for how in FAILS:
        text = ATTACK.format(how=how)
        yield Case(f"attack/{how}", f"an attack: {how}", _suite(text), (1,), SITE, memory=6e9, wrong=_same("failed"))
    for how in LIVES:
        text = ATTACK.format(how=how)
        stays = how == "child"
        yield Case(
            f"attack/{how}", f"an attack: {how}", _suite(text), (0, 1), SITE, memory=3e9, stays=stays, wrong=_same("")
        )
    for how in FITS:
        text = DEFENSE.format(what="fit_how", how=how)
        yield Case(f"defense/fit-{how}", f"a defence whose fit does: {how}", _suite(text), (0, 1, 2), SITE | CALLS)
    for how in ASKS:
        text = DEFENSE.format(what="ask_how", how=how)
        yield Case(
            f"defense/ask-{how}",
            f"a defence whose model does: {how}",
            _suite(text),
            (0, 1, 2),
            SITE | CALLS | {"ROBUSTEVAL_TEST_FLOOR": "0.4"},
        )
    for how in METRICS:
        yield Case(
            f"metric/{how}", f"a metric: {how}", _suite("", figures=True), (0, 1, 2), SITE | CALLS | {"METRIC": how}
        )
    for how in ("sleep", "exit", "die", "raise", "odd"):
        tries = f"a plugin that when it is imported does: {how}"
        yield Case(
            f"plugin/import-{how}",
            tries,
            _listing,
            (0, 2),
            SITE | {"IMPORT": how, "ROBUSTEVAL_TEST_FLOOR": "1"},
            seconds=60,
        )


def _listing(place: Place) -> list[object]:
    _install(place)
    return ["plugins", "list"]
