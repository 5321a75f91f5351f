"""The one module that third parties import, beside `robusteval.testing`.

For metrics there are the types of the record and three modules, without torch: `columns` (cells as arrays), `detection`
(what a detector is asked to tell apart) and `statistics` (intervals, medians, ROC).
"""

from __future__ import annotations

from pathlib import Path

from robusteval.assessment.standards.figures import Figure, figures
from robusteval.bridge import Posed, borrowed, posed
from robusteval.cache import cache_folder
from robusteval.cage.page import beat
from robusteval.contracts.certificates.certifier import (
    CERTIFIED_NORMS,
    BoundWork,
    Certifier,
    CertifierInfo,
    Counted,
    Proof,
    Statement,
    proved,
    rivals,
)
from robusteval.contracts.certificates.enclosure import enclosure
from robusteval.contracts.certificates.enclosure import rounded as rounded_interval
from robusteval.contracts.certificates.evaluate import activation as activation_value
from robusteval.contracts.certificates.evaluate import affine as affine_value
from robusteval.contracts.certificates.evaluate import scores as graph_scores
from robusteval.contracts.certificates.graph import Graph as ModelGraph
from robusteval.contracts.certificates.graph import Graphed, NotCoveredError, graph_of
from robusteval.contracts.certificates.graph import Node as GraphNode
from robusteval.contracts.certificates.rounding import activation_radius
from robusteval.contracts.certificates.rounding import radius as affine_radius
from robusteval.contracts.classifier import Classifier, Featured, LoadOptions, ModelInfo
from robusteval.contracts.executors.executor import (
    CannotStartError,
    Done,
    Executor,
    ExecutorInfo,
    Unit,
    Work,
    Worker,
    unpacked,
)
from robusteval.contracts.params import param
from robusteval.contracts.pipeline import JUDGE_DRAWS
from robusteval.contracts.plugins import (
    Attack,
    AttackInfo,
    CellFinished,
    Dataset,
    DatasetInfo,
    Defended,
    Defense,
    DefenseInfo,
    Detector,
    ListenerInfo,
    Loader,
    LoaderInfo,
    Passes,
    RunListener,
    RunStarted,
    Split,
)
from robusteval.contracts.problem import Gradient, Problem
from robusteval.contracts.samples import Samples
from robusteval.contracts.suites import suites_in
from robusteval.contracts.training import (
    Aim,
    Epoch,
    TrainedDefense,
    TrainsToProve,
    parameters_of,
    trainable,
    with_parameters,
)
from robusteval.errors import AccessError, DataError, ModelError, PluginError, RobustEvalError
from robusteval.hooks import API_VERSION, hookimpl
from robusteval.metrics._common import columns, detection, statistics
from robusteval.ops import (
    NORMS,
    Norm,
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
from robusteval.record.metric import Metric, MetricInfo
from robusteval.record.run import Cell, Column, Curve, Finding, Pipeline, Point, Record, Result, Scalar, Strength

api_version = API_VERSION

__all__ = [
    "CERTIFIED_NORMS",
    "JUDGE_DRAWS",
    "NORMS",
    "AccessError",
    "Aim",
    "Attack",
    "AttackInfo",
    "BoundWork",
    "CannotStartError",
    "Cell",
    "CellFinished",
    "Certifier",
    "CertifierInfo",
    "Classifier",
    "Column",
    "Counted",
    "Curve",
    "DataError",
    "Dataset",
    "DatasetInfo",
    "Defended",
    "Defense",
    "DefenseInfo",
    "Detector",
    "Done",
    "Epoch",
    "Executor",
    "ExecutorInfo",
    "Featured",
    "Figure",
    "Finding",
    "Gradient",
    "GraphNode",
    "Graphed",
    "ListenerInfo",
    "LoadOptions",
    "Loader",
    "LoaderInfo",
    "Metric",
    "MetricInfo",
    "ModelError",
    "ModelGraph",
    "ModelInfo",
    "Norm",
    "NotCoveredError",
    "Passes",
    "Pipeline",
    "PluginError",
    "Point",
    "Posed",
    "Problem",
    "Proof",
    "Record",
    "Result",
    "RobustEvalError",
    "RunListener",
    "RunStarted",
    "Samples",
    "Scalar",
    "Split",
    "Statement",
    "Strength",
    "TrainedDefense",
    "TrainsToProve",
    "Unit",
    "Work",
    "Worker",
    "activation_radius",
    "activation_value",
    "affine_radius",
    "affine_value",
    "api_version",
    "ascent",
    "beat",
    "borrowed",
    "cache_folder",
    "clip",
    "columns",
    "detection",
    "distance",
    "enclosure",
    "figures",
    "graph_of",
    "graph_scores",
    "hookimpl",
    "load_model",
    "margin",
    "param",
    "parameters_of",
    "per_sample",
    "posed",
    "project",
    "project_l1_box",
    "proved",
    "random_in_ball",
    "random_on_sphere",
    "report_html",
    "rivals",
    "rounded_interval",
    "size",
    "statistics",
    "suites_in",
    "trainable",
    "unpacked",
    "wins",
    "with_parameters",
]


def load_model(path: str | Path, options: LoadOptions | None = None) -> Classifier:
    """The classifier in a model file, read by the installed loader for its ending; for attacks that use other models.

    Raises ModelError with one clear sentence and a hint.
    """
    # The catalogue imports the plugins, which import this module: so not before it is needed.
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.catalogue.open_model import load_model as load

    return load(Path(path), options or LoadOptions(), discover())


def report_html(record: Record) -> str:
    """The report of a record: one self-contained HTML document."""
    from robusteval.report import render  # what draws charts is imported when there is something to draw

    return render(record)
