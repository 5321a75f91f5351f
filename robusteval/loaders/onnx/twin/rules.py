"""Every operator that has a torch rule, by domain."""

from __future__ import annotations

from collections.abc import Mapping

from robusteval.loaders.onnx.twin import (
    control,
    conv,
    elementwise,
    fused,
    indexing,
    logs,
    matmul,
    ml,
    norm,
    pool,
    qlinear,
    quant,
    recurrent,
    reduce,
    resize,
    shape,
)
from robusteval.loaders.onnx.twin.node import Rule, Unsupported

STANDARD: Mapping[str, Rule] = {
    **elementwise.RULES,
    **shape.RULES,
    **reduce.RULES,
    **indexing.RULES,
    **matmul.RULES,
    **conv.RULES,
    **pool.RULES,
    **norm.RULES,
    **resize.RULES,
    **quant.RULES,
    **control.RULES,
    **recurrent.RULES,
    "SimplifiedLayerNormalization": fused.MICROSOFT["SimplifiedLayerNormalization"],
}
DOMAINS: Mapping[str, Mapping[str, Rule]] = {
    "": STANDARD,
    "ai.onnx": STANDARD,
    "ai.onnx.ml": ml.RULES,
    "com.microsoft": {**fused.MICROSOFT, **qlinear.MICROSOFT, **quant.MICROSOFT},
    logs.DOMAIN: logs.RULES,
}


def has_rule(domain: str, op: str) -> bool:
    """Whether operator `op` of `domain` can be differentiated here."""
    return op in DOMAINS.get(domain, {})


def rule_for(domain: str, op: str) -> Rule:
    """The rule of an operator. Raises Unsupported with its full name where there is none."""
    if not has_rule(domain, op):
        raise Unsupported(f"operator {domain + '.' if domain else ''}{op} has no torch rule")
    return DOMAINS[domain][op]
