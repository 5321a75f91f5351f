"""Which constants of a graph are weights that may be learnt, and which are statistics, scales or bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# Operators whose constant operands are weights, and which of them; None: all. Statistics, scales and bounds are none.
WEIGHTS: Mapping[str, tuple[int, ...] | None] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "Add", "Mul", "Concat", "Expand", "PRelu")),
    **dict.fromkeys(("FusedConv", "FusedGemm", "FusedMatMul", "BiasGelu", "Attention", "LSTM", "GRU", "RNN")),
    **dict.fromkeys(("LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization"), (1, 2)),
    **dict.fromkeys(("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"), (2, 3, 4)),
    "BatchNormalization": (1, 2),
}


def weight_slots(calls: Sequence[tuple[str, Sequence[int]]]) -> set[int]:
    """The slots that are read as weights, of calls given as (operator, slots of its operands).

    What anything else reads too, such as a quantiser's scale, is none.
    """
    used: set[int] = set()
    others: set[int] = set()
    for op, slots in calls:
        places = WEIGHTS.get(op, ())
        for at, slot in enumerate(slots):
            (used if places is None or at in places else others).add(slot)
    return used - others
