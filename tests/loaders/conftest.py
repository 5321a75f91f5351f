"""What the loader tests share: one thread, the zoo's exports made once, and files from outside where there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.data import FOLDER
from tests.loaders import exports, zoo


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The path of a member of the zoo, exported at opset 17 with a free batch axis."""
    folder = tmp_path_factory.mktemp("zoo")

    def get(name: str) -> Path:
        path = folder / f"{name}.onnx"
        return path if path.exists() else exports.export(zoo.make(name), path)

    return get


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with third-party models, outside the repository."""
    return FOLDER
