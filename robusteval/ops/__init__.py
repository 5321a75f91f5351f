"""Norms, projections, box, losses and Jacobians: the only copies in the house."""

from robusteval.ops.jacobian import class_gradients
from robusteval.ops.kernels import OwnKernels
from robusteval.ops.losses import LOSSES, ce, dlr, loss, margin, wins
from robusteval.ops.norms import NORMS, Norm, ascent, distance, norm_named, per_sample, size
from robusteval.ops.project import (
    clip,
    project,
    project_l1_box,
    random_in_ball,
    random_on_sphere,
    to_grid,
    to_grid_directed,
    to_levels,
)

__all__ = [
    "LOSSES",
    "NORMS",
    "Norm",
    "OwnKernels",
    "ascent",
    "ce",
    "class_gradients",
    "clip",
    "distance",
    "dlr",
    "loss",
    "margin",
    "norm_named",
    "per_sample",
    "project",
    "project_l1_box",
    "random_in_ball",
    "random_on_sphere",
    "size",
    "to_grid",
    "to_grid_directed",
    "to_levels",
    "wins",
]
