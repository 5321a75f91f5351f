"""Modules as strangers write them: what they return, how many inputs they take, what they do to their input, how they
fail."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any, Self

import pytest
import torch
from torch import Tensor, nn

from robusteval.assessment import looked
from robusteval.contracts.classifier import LoadOptions
from robusteval.errors import ModelError
from robusteval.loaders.pytorch.classifier import TorchClassifier
from tests.loaders.torch_nets import (
    IN_PLACE,
    NET,
    OUT_OF_PLACE,
    SHAPE,
    Around,
    Forward,
    X,
    Y,
    gradient,
    loaded,
    seen,
    through_numpy,
)


@pytest.mark.parametrize("kind", IN_PLACE)
def test_modules_that_write_into_their_input_answer_as_those_that_do_not(kind: str) -> None:
    model, other = loaded(IN_PLACE[kind]), loaded(OUT_OF_PLACE)
    x = X.clone()
    assert torch.allclose(model.logits(x), other.logits(x), atol=1e-6)
    assert torch.equal(model.logits(x), model.logits(x))
    assert torch.equal(x, X)
    assert (model.info.gradients, model.info.rung) == ("exact", "A")
    assert torch.allclose(gradient(model), gradient(other), atol=1e-6)
    assert torch.equal(model.features().logits(x), other.features().logits(x))


def test_not_even_numpy_reaches_the_images() -> None:
    model, x = loaded(through_numpy), X.clone()
    model.logits(x)
    assert torch.equal(x, X)


PAIR = namedtuple("PAIR", "features scores")  # noqa: PYI024 - modules answer with such


@dataclass
class Answer:
    hidden: Tensor
    logits: Tensor


RETURNED: dict[str, tuple[Forward, str]] = {
    "features first": (lambda net, x: (net[:3](x), net(x)), "1"),
    "list": (lambda net, x: [net(x), net[:3](x)], "0"),
    "key": (lambda net, x: {"a": net[:3](x)[:, :5], "logits": net(x)}, "logits"),
    "named tuple": (lambda net, x: PAIR(net[:3](x)[:, :5], net(x)), "scores"),
    "dataclass": (lambda net, x: Answer(net[:3](x), net(x)), "logits"),
    "nested": (lambda net, x: {"aux": {"head": -net(x)}, "main": [net(x)]}, "main.0"),
    "a loss beside": (lambda net, x: {"loss": net(x).mean(), "out": net(x), "heads": net[:3](x)}, "out"),
}


@pytest.mark.parametrize("kind", RETURNED)
def test_of_several_outputs_the_one_that_is_right_is_taken_and_said_so(kind: str) -> None:
    forward, name = RETURNED[kind]
    model = loaded(forward)
    assert torch.equal(model.logits(X), NET(X).detach())
    notes = [note for note in model.info.notes if "outputs" in note]
    assert len(notes) == 1
    assert f"{name!r} (5 values, 100% right) was taken" in notes[0]


def test_the_user_names_an_output_or_the_name_decides() -> None:
    forward = RETURNED["key"][0]
    assert loaded(forward, seen(output="a")).info.classes == 5
    assert not torch.equal(loaded(forward, seen(output="a")).logits(X), NET(X).detach())
    assert torch.equal(loaded(forward, LoadOptions()).logits(X), NET(X).detach())
    with pytest.raises(ModelError, match="no output 'logit'") as caught:
        loaded(forward, seen(output="logit"))
    assert "Did you mean 'logits'" in caught.value.hint


SHAPES: dict[str, Forward] = {
    "[B, 1, 1, K]": lambda net, x: net(x)[:, None, None],
    "[B, K, 1, 1]": lambda net, x: net(x)[..., None, None],
    "[B, 1, K]": lambda net, x: net(x)[:, None],
}


@pytest.mark.parametrize("kind", SHAPES)
def test_scores_with_empty_axes(kind: str) -> None:
    model = loaded(SHAPES[kind])
    assert torch.equal(model.logits(X), NET(X).detach())
    assert model.info.gradients == "exact"


def only(n: int) -> Forward:
    def forward(net: nn.Module, x: Tensor) -> Tensor:
        assert len(x) == n, f"batch of {len(x)}"
        answer: Tensor = net(x)
        return answer

    return forward


def up_to(n: int) -> Forward:
    def forward(net: nn.Module, x: Tensor) -> Tensor:
        if len(x) > n:
            raise ZeroDivisionError("no more memory of ours")
        answer: Tensor = net(x)
        return answer

    return forward


BATCHES: dict[str, tuple[Forward, int | None, str]] = {
    "squeezed": (lambda net, x: net(x).squeeze(), None, "squeezes"),
    "squeezed and normalised": (lambda net, x: net(x).squeeze().log_softmax(1).exp(), None, "single input"),
    "one image": (only(1), 1, "one by one"),
    "no batch axis in the answer": (lambda net, x: net(x)[0], 1, "one by one"),
    "a view of one": (lambda net, x: net[3](net[:2](x).view(1, 400)), 1, "one by one"),
    "three": (only(3), 3, "3 inputs at once"),
    "up to ten": (up_to(10), None, ""),
}


@pytest.mark.parametrize("kind", BATCHES)
def test_every_number_of_inputs(kind: str) -> None:
    forward, batch, word = BATCHES[kind]
    model = loaded(forward)
    assert model.info.batch == batch
    assert not word or any(word in note for note in model.info.notes)
    for n in (1, 2, 5, 48):
        assert torch.equal(model.logits(X[:n]).argmax(1), Y[:n])
        assert model.twin(X[:n]).shape == (n, 5)
    assert bool((gradient(model).flatten(1).abs().amax(1) > 0).all())


def test_labels_are_decisions_among_the_classes_of_the_data() -> None:
    for forward in (
        lambda net, x: net(x).argmax(1),
        lambda net, x: net(x).argmax(1, keepdim=True).float(),
        lambda net, x: net(x).argmax(1).to(torch.int32),
    ):
        model = loaded(forward)
        assert (model.info.output, model.info.classes, model.info.gradients) == ("labels", 5, "none")
        assert torch.equal(model.logits(X).argmax(1), Y)
        assert any("labels, 100% of them right" in note for note in model.info.notes)
    two = loaded(lambda net, x: net(x).argmax(1) > 1, seen(y=(Y > 1).long()))
    assert (two.info.output, two.info.classes) == ("labels", 2)
    with pytest.raises(ModelError, match="without images"):
        loaded(lambda net, x: net(x).argmax(1), LoadOptions())
    few = loaded(lambda net, x: (net(x).argmax(1) + 7 * (x.mean((1, 2, 3)) > 0.9)).long())
    with pytest.raises(ModelError, match="beyond the 5 classes"):
        few.logits(torch.ones(3, *SHAPE))


class Two(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


def again(net: nn.Module, x: Tensor) -> Any:
    return again(net, x)


def raising(error: BaseException) -> Forward:
    def forward(net: nn.Module, x: Tensor) -> Any:
        raise error

    return forward


FAULTS: dict[str, tuple[Forward, str]] = {
    **{
        type(error).__name__: (raising(error), type(error).__name__)
        for error in (AssertionError(), KeyError("w"), ZeroDivisionError("0"), NotImplementedError(), SystemExit(0))
    },
    "recursion": (again, "RecursionError"),
    "None": (lambda net, x: None, "returns None"),
    "text": (lambda net, x: "cat", "returns a str"),
    "no tensors": (lambda net, x: {"a": 1}, "returns a dict"),
    "maps": (lambda net, x: net[:1](x), "no class scores"),
    "complex": (lambda net, x: torch.complex(net(x), net(x)), "no class scores"),
    "NaN": (lambda net, x: net(x) * float("nan"), "not finite"),
    "one class": (lambda net, x: net(x)[:, :0], "no class scores"),
    "wrong shape": (lambda net, x: net(x[:, :, :5]), "does not take inputs of shape"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_of_a_module_is_one_sentence(kind: str) -> None:
    forward, word = FAULTS[kind]
    with pytest.raises(ModelError, match=word) as caught:
        loaded(forward)
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_two_inputs_are_one_sentence_and_a_late_fault_too() -> None:
    with pytest.raises(ModelError, match="missing 1 required"):
        TorchClassifier.from_module(Two(), SHAPE, seen())

    def touchy(net: nn.Module, x: Tensor) -> Tensor:
        if float(x.min()) > 0.9:
            raise SystemExit(0)
        answer: Tensor = net(x)
        return answer

    model = loaded(touchy)
    with pytest.raises(ModelError, match="SystemExit"):
        model.logits(torch.ones(3, *SHAPE))


def test_standardised_images_and_constant_ones() -> None:
    def standardised(net: nn.Module, x: Tensor) -> Tensor:
        answer: Tensor = net((x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True))
        return answer

    model = loaded(standardised)
    assert model.info.gradients == "exact"
    assert any("single grey" in note for note in model.info.notes)


def test_the_users_module_stays_as_it_is() -> None:
    module = Around(NET, IN_PLACE["sub_ and div_"]).train()
    for number, parameter in enumerate(module.parameters()):
        parameter.requires_grad_(number % 2 == 0)
        parameter.grad = torch.ones_like(parameter) if number % 2 == 0 else None
    flags = [p.requires_grad for p in module.parameters()]
    model = TorchClassifier.from_module(module, SHAPE, seen())
    gradient(model)
    assert module.training
    assert [p.requires_grad for p in module.parameters()] == flags
    assert all((p.grad is None) == (not flag) for p, flag in zip(module.parameters(), flags, strict=True))
    assert all(bool((p.grad == 1).all()) for p in module.parameters() if p.grad is not None)
    for parameter in module.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None


def test_a_module_that_cannot_leave_training_mode_is_told_of_by_code() -> None:
    """A sentence that says it in other words has to reach the check all the same."""

    class Stuck(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = NET

        def train(self, mode: bool = True) -> Self:
            raise RuntimeError("always on")

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = self.inner(x)
            return answer

    model = TorchClassifier.from_module(Stuck(), SHAPE, seen())
    assert "always on" in model.info.traits["training-mode"]
    assert looked.training_mode(model.info.traits).outcome == "warn"
