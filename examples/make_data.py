"""Makes `robusteval/data/fashion_mnist.npz`: a class-balanced part of Fashion-MNIST, the same bytes every time.

    python examples/make_data.py [--source /usr/share/datasets/fashion-mnist] [--out FILE]

100 test images and 500 training images of each class are drawn by a seeded generator and kept in the order of the data
set; `index_test` and `index_train` say which ones they are.
"""

import argparse
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from idx import CLASS_NAMES, DEFAULT_FOLDER, DatasetMissing, load_split
from numpy.typing import NDArray

SEED = 20170825
TEST_PER_CLASS = 100
TRAIN_PER_CLASS = 500
BUNDLED = Path(__file__).resolve().parents[1] / "robusteval" / "data" / "fashion_mnist.npz"

_EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip entry must bear a date; a fixed one keeps the bytes the same


def balanced_indices(labels: NDArray[np.uint8], per_class: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Ascending indices into `labels` [N] of `per_class` entries of each class, drawn without replacement."""
    drawn = [rng.choice(np.flatnonzero(labels == k), per_class, replace=False) for k in range(len(CLASS_NAMES))]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def bundle(source: Path) -> dict[str, np.ndarray]:
    """The arrays of the bundled file: images uint8 [N, 28, 28], labels uint8 [N], indices int64 [N], names [10]."""
    rng = np.random.default_rng(SEED)
    arrays: dict[str, np.ndarray] = {}
    for name, split, per_class in (("test", "t10k", TEST_PER_CLASS), ("train", "train", TRAIN_PER_CLASS)):
        images, labels = load_split(source, split)
        index = balanced_indices(labels, per_class, rng)
        arrays |= {f"x_{name}": images[index], f"y_{name}": labels[index], f"index_{name}": index}
    arrays["class_names"] = np.array(CLASS_NAMES)
    return arrays


def save_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes `arrays` as a compressed .npz without dates: equal arrays give equal bytes, unlike with numpy."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            stream = BytesIO()
            np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, stream.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the bundled part of Fashion-MNIST.")
    parser.add_argument("--source", type=Path, default=DEFAULT_FOLDER, help="folder of the four .gz files")
    parser.add_argument("--out", type=Path, default=BUNDLED, help="the .npz to write")
    options = parser.parse_args()
    try:
        arrays = bundle(options.source)
    except DatasetMissing as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    save_npz(options.out, arrays)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
