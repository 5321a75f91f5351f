"""The one module that third parties import, beside `robusteval.testing`."""

from robusteval.contracts.classifier import Classifier, LoadOptions, ModelInfo
from robusteval.contracts.params import param
from robusteval.contracts.plugins import (
    Attack,
    AttackInfo,
    Dataset,
    DatasetInfo,
    Defended,
    Defense,
    DefenseInfo,
    Detector,
    Loader,
    LoaderInfo,
)
from robusteval.contracts.problem import Gradient, Problem
from robusteval.contracts.samples import Samples
from robusteval.errors import AccessError, DataError, ModelError, PluginError, RobustEvalError
from robusteval.hooks import hookimpl
from robusteval.ops import (
    NORMS,
    ascent,
    clip,
    distance,
    margin,
    per_sample,
    project,
    project_l1_box,
    random_in_ball,
    random_on_sphere,
    size,
    wins,
)
from robusteval.record.document import Record, Result
from robusteval.record.metric import Metric, MetricInfo

__all__ = [
    "NORMS",
    "AccessError",
    "Attack",
    "AttackInfo",
    "Classifier",
    "DataError",
    "Dataset",
    "DatasetInfo",
    "Defended",
    "Defense",
    "DefenseInfo",
    "Detector",
    "Gradient",
    "LoadOptions",
    "Loader",
    "LoaderInfo",
    "Metric",
    "MetricInfo",
    "ModelError",
    "ModelInfo",
    "PluginError",
    "Problem",
    "Record",
    "Result",
    "RobustEvalError",
    "Samples",
    "ascent",
    "clip",
    "distance",
    "hookimpl",
    "margin",
    "param",
    "per_sample",
    "project",
    "project_l1_box",
    "random_in_ball",
    "random_on_sphere",
    "size",
    "wins",
]
