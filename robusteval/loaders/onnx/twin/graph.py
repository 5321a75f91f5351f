"""The walker: an ONNX graph as a list of torch calls, with everything that does not depend on the input done once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import onnx
import torch
from torch import Tensor, nn

from robusteval.loaders.onnx.twin.elementwise import COMPUTED
from robusteval.loaders.onnx.twin.folding import simplified
from robusteval.loaders.onnx.twin.learning import weight_slots
from robusteval.loaders.onnx.twin.node import Fn
from robusteval.loaders.onnx.twin.program import Call, Program, run_call

MAX_PLANS = 16  # input shapes whose shape arithmetic is kept


class Step(NamedTuple):
    """One call at run time: values are slots of one list; `free` holds the slots not needed afterwards."""

    fn: Fn
    ins: tuple[int, ...]
    outs: tuple[int, ...]
    free: tuple[int, ...]


class ShapePlan(NamedTuple):
    """What remains to be done for inputs of one shape."""

    env: list[Any]
    steps: list[Step]
    flat: tuple[str, ...]  # the operators among them that are constant almost everywhere


class Twin(nn.Module):
    """A graph with one real input and one real output as a differentiable module.

    Parameters are buffers (frozen). Half precisions are computed in `real`, float32 unless `.double()` was called.
    `straight` gives rounding, signs and comparisons straight-through derivatives, with ramps of one of node.WIDTHS.
    What is affine is folded into the weights before it unless `folds` is False, or the weights learn; values named in
    `shown` stay. Raises Unsupported where a node has no rule.
    """

    anchor: Tensor

    def __init__(
        self,
        graph: onnx.GraphProto,
        opsets: Mapping[str, int],
        straight: bool | str = False,
        types: Mapping[str, int] | None = None,
        shown: Collection[str] = (),
        folds: bool = True,
    ) -> None:
        super().__init__()
        self.register_buffer("anchor", torch.zeros((), device="cpu"), persistent=False)  # carries dtype and device
        self._source = (graph, dict(opsets), straight, dict(types or {}))
        self._shown, self.folds, self._learns = frozenset(shown), folds, False
        self._build()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Twin:
        before = (self.anchor.dtype, self.anchor.device)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if before != (self.anchor.dtype, self.anchor.device):
            trained = {name: value.detach() for name, value in self.named_parameters()}
            for name in trained:
                delattr(self, name)
            self._build()
            if self._learns:
                self.learn()
                with torch.no_grad():
                    for name, value in trained.items():
                        self.get_parameter(name).copy_(value)
        return self

    def _build(self) -> None:
        graph, opsets, straight, types = self._source
        self._plans: OrderedDict[tuple[int, ...], ShapePlan] = OrderedDict()
        with torch.inference_mode(False):  # constants must be fit for later backward passes
            program = Program(graph, opsets, self.anchor.dtype, straight, types)
        self.program = program
        env: list[Any] = [None] * len(program.scope.slots)
        known = [False] * len(env)
        known[0] = True
        for slot, value in program.constants.items():
            env[slot], known[slot] = value, True
        self.live: list[Call] = []
        self.dequantised: dict[int, tuple[Call, list[Any]] | None] = {}  # constants; None: and changed after that
        with torch.inference_mode(False), torch.no_grad():
            for call in program.calls:
                if all(known[i] for i in call.ins):
                    if call.node.op == "DequantizeLinear":
                        self.dequantised[call.outs[0]] = (call, [env[i] for i in call.ins])
                    elif not self.dequantised.keys().isdisjoint(call.ins):
                        self.dequantised |= dict.fromkeys(call.outs)
                    for slot, value in zip(call.outs, run_call(call, [env[i] for i in call.ins]), strict=False):
                        if slot >= 0:
                            env[slot], known[slot] = value, True
                else:
                    self.live.append(call)
        self.folded = 0  # calls that there are fewer of
        if self.folds and not self._learns:
            before = len(self.live)
            kept = {slot for name, slot in program.scope.slots.items() if name in self._shown}
            with torch.inference_mode(False), torch.no_grad():
                self.live = simplified(self.live, env, kept.union(program.output_slots))
            self.folded = before - len(self.live)
            known += [True] * (len(env) - len(known))
        used = {i for call in self.live for i in call.ins} | set(program.output_slots)
        self._env = [v if i in used else None for i, v in enumerate(env)]
        self._known = known
        self._hang_up_buffers(used)
        program.constants = {}
        self._by_shape = any(call.uses_shape for call in self.live)

    def _hang_up_buffers(self, used: set[int]) -> None:
        """Weights become buffers on the module's device; numbers stay on the CPU."""
        for name in [n for n, _ in self.named_buffers() if n != "anchor"]:
            delattr(self, name)
        real = {i for call in self.live for at, i in enumerate(call.ins) if at not in call.rule.host}
        for i in sorted(used):
            value = self._env[i]
            if isinstance(value, Tensor) and i in real and value.is_floating_point():
                self._env[i] = value.to(self.anchor.device)
                self.register_buffer(f"c{i}", self._env[i], persistent=False)

    def learn(self) -> Twin:
        """Turns the file's own weights into parameters. For good: shape arithmetic may depend on them, so plans are no
        longer kept."""
        self._learns = True
        if self.folded:
            self._build()
        slots = weight_slots([(call.node.op, call.ins) for call in self.live])
        for name, value in [(n, b) for n, b in self.named_buffers() if n != "anchor"]:
            slot = int(name[1:])
            if slot in slots and value.numel() > 1:
                delattr(self, name)
                trained = nn.Parameter(value.detach().clone())
                self.register_parameter(name, trained)
                self._env[slot] = trained
        self._plans.clear()
        return self

    def steps_on_path(self) -> tuple[str, ...]:
        """Operators between input and output that are constant almost everywhere, in order, without repeats."""
        plan = next(iter(self._plans.values()), None)  # after a run it is known what is shape arithmetic only
        return _flat(self.live) if plan is None else plan.flat

    def forward(self, x: Tensor) -> Tensor:
        """The graph's output for an input in the file's own layout. x: [N, ...] real."""
        if self._learns:
            learning: Tensor = self._walk(x)[0][self.program.output_slots[0]]
            return learning
        key = tuple(x.shape) if self._by_shape else ()
        plan = self._plans.get(key)
        if plan is None:
            if torch.is_inference_mode_enabled():  # what is kept must be fit for later backward passes
                with torch.inference_mode(False), torch.no_grad():
                    return self._trace(x.clone(), key)
            return self._trace(x, key)
        env = plan.env.copy()
        env[self.program.input_slots[0]] = x
        for fn, ins, outs, free in plan.steps:
            out = fn(*[env[i] for i in ins])
            if len(outs) == 1 and not isinstance(out, tuple):
                env[outs[0]] = out
            else:
                for slot, value in zip(outs, out if isinstance(out, tuple) else (out,), strict=False):
                    if slot >= 0:
                        env[slot] = value
            for i in free:
                env[i] = None
        result: Tensor = env[self.program.output_slots[0]]
        return result

    def _trace(self, x: Tensor, key: tuple[int, ...]) -> Tensor:
        """The first run for a shape: keeps what depends on the shape alone, and plans the rest."""
        env, plan = self._walk(x)
        self._plans[key] = plan
        if len(self._plans) > MAX_PLANS:
            self._plans.popitem(last=False)
        result: Tensor = env[self.program.output_slots[0]]
        return result

    def _walk(self, x: Tensor) -> tuple[list[Any], ShapePlan]:
        env, known, todo = self.traced(x)
        return env, self._plan(env, known, todo)

    def traced(self, x: Tensor) -> tuple[list[Any], list[bool], list[Call]]:
        """One run, call by call: (the values by slot, which of them do not depend on x beyond its shape, the calls that
        do)."""
        env, known = self._env.copy(), self._known.copy()
        env[self.program.input_slots[0]] = x
        todo: list[Call] = []
        for call in self.live:
            args = [env[i] for i in call.ins]
            static = call.rule.shape_only or all(known[i] for i in call.ins)
            results = run_call(call, args)
            for slot, value in zip(call.outs, results, strict=False):
                if slot >= 0:
                    env[slot], known[slot] = value, static
            if not static:
                todo.append(call)
        return env, known, todo

    def _plan(self, env: list[Any], known: list[bool], todo: list[Call]) -> ShapePlan:
        device = self.anchor.device
        template = [v if k else None for v, k in zip(env, known, strict=True)]
        last: dict[int, int] = {}
        for at, call in enumerate(todo):
            for i in call.ins:
                last[i] = at
                value = template[i]
                on_device = call.ins.index(i) not in call.rule.host
                if device.type != "cpu" and isinstance(value, Tensor) and on_device:
                    template[i] = value.to(device)
        kept = set(self.program.output_slots)
        steps = []
        for at, call in enumerate(todo):
            free = [i for i in set(call.ins) if last[i] == at and not known[i] and i not in kept]
            free += [i for i in call.outs if i >= 0 and i not in last and i not in kept]
            steps.append(Step(call.fn, call.ins, call.outs, tuple(free)))
        return ShapePlan(template, steps, _flat(todo))

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """Every intermediate tensor of one run by name, those folded away apart: for finding where two answers part."""
        env, _ = self._walk(x)
        names = {slot: name for name, slot in self.program.scope.slots.items()}
        return {names[i]: v for i, v in enumerate(env) if isinstance(v, Tensor) and names.get(i)}


def _flat(calls: list[Call]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for call in calls:
        name = call.node.op
        to = call.node.get_int("to", 1) if name == "Cast" else 0
        if call.rule.steps and to not in COMPUTED:
            found["Cast to truth values" if to == onnx.TensorProto.BOOL else name] = None
        for program, _ in call.node.programs.values():
            found |= dict.fromkeys(_flat(program.calls))
    return tuple(found)
