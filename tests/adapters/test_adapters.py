"""The field's attacks by adapter: posed and judged as ours, wherever their library is installed."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import random
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from robusteval.attacks.single import SingleAttack
from robusteval.testing import checks_for

FOLDER = Path(__file__).parents[2] / "adapters"
# folder: (module of the adapter, module of the library)
ADAPTERS = {
    "foolbox": ("robusteval_foolbox", "foolbox"),
    "torchattacks": ("robusteval_torchattacks", "torchattacks"),
    "adv_lib": ("robusteval_adv_lib", "adv_lib"),
    "art": ("robusteval_art", "art"),
    "pyautoattack": ("robusteval_pyautoattack", "pyautoattack"),
}
CLASSES = 6
SHORT = {"adv-lib.alma": 200, "adv-lib.pdpgd": 100, "art.ead": 10, "art.carlini-wagner": 10, "torchattacks.cw": 400}
# which of the kit's promises the libraries' own attacks break, and why
BROKEN = {
    "foolbox.pgd": {},
    "adv-lib.ddn": {"finds small perturbations": "its first steps are too long for a distance so small"},
}


def adapter(folder: str) -> Any:
    module, library = ADAPTERS[folder]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed (benchmarks/requirements.txt)")
    sys.path.insert(0, str(FOLDER / folder))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    finally:
        sys.path.remove(str(FOLDER / folder))


def linear() -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """A linear model of images [1, 8, 8], samples, their labels, and their distances in l2: [B]."""
    rng = Generator().manual_seed(0)
    layer = nn.Linear(64, CLASSES)
    with torch.no_grad():
        layer.weight.copy_(torch.randn((CLASSES, 64), generator=rng))
        layer.bias.copy_(-0.5 * layer.weight.sum(1))
    x = 0.5 + 0.4 * (torch.rand((6, 1, 8, 8), generator=rng) - 0.5)
    model = nn.Sequential(nn.Flatten(), layer).eval()
    with torch.no_grad():
        scores = model(x)
    y = scores.argmax(1)
    gaps = scores.gather(1, y[:, None]) - scores
    slopes = (layer.weight[y][:, None] - layer.weight[None]).norm(dim=2)
    distances = (gaps / slopes.clamp_min(1e-9)).scatter(1, y[:, None], torch.inf).amin(1)
    return model, x, y, distances.detach()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Libraries warn of what is theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("folder", ADAPTERS)
def test_its_attacks_are_posed_and_judged_as_ours(folder: str) -> None:
    module, (model, x, y, smallest) = adapter(folder), linear()
    states = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002 - it is looked at
    for kind in module.robusteval_attacks():
        name = kind.info.name
        made = kind(steps=SHORT.get(name, 40)) if "steps" in kind.__dataclass_fields__ else kind()
        assert pickle.loads(pickle.dumps(made)) == made
        norm = "l2" if "l2" in kind.info.norms else kind.info.norms[0]
        eps = 2 * float(smallest.median()) if kind.info.budget == "fixed" and norm == "l2" else None
        found = SingleAttack(made)(model, x, y, norm=norm, eps=eps if eps or kind.info.budget == "minimal" else 0.1)
        assert float(found.success.float().mean()) >= 0.5, (name, found)
        assert int(found.forwards.sum()) > 0
        won = found.success
        assert bool((model(found.x).argmax(1) != y)[won].all())
        if norm == "l2":
            assert bool((found.distance >= smallest.double() * (1 - 1e-4)).all()), name
            assert eps is None or bool((found.distance[won] <= eps * (1 + 1e-5)).all()), name
    assert torch.equal(torch.get_rng_state(), states[0])
    assert str(np.random.get_state(legacy=False)) == str(states[1])  # noqa: NPY002 - the same
    assert random.getstate() == states[2]


@pytest.mark.parametrize(("folder", "name"), [("foolbox", "foolbox.pgd"), ("adv_lib", "adv-lib.ddn")])
def test_it_keeps_the_promises_that_its_library_keeps(folder: str, name: str) -> None:
    kind = next(kind for kind in adapter(folder).robusteval_attacks() if kind.info.name == name)
    outcomes = [check.outcome() for check in checks_for(kind(steps=20))]
    assert {row.check for row in outcomes if row.status == "failed"} <= set(BROKEN[name])
    assert sum(row.status == "passed" for row in outcomes) > 25


def test_none_needs_torchvision() -> None:
    for folder in ADAPTERS:
        if importlib.util.find_spec(ADAPTERS[folder][1]) is not None:
            adapter(folder)
            assert importlib.util.find_spec("torchvision") is not None or "torchvision" not in sys.modules


class Colours:
    """A MAITE model: the brightest channel is the class, as probabilities."""

    metadata = {"id": "colours", "index2label": {0: "red", 1: "green", 2: "blue"}}  # noqa: RUF012 - as the protocol has it

    def __call__(self, images: Any) -> list[Any]:
        scores = np.stack([10 * np.asarray(image).mean((1, 2)) for image in images])
        shares = np.exp(scores - scores.max(1, keepdims=True))
        return list(shares / shares.sum(1, keepdims=True))


class Squares:
    """A MAITE data set of one-coloured images."""

    metadata = {"id": "squares"}  # noqa: RUF012 - as the protocol has it

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> tuple[Any, Any, dict[str, int]]:
        image = np.full((3, 4, 4), 0.4, np.float32)
        image[index % 3] += 0.05
        return image, np.eye(3)[index % 3], {"id": index}


@pytest.fixture
def maite() -> Any:
    sys.path.insert(0, str(FOLDER / "maite"))
    try:
        return importlib.import_module("robusteval_maite")
    finally:
        sys.path.remove(str(FOLDER / "maite"))


def test_a_maite_model_on_a_maite_data_set_is_evaluated(maite: Any) -> None:
    import robusteval

    model = maite.model_from_maite(Colours(), (3, 4, 4), output="probabilities")
    x, y = maite.samples_from_maite(Squares())
    record = robusteval.evaluate(model, (x, y), attacks="square:queries=50", norms="linf", eps=0.2)
    assert (record.model.name, record.model.class_names) == ("colours", ["red", "green", "blue"])
    (cell,) = record.done()
    assert all(value is not None and 0.02 < value <= 0.2 for value in cell.distance)


def test_an_attack_is_an_augmentation_and_accuracy_a_metric(maite: Any) -> None:
    from robusteval import attacks

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3)) * 10

    augmentation = maite.Attacked(attacks.PGD(steps=5), Net().eval(), norm="linf", eps=0.04)
    metric, batch = (
        maite.Accuracy(),
        [list(part) for part in zip(*(Squares()[index] for index in range(9)), strict=True)],
    )
    assert metric.compute() == {"samples": 0}
    metric.update(Colours()(batch[0]), batch[1], batch[2])
    clean = metric.compute()
    assert (clean["accuracy"], clean["samples"]) == (1.0, 9)
    assert clean["low"] < 1 == clean["high"]
    metric.reset()
    inputs, targets, metadata = augmentation(tuple(batch))
    assert max(float(np.abs(now - then).max()) for now, then in zip(inputs, batch[0], strict=True)) <= 0.04 + 1e-6
    metric.update(Colours()(inputs), targets, metadata)
    assert metric.compute()["accuracy"] == 0.0
    if importlib.util.find_spec("maite") is not None:
        protocols = importlib.import_module("maite.protocols.image_classification")

        for kind, made in (
            ("Augmentation", augmentation),
            ("Metric", metric),
            ("Model", Colours()),
            ("Dataset", Squares()),
        ):
            names = set(vars(getattr(protocols, kind).__mro__[1])) & {
                "__call__",
                "update",
                "compute",
                "reset",
                "__len__",
            }
            assert names, kind
            assert all(hasattr(made, name) for name in (*names, "metadata")), kind
