"""A zoo of broken evaluations, and of the parts that they are made of.

`python -m tests.e2e.broken` runs every one of them and prints which check caught it and the grade that it was given.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from robusteval.api import Classifier
from robusteval.assessment.gates.every_norm import gate_met
from robusteval.contracts.classifier import LoadOptions
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.run.runner import run
from robusteval.loaders.pytorch.classifier import TorchClassifier
from robusteval.record.run import Record
from tests.e2e.broken_parts import PLUGINS, Affine, Forced, Gate, Hot, int8_exact, stranger
from tests.e2e.models import EXAMPLES, example_cnn
from tests.engine.toys import catalogue

SOUND = """
name = "sound"
version = "1"
norms = ["linf"]
planted = { samples = 12, inner = 50 }
noise_draws = { samples = 4, draws = 500 }
probe_samples = 16
keep_strengths = true
[[attack]]
plugin = "noise"
search = 3
[[attack]]
plugin = "fgsm"
search = 4
[[attack]]
plugin = "pgd"
params = { steps = 20 }
search = 4
[[attack]]
plugin = "fmn"
params = { steps = 40 }
[[attack]]
plugin = "square"
params = { queries = 100 }
search = 3
"""


def suite(*attacks: str, extra: str = "", norms: str = '["linf"]') -> str:
    """A suite of these [[attack]] bodies, and whatever else it is to ask for."""
    head = f'name = "broken"\nversion = "1"\nnorms = {norms}\nprobe_samples = 0\n{extra}\n'
    return head + "".join(f"[[attack]]\n{attack}\n" for attack in attacks)


PGD = 'plugin = "pgd"\nparams = { steps = 20 }\nsearch = 4'
SQUARE = 'plugin = "square"\nparams = { queries = 100 }\nsearch = 3'
PLANTED = "planted = { samples = 16, inner = 50 }"


def classifier(module: nn.Module) -> TorchClassifier:
    return TorchClassifier.from_module(module, (1, 28, 28), LoadOptions())


def images() -> tuple[np.ndarray, np.ndarray]:
    archive = np.load(EXAMPLES.parent / "robusteval" / "data" / "fashion_mnist.npz")
    return archive["x_test"], archive["y_test"]


def shuffled() -> tuple[np.ndarray, np.ndarray]:
    x, y = images()
    return x, np.random.default_rng(0).permutation(y)


@dataclass(frozen=True)
class Case:
    """An evaluation that must not be believed. checks: which must come out how; codes: findings that no check
    raises."""

    name: str
    model: Callable[[nn.Module], Classifier]
    toml: str
    checks: dict[str, str] = field(default_factory=dict)
    codes: tuple[str, ...] = ()
    samples: int = 100
    data: Callable[[], tuple[np.ndarray, np.ndarray]] = images


def defended(plugin: str) -> str:
    return suite(PGD, SQUARE) + f'[[defense]]\nplugin = "{plugin}"\nadaptive = ["pgd", "square"]\noblivious = ["pgd"]\n'


_MASKED = {"gradients-zero": "fail", "black-box": "fail", "planted": "fail"}
_CHANCE = ("near-chance",)
CASES = (
    Case("staircase", lambda net: Forced(Gate(net, 8)), suite(PGD, SQUARE, extra=PLANTED), _MASKED),
    Case("temperature 200", lambda net: Forced(Hot(net, 200.0)), suite(PGD, SQUARE, extra=PLANTED), _MASKED),
    Case("int8, exact gradients forced", lambda net: int8_exact(), suite(PGD, SQUARE, extra=PLANTED), _MASKED),
    Case(
        "preprocessor without surrogate", classifier, defended("test.no-surrogate"),
        {"gradients-zero": "fail", "black-box": "fail"},
    ),
    Case("random model", lambda net: classifier(stranger()), suite(PGD, SQUARE), codes=_CHANCE),
    Case(
        "attack of 2 steps", classifier, suite('plugin = "pgd"\nparams = { steps = 2 }\nsearch = 3'),
        {"optimisation-complete": "fail"},
    ),
    Case("wrong normalisation", lambda net: classifier(Affine(net, 0.08, 0.31)), suite(PGD), codes=_CHANCE),
    Case("detector that rejects everything", classifier, defended("test.rejects-all"), {"detector": "fail"}),
    Case("plugin that returns its input", classifier, suite('plugin = "test.idle"\nsearch = 2'), {"unbounded": "fail"}),
    Case(
        "plugin that raises", classifier, suite('plugin = "test.crashes"'),
        {"attacks-completed": "fail", "norms-attacked": "fail"},
    ),
    Case("labels shuffled", classifier, suite(PGD), codes=_CHANCE, data=shuffled),
    Case("20 samples", classifier, suite(PGD), {"samples": "fail"}, samples=20),
    Case(
        "plugin that forgets its wins", classifier, suite('plugin = "test.forgets"\nsearch = 3'),
        {"silent-success": "fail"},
    ),
    Case(
        "twin of another model", lambda net: Forced(net, stranger()), suite(PGD.replace("search = 4", "search = 1")),
        {"transfer": "fail"},
    ),
    Case("answers that change", lambda net: Forced(net, noise=2.0), suite(PGD), {"predictions-repeat": "fail"}),
    Case(
        "answers that depend on the batch", lambda net: Forced(net, crowd=1.0), suite(PGD),
        {"predictions-repeat": "pass", "predictions-batch": "fail"},
    ),
    Case(
        "attack that goes backwards, noise beside it", classifier,
        suite('plugin = "test.backwards"\nsearch = 2', 'plugin = "noise"\nsearch = 3'), {"random-search": "fail"},
    ),
    Case(
        "attack that goes backwards, square beside it", classifier,
        suite('plugin = "test.backwards"\nsearch = 2', SQUARE), {"black-box": "fail"},
    ),
    Case(
        "attack that goes backwards, a targeted one beside it", classifier,
        suite('plugin = "test.backwards"\nsearch = 2', 'plugin = "test.aimed"\nsearch = 3'), {"targeted": "fail"},
    ),
    Case(
        "one step of many, and too short", classifier,
        suite('plugin = "fgsm"\nsearch = 3', 'plugin = "pgd"\nparams = { steps = 1, step = 0.01 }\nsearch = 2'),
        {"one-step": "fail"},
    ),
    Case(
        "attack that wins at small budgets only", classifier,
        suite('plugin = "test.shrinks"\nsearch = 2', PGD, extra="keep_strengths = true"), {"bigger-budget": "fail"},
    ),
    # noise of a quarter of the largest budget, where the attack found nothing at all
    Case(
        "attack that finds nothing where noise does", classifier,
        suite(
            'plugin = "test.idle"\nsearch = 0',
            extra="noise_draws = { samples = 6, draws = 1000 }\neps = { linf = 1.0 }",
        ),
        {"noise-draws": "fail"},
    ),
)  # fmt: skip


def evaluate(model: Classifier, toml: str, folder: Path, samples: int = 100, data: Any = None) -> Record:
    """The record of a run of the suite written in `toml`, with the zoo's plugins beside the shipped ones."""
    (folder / "suite.toml").write_text(toml)
    source = images() if data is None else data
    job = prepare_job(
        model, catalogue(*PLUGINS), RunOptions(suite=str(folder / "suite.toml"), data=source, samples=samples)
    )
    return run(dataclasses.replace(job, folder=folder / "run"))


def outcomes(record: Record) -> dict[str, str]:
    return {check.id: check.outcome for check in record.checks}


def inconclusive(record: Record) -> bool:
    assert record.verdict is not None
    return record.verdict.status == "inconclusive" and not gate_met(record, 0.0)


def caught(case: Case, record: Record) -> bool:
    """Whether the checks that are meant for it caught it, and the verdict says so."""
    found = outcomes(record)
    codes = {finding.code for finding in record.findings}
    return inconclusive(record) and set(case.codes) <= codes and all(found[i] == how for i, how in case.checks.items())


def main() -> None:
    network, missed = example_cnn(), 0
    print(f"{'broken evaluation':54}{'grade':7}{'caught by'}")
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            record = evaluate(case.model(network), case.toml, Path(folder), case.samples, case.data())
        assert record.verdict is not None
        meant = [check for check, outcome in case.checks.items() if outcome == "fail"] + list(case.codes)
        missed += not caught(case, record)
        print(f"{case.name:54}{record.verdict.grade:7}{', '.join(meant) if caught(case, record) else 'NOT CAUGHT'}")
    raise SystemExit(missed)


if __name__ == "__main__":
    main()
