"""The files beside the repository that some tests read: which they are, where they come from, and which are there.

`make test-data` makes what can be made without a download, and says of the rest where it is to be had (`make.py`).
"""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("ROBUSTEVAL_TEST_DATA") or ROOT / ".test-data")

_MNIST = "MNIST (LeCun, Cortes, Burges): the arrays x_train, y_train, x_test, y_test in one npz, as Keras publishes it"
_TRAINED = "trained by this project on MNIST; only its own copy has the figures that the test names"
_VNNCOMP = "the benchmark verivital of the Verification of Neural Networks Competition 2021 (stanleybak/vnncomp2021)"
_CIFAR = (
    "1,380 test images of CIFAR-10 (Krizhevsky 2009): x uint8 [N, 32, 32, 3], y, and index, the place in the test set"
)


@dataclass(frozen=True)
class File:
    """sha256: of the file, of an npz of what its arrays hold (`digest`); source: which public file it is; made: whether
    `make test-data` makes one that stands in for it."""

    sha256: str
    source: str
    made: bool = False


FILES = {
    "mnist/mnist.npz": File("a150a35d76f0f1373b72d10c4e1c96ac2e8732221a994d34581a5b6226650f1d", _MNIST, made=True),
    "mnist/test1000.npz": File(
        "636d7eac951c99be3d9167327c4699dc0bc5c3db03498aa5e7203a4f8a6af990",
        "1,000 of MNIST's test images; `make test-data` takes them from mnist/mnist.npz",
        made=True,
    ),
    "models/models.py": File(
        "8613598a57c4486abc0e5e5bdfa3b4292bab9b560bd23cc490081cb10226e023",
        "the architectures of the next three",
        made=True,
    ),
    "models/lenet.onnx": File("54186dfcf9c3e1669a521b726133ed2154221a9654f156851dd8c8edc5b79745", _TRAINED, made=True),
    "models/lenet.pt": File("0c5eeeac0038078355bbd5846b78aaff5f68defd669bd98b8b7cc4c3fb12019c", _TRAINED, made=True),
    "models/fc.onnx": File("c80d818f162b53b87ac8831b4d69f09c103f76f7681f93c0b323979dc5ce18ac", _TRAINED, made=True),
    "models/fc.pt": File("3e30f10b9540fb66e8be3084fb1bd570c66dfc920b62b61fb6ec0419f17421b8", _TRAINED, made=True),
    "models/conv4.onnx": File("ee56d2bcfea3ac758d3c7fb303b37d44e30635bc76fa932859a107384a315436", _TRAINED, made=True),
    "models/conv4.pt": File("ef39a5d78f3ee8b26317abb3eba587e1dbf58ff5c5eef16207245b2587004a06", _TRAINED, made=True),
    "models/mnist-8.onnx": File(
        "2f06e72de813a8635c9bc0397ac447a601bdbfa7df4bebc278723b958831c9bf",
        "the ONNX model zoo's mnist-8 (onnx/models, validated/vision/classification/mnist)",
        made=True,
    ),
    "models/resnet20-cifar10.onnx": File(
        "e5f4418209387958dd839010cc65d4336b07f43454695dd146836d2b2e47f643",
        "a ResNet-20 on CIFAR-10 with its normalisation inside; only this project's copy has the figures that "
        "the tests name",
    ),
    "cifar10_1380.npz": File("c07ba6da173ef0d6864222a024240f0ec1d239f6ab9a2acce5598e5e854a28b7", _CIFAR),
    "vnncomp/verivital.json": File("fb25f23e48e7e9648f281898b9ccc8778baf6be04a050d596ebea5caed4947d7", _VNNCOMP),
    "vnncomp/verivital/Convnet_avgpool.onnx": File(
        "713466baf4fc60c8f99f978acd2e745d202c6d2d233e4ae18cb5cb40b6c98b04", _VNNCOMP
    ),
    "vnncomp/verivital/Convnet_maxpool.onnx": File(
        "6d5a0720e2eedb286a07ed9bb94c96fb33bd149d0424b253ebff78ec654b38dc", _VNNCOMP
    ),
}


def digest(path: Path) -> str:
    """SHA-256 of the file; of an npz of its arrays' names, shapes and values, however they were packed and typed."""
    if path.suffix != ".npz":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    content = hashlib.sha256()
    with np.load(path) as arrays:
        for name in sorted(arrays.files):
            value = arrays[name]
            whole = value.dtype.kind != "f"
            small = whole and (not value.size or (value.min() >= 0 and value.max() <= 255))
            kind = np.uint8 if small else np.int64 if whole else np.float32
            content.update(
                f"{name} {value.shape}".encode() + np.ascontiguousarray(value.astype(kind, copy=False)).tobytes()
            )
    return content.hexdigest()


@functools.cache
def state(name: str, folder: Path = FOLDER) -> str:
    """ "original", "stand-in" or "missing"."""
    path = folder / name
    if not path.is_file():
        return "missing"
    return "original" if digest(path) == FILES[name].sha256 else "stand-in"


def missing(*names: str, original: bool = True) -> str:
    """Why a test that reads these cannot run, and what to do; "" where it can. original: a stand-in will not do."""
    for name in names:
        found, file = state(name), FILES[name]
        if found == "missing" and not original and file.made:
            return f"{name} is not there: `make test-data` makes one"
        if found == "missing" or (original and found == "stand-in"):
            return f"{name} has to be the original ({file.source}): `make test-data` says which"
    return ""


def needs(*names: str, original: bool = True) -> pytest.MarkDecorator:
    """A test that reads these files skips without them."""
    why = missing(*names, original=original)
    return pytest.mark.skipif(bool(why), reason=why)
