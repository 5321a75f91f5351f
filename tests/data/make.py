"""`make test-data`: makes what tests read beside the repository, without a download, and says where the rest is.

    python -m tests.data.make                  into .test-data, or where ROBUSTEVAL_TEST_DATA says
    python -m tests.data.make --check          only says what is there: original, stand-in or missing; 1 where one is
                                               missing

Digits stand in for MNIST: scikit-learn's 8 x 8 ones (UCI, inside the package), enlarged and moved about. The three nets
are trained on them, or on MNIST itself where it lies in the folder. A file that is there is never written over.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from tests.data import FILES, FOLDER, state

SEED = 0
NETS = {"lenet": "LeNet", "fc": "FC", "conv4": "Conv4"}
_TRAIN, _TEST, _HELD_OUT = (
    6000,
    1000,
    500,
)  # images made, and of how many of the 1,797 originals the test images are made

MODELS = '''"""The architectures of the nets in this folder: N x 1 x 28 x 28 in [0, 1] -> ten logits."""
from torch import nn


class LeNet(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
        )


class FC(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Flatten(), nn.Linear(784, 500), nn.ReLU(), nn.Linear(500, 150), nn.ReLU(), nn.Linear(150, 10)
        )


class Conv4(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 10),
        )
'''


def digits(
    images: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """So many images [count, 28, 28] uint8 of 8 x 8 originals in 0..16: 20 x 20 in the middle, moved by up to two
    pixels."""
    rows = rng.integers(0, len(images), count)
    small = torch.from_numpy(images[rows].astype(np.float32))[:, None] / 16
    large = nn.functional.interpolate(small, size=20, mode="bilinear", align_corners=False)
    x = torch.zeros(count, 28, 28)
    for index, (down, right) in enumerate(rng.integers(2, 7, (count, 2))):
        x[index, down : down + 20, right : right + 20] = large[index, 0]
    return (x * 255).round().numpy().astype(np.uint8), labels[rows].astype(np.int64)


def make_images(path: Path) -> None:
    """Stand-ins for MNIST: no test image comes from an original that a training image comes from."""
    data, rng = load_digits(), np.random.default_rng(SEED)
    order = rng.permutation(len(data.images))
    held, rest = order[:_HELD_OUT], order[_HELD_OUT:]
    x_train, y_train = digits(data.images[rest], data.target[rest], _TRAIN, rng)
    x_test, y_test = digits(data.images[held], data.target[held], _TEST, rng)
    np.savez_compressed(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def make_test_images(path: Path) -> None:
    """1,000 of the test images, float32 [1000, 1, 28, 28] in [0, 1]."""
    with np.load(path.with_name("mnist.npz")) as data:
        x, y = data["x_test"], data["y_test"]
    rows = np.random.default_rng(SEED).permutation(len(x))[:1000]
    x = x[rows, None].astype(np.float32) / 255
    np.savez_compressed(path, x=x, y=y[rows].astype(np.int64), index=rows.astype(np.int64))


def train(net: nn.Module, x: Tensor, y: Tensor, steps: int = 600) -> nn.Module:
    """The net after so many steps of Adam on batches of 64."""
    rng, optimizer = torch.Generator().manual_seed(SEED), torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(steps):
        rows = torch.randint(len(x), (64,), generator=rng)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step()
    return net.eval()


def export(net: nn.Module, path: Path, opset: int, batch: int | None) -> None:
    """An ONNX file; a free batch axis unless batch is given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that writes old opsets announces its successor
        torch.onnx.export(
            net,
            (torch.rand(batch or 2, 1, 28, 28),),
            str(path),
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=None if batch else {"x": {0: "n"}, "y": {0: "n"}},
            opset_version=opset,
        )


def architectures(path: Path) -> ModuleType:
    """models/models.py as a module."""
    spec = importlib.util.spec_from_file_location("test_data_models", path)
    if spec is None or spec.loader is None:
        raise OSError(f"{path} cannot be read.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_nets(folder: Path) -> None:
    """Each net whose weights or file is missing, trained on what lies in mnist.npz; and an old file of another one."""
    with np.load(folder / "mnist" / "mnist.npz") as data:
        x, y = data["x_train"][:20000], data["y_train"][:20000]
    images, labels = torch.from_numpy(x.astype(np.float32))[:, None] / 255, torch.from_numpy(y.astype(np.int64))
    models = folder / "models"
    module = architectures(models / "models.py")
    for name, architecture in NETS.items():
        weights, file = models / f"{name}.pt", models / f"{name}.onnx"
        if weights.exists() and file.exists():
            continue
        torch.manual_seed(SEED)  # of the first weights; this is a process of its own
        net = getattr(module, architecture)()
        if weights.exists():
            net.load_state_dict(torch.load(weights, weights_only=True))
        else:
            torch.save(train(net, images, labels).state_dict(), weights)
        if not file.exists():
            export(net.eval(), file, 17, None)
    old = models / "mnist-8.onnx"
    if not old.exists():
        torch.manual_seed(SEED + 1)
        small = nn.Sequential(
            nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 5, padding=2), nn.ReLU(),
            nn.MaxPool2d(3), nn.Flatten(), nn.Linear(256, 10),
        )  # fmt: skip
        export(train(small, images, labels), old, 9, 1)


def make(folder: Path) -> None:
    """Whatever is missing and can be made. Raises OSError where the folder cannot be written."""
    for name in ("mnist", "models"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if not (folder / "mnist" / "mnist.npz").exists():
        make_images(folder / "mnist" / "mnist.npz")
    if not (folder / "mnist" / "test1000.npz").exists():
        make_test_images(folder / "mnist" / "test1000.npz")
    if not (folder / "models" / "models.py").exists():
        (folder / "models" / "models.py").write_text(MODELS, encoding="utf-8")
    make_nets(folder)


def report(folder: Path) -> bool:
    """Prints a line a file, and of those that are no originals where they come from. Whether all are there."""
    states = {name: state(name, folder) for name in FILES}
    lines = [f"{folder}:", *(f"  {found:9} {name}" for name, found in states.items())]
    other = [name for name, found in states.items() if found != "original"]
    if other:
        lines += [
            "",
            (
                "Tests of figures that were published need the originals, and skip with that reason where a file "
                "stands in or is missing."
            ),
            "Nothing is downloaded. To run them, put these there:",
        ]
    for name in other:
        of_arrays = " (of its arrays)" if name.endswith("npz") else ""
        lines += [f"  {name}: {FILES[name].source}.", f"    SHA-256 {FILES[name].sha256}{of_arrays}"]
    print("\n".join(lines))  # noqa: T201 - what `make test-data` says
    return "missing" not in states.values()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.data.make", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="make nothing; 1 where a file is missing")
    options = parser.parse_args(arguments)
    if not options.check:
        make(FOLDER)
    whole = report(FOLDER)
    return int(options.check and not whole)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
