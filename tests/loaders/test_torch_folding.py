"""Batch norms of a torch module folded for the twin's passes: only where a trace answers as the module does."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robusteval.contracts.training import trainable
from robusteval.loaders.pytorch.classifier import TorchClassifier
from robusteval.loaders.pytorch.folding import folded


def used(module: Any) -> Any:
    """With statistics and scales of its own in every batch norm, in evaluation mode."""
    rng = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
            for value in (part.running_mean, part.running_var, *part.parameters()):
                assert value is not None
                value.data = torch.rand(value.shape, generator=rng) + 0.5
    return module.eval()


class Net(nn.Module):
    """A convolution, a batch norm and a readout, put together by a function of (net, x)."""

    def __init__(self, how: Callable[[Net, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Linear(6, 4)
        self.again = nn.BatchNorm2d(6)
        self.drop, self.how = nn.Dropout(0.5), how

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self, x)

    def read(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(torch.relu(x).mean((2, 3)))
        return scores


def plain(net: Net, x: Tensor) -> Tensor:
    return net.read(net.norm(net.drop(net.conv(x))))


def twice(net: Net, x: Tensor) -> Tensor:
    return net.read(net.norm(net.conv(x)) + net.again(net.conv(1 - x)))


def shared(net: Net, x: Tensor) -> Tensor:
    made = net.conv(x)
    return net.read(net.norm(made) + made)


def by_numbers(net: Net, x: Tensor) -> Tensor:
    return net.read(net.norm(net.conv(x)) * (2 if float(x.mean()) > 0.4 else 1))


def by_batch(net: Net, x: Tensor) -> Tensor:
    return net.read(net.norm(net.conv(x)) * (x.shape[0] > 0))


def by_mode(net: Net, x: Tensor) -> Tensor:
    scale = 1.0 if torch.is_grad_enabled() else 1.5  # a trace sees one of the two
    return net.read(net.norm(net.conv(x)) * scale)


def raises(net: Net, x: Tensor) -> Tensor:
    if isinstance(x, torch.fx.Proxy):
        raise SystemExit("not me")
    return net.read(net.norm(net.conv(x)))


def net(how: Callable[[Net, Tensor], Tensor] = plain) -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made: Net = used(Net(how))
        return made


def norms(module: nn.Module | None) -> int:
    return -1 if module is None else sum(isinstance(entry, nn.BatchNorm2d) for entry in module.modules())


@pytest.mark.parametrize(("how", "left"), [(plain, 0), (twice, 0), (shared, -1), (by_numbers, -1), (raises, -1)])
def test_what_can_be_traced_is_folded_and_answers_alike(how: Callable[[Net, Tensor], Tensor], left: int) -> None:
    module = net(how)
    made = folded(module)
    assert norms(made) == left
    assert norms(module) == 2
    if made is None:
        return
    x = torch.rand(5, 3, 8, 8, requires_grad=True)
    assert torch.allclose(made(x), module(x), atol=1e-5)
    grads = [torch.autograd.grad(item(x).square().sum(), x)[0] for item in (made, module)]
    assert torch.allclose(grads[0], grads[1], atol=1e-5)
    assert not any(parameter.requires_grad for parameter in made.parameters())
    assert not any(isinstance(entry, nn.Dropout) for entry in made.modules())


@pytest.mark.parametrize("how", [shared, by_numbers, by_mode, raises])
def test_a_classifier_of_another_kind_is_asked_as_it_is(how: Callable[[Net, Tensor], Tensor]) -> None:
    classifier = TorchClassifier.from_module(net(how), (3, 8, 8))
    assert (folded(classifier.module) is not None) == (how is by_mode)
    assert not classifier.folds
    if how is by_mode:
        return
    for x in (torch.full((2, 3, 8, 8), 0.2), torch.full((2, 3, 8, 8), 0.7)):
        assert torch.equal(classifier.twin(x), classifier.logits(x))


@pytest.mark.parametrize("how", [plain, twice, by_batch])
def test_a_classifier_is_folded_for_passes_and_stays_the_truth(how: Callable[[Net, Tensor], Tensor]) -> None:
    module = net(how)
    classifier = TorchClassifier.from_module(module, (3, 8, 8))
    x = torch.rand(4, 3, 8, 8)
    assert classifier.folds
    assert norms(classifier.module) == 2
    assert torch.equal(classifier.logits(x), module(x).detach())
    assert torch.allclose(classifier.twin(x), module(x), atol=1e-5)


def test_a_copy_in_another_process_is_folded_again() -> None:
    classifier = TorchClassifier.from_module(used(layers()), (3, 8, 8))
    assert classifier.folds
    x = torch.rand(4, 3, 8, 8)
    other = pickle.loads(pickle.dumps(classifier))
    assert other._faster is None
    assert torch.equal(other.twin(x), classifier.twin(x))
    assert norms(other._faster) == 0


def test_a_copy_that_may_be_trained_is_asked_as_it_is() -> None:
    classifier = TorchClassifier.from_module(used(layers()), (3, 8, 8))
    other = copy.deepcopy(classifier)
    assert (classifier.folds, other.folds, other.faster) == (True, False, None)
    x = torch.rand(4, 3, 8, 8)
    assert torch.equal(other.twin(x), classifier.logits(x))
    learner = trainable(classifier)
    learner(x).sum().backward()
    assert all(parameter.grad is not None for parameter in learner.parameters())
    with torch.no_grad():
        for parameter in other.module.parameters():
            parameter.zero_()
    assert not bool(other.twin(x).any())
    assert torch.allclose(classifier.twin(x), classifier.logits(x), atol=1e-5)


def layers(*more: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        conv = [nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*conv, nn.Linear(6, 5), *more)


def test_a_norm_after_a_linear_layer_is_folded_unless_it_counts_places() -> None:
    made = folded(used(layers(nn.BatchNorm1d(5))))
    assert made is not None
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in made.modules())

    class Places(nn.Module):
        """The norm's channels are the second of three axes, as many as the last has values."""

        def __init__(self) -> None:
            super().__init__()
            self.line, self.norm = nn.Linear(8, 3), nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = self.norm(self.line(x.mean(2))).sum(1)
            return made

    classifier = TorchClassifier.from_module(used(Places()), (3, 8, 8))
    assert not classifier.folds


@pytest.mark.parametrize("place", ["", "0", "1", "2"])
def test_hooks_are_never_lost(place: str) -> None:
    module = used(layers())
    module.get_submodule(place).register_forward_hook(lambda *given: given[-1] * 2)
    made = folded(module)
    if place != "2":
        assert made is None
        return
    assert made is not None
    x = torch.rand(2, 3, 8, 8)
    assert torch.allclose(made(x), module(x), atol=1e-5)


def test_norms_without_statistics_or_in_training_are_left() -> None:
    module = layers()
    module[1] = nn.BatchNorm2d(6, track_running_stats=False)
    assert folded(module.eval()) is None
    module[1] = nn.BatchNorm2d(6)
    module.eval()[1].train()
    assert folded(module) is None
