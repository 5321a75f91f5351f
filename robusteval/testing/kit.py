"""The doors of the kit: one function a kind of plugin, and `assert_conforms` for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robusteval.contracts.classifier import Classifier, LoadOptions
from robusteval.contracts.samples import Samples
from robusteval.record.run import Record
from robusteval.testing.attacks import ATTACK_CHECKS
from robusteval.testing.certificates.certifiers import CERTIFIER_CHECKS, CertifierSubject
from robusteval.testing.checks import Check, Report, bind
from robusteval.testing.datasets import DATASET_CHECKS, DatasetSubject
from robusteval.testing.defenses import DEFENSE_CHECKS
from robusteval.testing.executors import EXECUTOR_CHECKS, ExecutorSubject
from robusteval.testing.facts import split
from robusteval.testing.fits import DefenseSubject
from robusteval.testing.loaders import LOADER_CHECKS, LoaderSubject
from robusteval.testing.metrics import METRIC_CHECKS, MetricSubject
from robusteval.testing.runs import AttackSubject
from robusteval.text import block

AnySubject = (
    AttackSubject | DefenseSubject | MetricSubject | LoaderSubject | DatasetSubject | ExecutorSubject | CertifierSubject
)


def check_attack(plugin: object, *, ratio: float = 3.0) -> Report:
    """All checks of an attack, given as a class (its defaults) or an instance (its parameters).

    ratio: how many times the closed-form smallest distance it may need on the linear oracle.
    """
    return report_on(AttackSubject(plugin, ratio))


def check_defense(
    plugin: object, *, model: Classifier | None = None, data: Samples | None = None, false_alarms: float = 0.05
) -> Report:
    """All checks of a defence, fitted to `model` (an image-shaped oracle unless given) with `data`.

    false_alarms: the share of clean samples on which its detector is meant to fire.
    """
    return report_on(DefenseSubject(plugin, model, data, false_alarms))


def check_metric(plugin: object, *, records: Sequence[Record] = ()) -> Report:
    """All checks of a metric on built-in sample records and on those given."""
    return report_on(MetricSubject(plugin, tuple(records)))


def check_loader(plugin: object, *, path: Path | None = None, options: LoadOptions | None = None) -> Report:
    """All checks of a loader; `path` is a good file for it, without which only refusals are checked."""
    return report_on(LoaderSubject(plugin, path, options or LoadOptions()))


def check_dataset(plugin: object) -> Report:
    """All checks of a data set, given as a class or an instance."""
    return report_on(DatasetSubject(plugin))


def check_executor(plugin: object, *, workers: int = 2) -> Report:
    """All checks of an executor, given as a class or an instance, with so many units under way at once."""
    return report_on(ExecutorSubject(plugin, workers))


def check_certifier(plugin: object, *, nets: int = 24, points: int = 64) -> Report:
    """All checks of a certifier, on so many random networks, with so many points tried in each ball."""
    return report_on(CertifierSubject(plugin, nets, points))


def checks_for(plugin: object) -> list[Check]:
    """The checks of a plugin, one by one, for `pytest.mark.parametrize`; each is called without arguments.

    plugin: a class, an instance, or a subject such as AttackSubject with settings of its own. TypeError for others.
    """
    subject = _subject(plugin)
    checks = {
        AttackSubject: ATTACK_CHECKS,
        DefenseSubject: DEFENSE_CHECKS,
        MetricSubject: METRIC_CHECKS,
        LoaderSubject: LOADER_CHECKS,
        DatasetSubject: DATASET_CHECKS,
        ExecutorSubject: EXECUTOR_CHECKS,
        CertifierSubject: CERTIFIER_CHECKS,
    }
    return bind(checks[type(subject)], subject)


def assert_conforms(plugin: object) -> None:
    """Prints how many checks ran; raises AssertionError with every broken promise. Takes a plugin or a Report."""
    report = plugin if isinstance(plugin, Report) else report_on(plugin)
    print(block(report.summary()))
    if not report.ok:
        broken = "\n".join(f"  {failure.check}: {failure.sentence}" for failure in report.failures)
        raise AssertionError(f"{report.summary()}\n{broken or '  No check passed, so nothing is known.'}")


def report_on(plugin: object) -> Report:
    """All checks of a plugin, a class, an instance or a subject. TypeError for what is none."""
    subject = _subject(plugin)
    name = getattr(getattr(subject.plugin, "info", None), "name", "") or subject.plugin.__name__
    return Report(str(name), tuple(check.outcome() for check in checks_for(subject)))


def _subject(plugin: object) -> AnySubject:
    if isinstance(plugin, AnySubject):
        return plugin
    kind, _ = split(plugin)
    if hasattr(kind, "run"):
        return AttackSubject(plugin)
    if hasattr(kind, "fit"):
        return DefenseSubject(plugin)
    if hasattr(kind, "compute"):
        return MetricSubject(plugin)
    if hasattr(kind, "load"):
        return LoaderSubject(plugin)
    if hasattr(kind, "raw"):
        return DatasetSubject(plugin)
    if hasattr(kind, "perform"):
        return ExecutorSubject(plugin)
    if hasattr(kind, "bound"):
        return CertifierSubject(plugin)
    kinds = "attack, defence, metric, loader, data set, executor or certifier"
    raise TypeError(f"{kind.__name__} is no {kinds}: it has none of their methods.")
