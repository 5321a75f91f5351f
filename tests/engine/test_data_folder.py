"""Reading folders of images: a folder for each class."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch
from PIL import Image

from robusteval.contracts.classifier import ModelInfo
from robusteval.engine.data.find import prepare, read
from tests.engine.data_files import image, refused


class TestFolder:
    def test_colour_and_names_in_order(self, tmp_path: Path) -> None:
        image(tmp_path / "dog/1.png", value=9)
        image(tmp_path / "cat/2.bmp", value=8)
        image(tmp_path / "cat/1.png", value=7)
        (tmp_path / "cat/.hidden.png").write_bytes(b"no image")
        (tmp_path / "cat/readme.txt").write_text("no image")
        (tmp_path / ".cache").mkdir()
        raw = read(tmp_path)
        assert raw.images.shape == (3, 3, 5, 3)
        assert raw.images[:, 0, 0, 0].tolist() == [7, 8, 9]
        assert (raw.labels.tolist(), raw.class_names, raw.layout) == ([0, 0, 1], ("cat", "dog"), "NHWC")
        assert raw.names == ("cat/1.png", "cat/2.bmp", "dog/1.png")

    def test_each_sample_keeps_the_name_of_its_file(self, tmp_path: Path) -> None:
        for number in range(4):
            image(tmp_path / f"{number % 2}/{'n' * 210}{number}.png", value=number)
        samples, _ = prepare(read(tmp_path), ModelInfo("m", "test", "", (3, 3, 5), 2), samples=2, seed=1)
        for part in (samples, samples[samples.y == 1], samples[1:], samples[torch.tensor([1, 0])]):
            assert len(part.names) == len(part)
            for row, name in enumerate(part.names):
                assert len(name) == 200
                assert int(name[-5]) == round(255 * float(part.x[row, 0, 0, 0]))

    def test_grey(self, tmp_path: Path) -> None:
        image(tmp_path / "a/1.png", "L")
        raw = read(tmp_path)
        assert (raw.images.shape, raw.layout, raw.notes) == ((1, 3, 5), "", ())

    def test_grey_among_colour_is_noted(self, tmp_path: Path) -> None:
        image(tmp_path / "a/1.png", "L")
        image(tmp_path / "a/2.png")
        raw = read(tmp_path)
        assert raw.images.shape == (2, 3, 5, 3)
        assert raw.notes == ("images of kind L converted to RGB",)

    def test_numbered_folders_are_the_labels(self, tmp_path: Path) -> None:
        for name in ("10", "2", "0"):
            image(tmp_path / name / "1.png", value=int(name))
        raw = read(tmp_path)
        assert raw.class_names == ()
        assert raw.labels.tolist() == raw.images[:, 0, 0, 0].tolist()
        assert sorted(raw.labels.tolist()) == [0, 2, 10]

    def test_sizes_differ(self, tmp_path: Path) -> None:
        for name in "123":
            image(tmp_path / f"a/{name}.png")
        image(tmp_path / "a/4.png", size=(6, 3))
        refused(lambda: read(tmp_path), "5x3 (3 images), 6x3 (1 images)", "4.png is 6x3")

    @pytest.mark.parametrize(("mode", "word"), [("RGBA", "not opaque"), ("LA", "not opaque"), ("I;16", "8 bits")])
    def test_kinds_that_would_lose_something(self, tmp_path: Path, mode: str, word: str) -> None:
        image(tmp_path / "a/1.png", mode)
        refused(lambda: read(tmp_path), "1.png", word)

    @pytest.mark.parametrize(("mode", "shape"), [("RGBA", (1, 3, 5, 3)), ("LA", (1, 3, 5))])
    def test_an_alpha_channel_that_is_opaque_is_left_out(
        self, tmp_path: Path, mode: str, shape: tuple[int, ...]
    ) -> None:
        path = image(tmp_path / "a/1.png", mode)
        with Image.open(path) as picture:
            picture.putalpha(255)
            picture.save(path)
        raw = read(tmp_path)
        assert (raw.images.shape, raw.notes) == (
            shape,
            (f"images of kind {mode} converted to {'grey' if mode == 'LA' else 'RGB'}",),
        )

    def test_what_archives_of_a_mac_bring_along_is_no_class(self, tmp_path: Path) -> None:
        image(tmp_path / "a/1.png")
        (tmp_path / "__MACOSX" / "a").mkdir(parents=True)
        (tmp_path / "a" / "._1.png").write_bytes(b"no image")
        assert (read(tmp_path).class_names, len(read(tmp_path))) == (("a",), 1)

    @pytest.mark.parametrize("what", ["file", "folder"])
    def test_links_out_of_the_folder(self, tmp_path: Path, what: str) -> None:
        secret = image(tmp_path / "elsewhere/secret.png")
        home = tmp_path / "home"
        image(home / "a/1.png")
        link, target = (home / "a/2.png", secret) if what == "file" else (home / "b", secret.parent)
        link.symlink_to(target)
        refused(lambda: read(home), "link that leads outside home")

    def test_links_inside_the_folder(self, tmp_path: Path) -> None:
        image(tmp_path / "a/1.png")
        (tmp_path / "a/2.png").symlink_to(tmp_path / "a/1.png")
        assert len(read(tmp_path)) == 2

    @pytest.mark.parametrize("size", [(30000, 10000), (15000, 10000), (9000, 9000)])
    def test_bomb(self, tmp_path: Path, size: tuple[int, int]) -> None:
        path = image(tmp_path / "a/1.bmp")
        content = bytearray(path.read_bytes())
        content[18:26] = struct.pack("<ii", *size)
        path.write_bytes(content)
        refused(lambda: read(tmp_path), "1.bmp has more than 67108864 pixels")

    def test_too_much_altogether(self, tmp_path: Path) -> None:
        image(tmp_path / "a/1.png", size=(64, 64))
        refused(lambda: read(tmp_path, limit=2**12), "unpacks to")

    def test_other_kinds_of_files_are_never_opened(self, tmp_path: Path) -> None:
        image(tmp_path / "a/1.png")
        (tmp_path / "a/2.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 3\n")
        refused(lambda: read(tmp_path), "2.png cannot be read")

    def test_empty(self, tmp_path: Path) -> None:
        refused(lambda: read(tmp_path), "holds no class folders")
        (tmp_path / "cat").mkdir()
        refused(lambda: read(tmp_path), "class folder cat", "no images")


def test_links_that_go_round_are_no_images(tmp_path: Path) -> None:
    for label in ("a", "b"):
        image(tmp_path / "d" / label / "0.png")
        (tmp_path / "d" / label / "1.png").symlink_to("1.png")
    (tmp_path / "d" / "c").symlink_to("c")
    assert len(read(tmp_path / "d")) == 2
