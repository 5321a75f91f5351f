"""The conformance kit for plugin authors: oracles with known answers, and named checks for every kind of plugin.

from robusteval.testing import assert_conforms, checks_for

def test_my_attack() -> None:
    assert_conforms(MyAttack)          # or check_attack(MyAttack, ratio=5.0) for settings of your own

@pytest.mark.parametrize("check", checks_for(MyAttack), ids=str)
def test_each_promise(check) -> None:
    check()
"""

from typing import Any

from robusteval.renamed import warn
from robusteval.testing import problems
from robusteval.testing.certificates.certifiers import CertifierSubject
from robusteval.testing.checks import Check, CheckFailed, NotApplicable, Outcome, Report
from robusteval.testing.datasets import DatasetSubject
from robusteval.testing.executors import ExecutorSubject
from robusteval.testing.fits import DefenseSubject
from robusteval.testing.kit import (
    assert_conforms,
    check_attack,
    check_certifier,
    check_dataset,
    check_defense,
    check_executor,
    check_loader,
    check_metric,
    checks_for,
)
from robusteval.testing.loaders import LoaderSubject
from robusteval.testing.metrics import MetricSubject
from robusteval.testing.oracles import (
    Blank,
    LabelsOnly,
    Linear,
    NanRegion,
    NoGradient,
    Rectified,
    Rescaled,
    Sphere,
    Staircase,
    linear,
    sphere,
)
from robusteval.testing.problems import (
    Jittered,
    LinearDetector,
    inputs,
    jittered,
    pose,
    safe_all_but,
    safe_labels,
)
from robusteval.testing.records import empty_record, failed_record, full_record
from robusteval.testing.runs import AttackSubject

__all__ = [
    "AttackSubject",
    "Blank",
    "CertifierSubject",
    "Check",
    "CheckFailed",
    "DatasetSubject",
    "DefenseSubject",
    "ExecutorSubject",
    "Jittered",
    "LabelsOnly",
    "Linear",
    "LinearDetector",
    "LoaderSubject",
    "MetricSubject",
    "NanRegion",
    "NoGradient",
    "NotApplicable",
    "Outcome",
    "Rectified",
    "Report",
    "Rescaled",
    "Sphere",
    "Staircase",
    "assert_conforms",
    "check_attack",
    "check_certifier",
    "check_dataset",
    "check_defense",
    "check_executor",
    "check_loader",
    "check_metric",
    "checks_for",
    "empty_record",
    "failed_record",
    "full_record",
    "inputs",
    "jittered",
    "linear",
    "pose",
    "safe_all_but",
    "safe_labels",
    "sphere",
]

_RENAMED = {"keep_labels": "safe_labels", "keep_all_but": "safe_all_but"}


def __getattr__(name: str) -> Any:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warn(name, _RENAMED[name])
    return getattr(problems, _RENAMED[name])
