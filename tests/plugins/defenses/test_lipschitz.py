"""The Lipschitz defence: bounds of layers and networks against what they really do, and certificates against
attacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from robusteval_attacks.ddn import DDN
from robusteval_defenses._common.lipschitz_bound import LipschitzBound
from robusteval_defenses._common.operator_norm import conv_norm, matrix_norm
from robusteval_defenses.lipschitz import Lipschitz
from torch import nn
from torch.nn import functional as F

from robusteval.api import LoadOptions, RobustEvalError
from robusteval.loaders.onnx.plugin import OnnxLoader
from robusteval.testing import pose, safe_labels
from tests.plugins.conftest import Trained
from tests.plugins.defenses.learning import seeded, some
from tests.sure import sure

EXAMPLES = Path(__file__).parents[3] / "examples"


def dense(layer: nn.Module, shape: tuple[int, ...]) -> float:
    """The spectral norm of a linear layer without bias, from its matrix."""
    size = int(np.prod(shape))
    with torch.no_grad():
        columns = layer(torch.eye(size, dtype=torch.float64).reshape(size, *shape)).flatten(1)
    return float(torch.linalg.matrix_norm(columns, ord=2))


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups"),
    [
        (3, 1, 1, 1, 1),
        (3, 2, 1, 1, 1),
        (5, 3, 0, 1, 2),
        (4, 2, 1, 1, 1),
        (3, 1, 2, 2, 1),
        (1, 2, 0, 1, 1),
        (3, 2, 2, 2, 2),
    ],
)
def test_the_bound_of_a_convolution_is_sound_and_near(
    kernel: int, stride: int, padding: int, dilation: int, groups: int
) -> None:
    torch_rng = seeded(kernel + 10 * stride)
    layer = nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups, bias=False).double()
    layer.weight.data = torch.randn(layer.weight.shape, generator=torch_rng, dtype=torch.float64)
    true = dense(layer, (4, 9, 8))
    found = float(conv_norm(layer.weight.detach(), (9, 8), [stride] * 2, [dilation] * 2, groups))
    assert true <= found * (1 + 1e-9)
    assert found <= 1.3 * true


def test_the_norm_of_a_matrix_has_the_right_gradient() -> None:
    weight = torch.randn((4, 6), generator=seeded(), dtype=torch.float64, requires_grad=True)
    assert torch.isclose(matrix_norm(weight), torch.linalg.matrix_norm(weight, ord=2))
    assert torch.autograd.gradcheck(matrix_norm, (weight,))


class Branches(nn.Module):
    """Everything that has a rule: a branch, pooling of both kinds, normalisation, scaling."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.side = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(2, 4, 1)
        self.norm, self.last = nn.BatchNorm2d(4), nn.Linear(4 * 9 + 4, 3)
        sure(self.norm.running_var).fill_(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - 0.3) / 0.5
        x = self.norm(F.relu(self.first(x)) + 0.7 * torch.tanh(self.side(x)))
        pooled = F.avg_pool2d(F.max_pool2d(x, 3, 2, 1), 2, 1)
        return F.log_softmax(self.last(torch.cat([pooled.flatten(1), x.mean((2, 3))], 1)), 1)


@pytest.mark.statistical
@pytest.mark.parametrize("seed", range(3))
def test_the_bound_is_never_below_what_scores_really_move(seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Branches().double().eval().requires_grad_(False)
    bound = float(LipschitzBound(net, (2, 7, 7), "lipschitz").now(exact=True))
    x = torch.rand((40, 2, 7, 7), generator=seeded(seed), dtype=torch.float64)
    steepest = 0.0
    for image in x:
        jacobian = torch.func.jacrev(lambda v: net(v[None])[0])(image).flatten(1)
        for a in range(3):
            for b in range(a):
                steepest = max(steepest, float((jacobian[a] - jacobian[b]).norm()) / 2**0.5)
    assert 0 < steepest <= bound
    assert bound < 100 * steepest, "A bound as loose as that would certify nothing."


def test_layers_without_a_known_bound_are_named(fashion: Trained) -> None:
    vit = OnnxLoader().load(EXAMPLES / "fashion-vit.onnx", LoadOptions())
    with pytest.raises(RobustEvalError, match="no bound is known for"):
        Lipschitz(epochs=1).fit(vit, some(fashion, 40), seeded())


@pytest.mark.statistical
def test_no_attack_gets_inside_a_lipschitz_certificate(fashion: Trained) -> None:
    data, test = some(fashion, 1200), some(fashion, 100, 1500)
    defended = Lipschitz(epochs=6, radius=0.3, rate=3e-3).fit(fashion.model, data, seeded())
    radius = sure(defended.certify)(test.x)
    held = defended.model.logits(test.x).argmax(1) == test.y
    assert float(((radius > 0.05) & held).float().mean()) > 0.3
    problem = pose(defended.model, test.x, safe_labels(test.y, 10), "l2")
    found = DDN(steps=60).run(problem)
    won = problem.won(found) & held
    assert won.sum() > 30
    assert bool((problem.distance(found)[won] > radius[won]).all())
    bare = Lipschitz(epochs=0).fit(fashion.model, data, seeded())
    assert torch.equal(bare.model.logits(test.x).argmax(1), fashion.model.logits(test.x).argmax(1))
    assert sure(bare.certify)(test.x).median() < 0.2 * radius.median()
