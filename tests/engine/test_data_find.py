"""Where data are looked for, and that what is learnt from is never evaluated on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from robusteval.contracts.plugins import Dataset, DatasetInfo
from robusteval.engine.data.find import check_disjoint, find_data
from tests.engine.test_data import GREY, INFO, LABELS, ready, refused


class Toy:
    """A data set whose parts can be told apart by their length."""

    info: ClassVar[DatasetInfo] = DatasetInfo("toy", "Six images.", "none")

    def raw(self, split: str) -> tuple[object, object, tuple[str, ...]]:
        part = slice(0, 2) if split == "test" else slice(2, 6)
        return GREY[part], LABELS[part], ("a", "b", "c")


class TestFind:
    datasets: ClassVar[dict[str, Dataset]] = {"toy": Toy()}

    def find(
        self, folder: Path, data: Path | None = None, fit: Path | None = None, dataset: str = ""
    ) -> tuple[int, int | None]:
        found, learn = find_data(folder / "m.onnx", replace(INFO, dataset=dataset), data, fit, self.datasets)
        return len(found), None if learn is None else len(learn)

    def save(self, path: Path, test: int, fit: int = 0) -> Path:
        arrays: dict[str, Any] = {"x_test": GREY[:test], "y_test": LABELS[:test]}
        if fit:
            arrays |= {"x_train": GREY[-fit:], "y_train": LABELS[-fit:]}
        np.savez(path, **arrays)
        return path

    def test_order(self, tmp_path: Path) -> None:
        given = self.save(tmp_path / "given.npz", 3)
        assert self.find(tmp_path, dataset="toy") == (2, 4)
        self.save(tmp_path / "m.npz", 5, 1)
        assert self.find(tmp_path, dataset="toy") == (5, 1)
        assert self.find(tmp_path, given, dataset="toy") == (3, None)

    def test_data_to_learn_from(self, tmp_path: Path) -> None:
        both = self.save(tmp_path / "both.npz", 3, 2)
        assert self.find(tmp_path, both) == (3, 2)
        assert self.find(tmp_path, both, self.save(tmp_path / "m.npz", 1, 5)) == (3, 5)
        assert self.find(tmp_path, both, Path("toy")) == (3, 4)

    def test_an_installed_data_set_by_name(self, tmp_path: Path) -> None:
        assert self.find(tmp_path, Path("toy")) == (2, 4)

    def test_nothing(self, tmp_path: Path) -> None:
        for hint in ("--data", "m.npz", "installed: toy"):
            refused(lambda: self.find(tmp_path), "no labelled images", hint=hint)
        refused(lambda: self.find(tmp_path, dataset="other"), "'other'", "not installed")

    def test_a_module_in_memory(self) -> None:
        assert len(find_data(None, replace(INFO, dataset="toy"), None, None, self.datasets)[0]) == 2
        refused(lambda: find_data(None, INFO, None, None, {}), "no labelled images", hint="installed: none")


class TestDisjoint:
    def test_shared_images(self) -> None:
        samples = ready(GREY)
        refused(
            lambda: check_disjoint(samples[2:].hashes(), samples[:4].hashes()), "2 images are both", hint="--fit-data"
        )

    def test_none_shared(self) -> None:
        check_disjoint(ready(GREY)[:3].hashes(), ready(GREY)[3:].hashes())
