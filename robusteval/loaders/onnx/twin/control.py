"""If, Loop and Scan, with a limit on how often a body may run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from robusteval.loaders.onnx.twin.node import Fn, Node, Rule

MAX_ITERATIONS = 10_000


def _if(node: Node) -> Fn:
    def run(condition: Tensor, *captured: Any) -> Any:
        key = "then_branch" if bool(condition.reshape(())) else "else_branch"
        program, start = node.programs[key]
        out = program.interpret([], captured[start - 1 : start - 1 + len(program.captures)])
        return out[0] if len(out) == 1 else tuple(out)

    return run


def _loop(node: Node) -> Fn:
    program, start = node.programs["body"]
    carried = start - 2

    def run(limit: Tensor | None, condition: Tensor | None, *rest: Any) -> Any:
        state, captured = list(rest[:carried]), rest[carried:]
        rounds = MAX_ITERATIONS if limit is None else int(limit)
        go = condition is None or bool(condition.reshape(()))
        scans: list[list[Tensor]] = [[] for _ in range(len(program.output_slots) - 1 - carried)]
        done = 0
        while go and done < rounds:
            if done >= MAX_ITERATIONS:
                raise node.refuse(f"its body runs more than {MAX_ITERATIONS} times")
            out = program.interpret(
                [torch.tensor(done, device="cpu"), torch.tensor(True, device="cpu"), *state], captured
            )
            go, state = bool(out[0].reshape(())), out[1 : 1 + carried]
            for kept, value in zip(scans, out[1 + carried :], strict=True):
                kept.append(value)
            done += 1
        if go and limit is None:
            raise node.refuse(f"its body runs more than {MAX_ITERATIONS} times")
        stacked = [torch.stack(kept) if kept else torch.zeros(0, device="cpu") for kept in scans]
        return (*state, *stacked)

    return run


def _scan(node: Node) -> Fn:
    if node.opset < 9:
        raise node.refuse("the form of opset 8 has no torch rule")
    program, start = node.programs["body"]
    scanned = node.get_int("num_scan_inputs")
    carried = start - scanned
    outputs = len(program.output_slots) - carried
    axes_in, axes_out = node.get_ints("scan_input_axes") or [0] * scanned, node.get_ints("scan_output_axes")
    back_in, back_out = node.get_ints("scan_input_directions"), node.get_ints("scan_output_directions")

    def run(*args: Any) -> Any:
        state, items, captured = list(args[:carried]), args[carried:start], args[start:]
        moved = [x.movedim(a, 0) for x, a in zip(items, axes_in, strict=True)]
        moved = [x.flip(0) if back_in and back_in[i] else x for i, x in enumerate(moved)]
        scans: list[list[Tensor]] = [[] for _ in range(outputs)]
        for step in range(len(moved[0])):
            out = program.interpret([*state, *[x[step] for x in moved]], captured)
            state = out[:carried]
            for kept, value in zip(scans, out[carried:], strict=True):
                kept.append(value)
        stacked = []
        for i, kept in enumerate(scans):
            whole = torch.stack(kept[::-1] if back_out and back_out[i] else kept)
            stacked.append(whole.movedim(0, axes_out[i]) if axes_out else whole)
        return (*state, *stacked)

    return run


RULES: Mapping[str, Rule] = {
    "If": Rule(_if, host=(0,)),
    "Loop": Rule(_loop, host=(0, 1)),
    "Scan": Rule(_scan),
}
