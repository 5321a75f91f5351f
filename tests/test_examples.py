"""The committed example models and the bundled data are what `examples/models.json` and the README say they are."""

import gzip
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from robusteval_attacks.apgd import APGD
from robusteval_attacks.pgd import PGD
from robusteval_certifiers.crown import Crown
from robusteval_certifiers.ibp import Ibp

from robusteval.api import Statement, graph_of, load_model, proved
from robusteval.testing import pose, safe_labels

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
DATA = ROOT / "robusteval" / "data"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
MODELS = json.loads((EXAMPLES / "models.json").read_text())["models"]
Script = Callable[[str], ModuleType]
NAMES = ("certified", "cnn", "int8", "robust", "vit")

needs_debian = pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")


@pytest.fixture(scope="module")
def bundled() -> dict[str, np.ndarray]:
    with np.load(DATA / "fashion_mnist.npz", allow_pickle=False) as archive:
        return dict(archive)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """Imports a module of `examples/`, which is a folder of scripts and no package, and forgets it afterwards."""
    monkeypatch.syspath_prepend(EXAMPLES)
    yield importlib.import_module
    for name in [path.stem for path in EXAMPLES.glob("*.py")]:
        sys.modules.pop(name, None)  # their short names are free for anybody else


def logits(path: Path, images: NDArray[np.uint8], batch: int = 250) -> NDArray[np.float32]:
    """What ONNX Runtime answers to images [N, 28, 28] in 0..255."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = images[:, None].astype(np.float32) / 255
    return np.concatenate([session.run(None, {"x": part})[0] for part in np.split(x, range(batch, len(x), batch))])


def test_every_example_has_its_figures() -> None:
    assert tuple(sorted(MODELS)) == NAMES
    assert {row["file"] for row in MODELS.values()} == {path.name for path in EXAMPLES.glob("*.onnx")}


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_is_as_stated(name: str, bundled: dict[str, np.ndarray]) -> None:
    row = MODELS[name]
    answers = logits(EXAMPLES / row["file"], bundled["x_test"])
    assert answers.shape == (1000, 10)
    measured = np.mean(answers.argmax(axis=1) == bundled["y_test"])
    # Another processor may round a near tie the other way: two images of leeway.
    assert measured == pytest.approx(row["accuracy_bundled_1000"], abs=0.0021)


@pytest.mark.parametrize(
    ("name", "least"), [("cnn", 0.903), ("int8", 0.90), ("robust", 0.70), ("certified", 0.70), ("vit", 0.86)]
)
def test_models_are_worth_attacking(name: str, least: float) -> None:
    assert MODELS[name]["accuracy_test_10000"] >= least


def test_adversarial_training_made_a_difference() -> None:
    assert MODELS["cnn"]["robust_accuracy_test_10000"] < 0.2
    assert MODELS["robust"]["robust_accuracy_test_10000"] > 0.55


def test_certified_training_made_a_difference() -> None:
    """Intervals prove nothing of the three that were not trained for them, and are not asked about what they do not
    cover."""
    proved = {name: row["certified_accuracy_test_10000"] for name, row in MODELS.items()}
    assert (proved["cnn"], proved["robust"], proved["int8"], proved["vit"]) == (0.0, 0.0, 0.0, None)
    assert 0.5 < proved["certified"] <= MODELS["certified"]["robust_accuracy_test_10000"]


@pytest.mark.slow
def test_the_bracket_of_the_certified_example_is_narrow(bundled: dict[str, np.ndarray]) -> None:
    """At the eps that it was trained for, as its file says: what is proved of 100 images, what PGD and APGD leave."""
    model = load_model(EXAMPLES / MODELS["certified"]["file"])
    facts = {entry.key: entry.value for entry in onnx.load(EXAMPLES / MODELS["certified"]["file"]).metadata_props}
    eps = float(json.loads(facts["robusteval.training"])["params"]["eps"])
    x = torch.from_numpy(bundled["x_test"][:100].astype(np.float32))[:, None] / 255
    y = torch.from_numpy(bundled["y_test"][:100].astype(np.int64))
    radii, right = torch.full((100,), eps, dtype=torch.float64), safe_labels(y, 10)
    asked = Statement(graph_of(model), x.double(), y, right, "linf", radii, (0.0, 1.0))
    loose, tight = (proved(asked, certifier.bound(asked)) for certifier in (Ibp(), Crown()))
    left = model.logits(x).argmax(1) == y
    for attack in (PGD(steps=40), APGD()):
        found = attack.run(pose(model, x, right, "linf", eps=eps))
        left &= model.logits(found).argmax(1) == y
    assert eps == 0.1
    assert not bool((loose & ~tight).any())
    assert not bool((tight & ~left).any()), "What is proved is never broken."
    assert float(tight.double().mean()) > 0.6
    assert int(left.sum()) - int(tight.sum()) < 5


@pytest.mark.parametrize("name", NAMES)
def test_file_is_the_one_measured(name: str, script: Script) -> None:
    path = EXAMPLES / MODELS[name]["file"]
    assert script("export").sha256(path) == MODELS[name]["sha256"]
    assert path.stat().st_size == MODELS[name]["bytes"] < 1_500_000


@pytest.mark.parametrize("name", NAMES)
def test_file_is_plain_onnx(name: str) -> None:
    path = EXAMPLES / MODELS[name]["file"]
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert {node.domain for node in model.graph.node} == {""}
    assert {opset.version for opset in model.opset_import if opset.domain == ""} == {18}
    (x,), (output,) = model.graph.input, model.graph.output
    assert (x.name, output.name) == ("x", "logits")
    dims = x.type.tensor_type.shape.dim
    assert dims[0].dim_param
    assert [dim.dim_value for dim in dims[1:]] == [1, 28, 28]
    assert b"site-packages" not in path.read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_metadata(name: str, bundled: dict[str, np.ndarray]) -> None:
    model = onnx.load(EXAMPLES / MODELS[name]["file"])
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["robusteval.dataset"] == "fashion-mnist"
    assert json.loads(facts["class_names"]) == bundled["class_names"].tolist()
    assert facts["range"] == "0,1"
    assert float(facts["test_accuracy"]) == MODELS[name]["accuracy_test_10000"]


@pytest.mark.parametrize("name", NAMES)
def test_any_batch_size_gives_the_same_answers(name: str, bundled: dict[str, np.ndarray]) -> None:
    path, images = EXAMPLES / MODELS[name]["file"], bundled["x_test"][::50]
    np.testing.assert_allclose(logits(path, images, batch=1), logits(path, images, batch=20), atol=1e-4)


def test_int8_holds_no_float_weights() -> None:
    model = onnx.load(EXAMPLES / "fashion-int8.onnx")
    weights = [t for t in model.graph.initializer if np.prod(t.dims) > 1000]
    assert {t.data_type for t in weights} == {onnx.TensorProto.INT8}
    assert "QuantizeLinear" in {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("name", NAMES)
def test_readme_states_the_same_figures(name: str) -> None:
    row, text = MODELS[name], (EXAMPLES / "README.md").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith(f"| `{row['file']}` |"))
    assert row["sha256"] in line
    assert f"| {row['accuracy_test_10000']:.2%} | {row['accuracy_bundled_1000']:.1%} |" in line


@pytest.mark.filterwarnings("ignore::FutureWarning")  # the exporter's own
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_export_gives_the_same_bytes_twice(script: Script, tmp_path: Path) -> None:
    export, networks = script("export"), script("networks")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = networks.cnn(2, 4)
    paths = tmp_path / "a.onnx", tmp_path / "b.onnx"
    for path in paths:
        export.save(export.export(network), path, 0.5)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    x = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    answers = onnxruntime.InferenceSession(paths[0]).run(None, {"x": x.numpy()})[0]
    np.testing.assert_allclose(answers, network(x).detach().numpy(), atol=1e-5)


def test_bundled_data_is_balanced(bundled: dict[str, np.ndarray]) -> None:
    for split, count in (("test", 100), ("train", 500)):
        images, labels, index = (bundled[f"{key}_{split}"] for key in ("x", "y", "index"))
        assert images.shape == (10 * count, 28, 28)
        assert images.dtype == np.uint8
        assert np.bincount(labels).tolist() == [count] * 10
        assert np.all(np.diff(index) > 0), "kept in the order of the data set, none twice"
    assert bundled["class_names"].shape == (10,)
    assert bundled["class_names"].dtype.kind == "U"


@needs_debian
@pytest.mark.parametrize(("split", "original"), [("test", "t10k"), ("train", "train")])
def test_bundled_images_equal_the_originals(split: str, original: str, bundled: dict[str, np.ndarray]) -> None:
    images = gzip.decompress((DEBIAN / f"{original}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((DEBIAN / f"{original}-labels-idx1-ubyte.gz").read_bytes())[8:]
    index = bundled[f"index_{split}"]
    np.testing.assert_array_equal(
        bundled[f"x_{split}"], np.frombuffer(images, np.uint8).reshape(-1, 28, 28)[index], strict=True
    )
    np.testing.assert_array_equal(bundled[f"y_{split}"], np.frombuffer(labels, np.uint8)[index], strict=True)


@needs_debian
def test_the_script_makes_the_bundled_data(script: Script, bundled: dict[str, np.ndarray]) -> None:
    made = script("make_data").bundle(DEBIAN)
    assert made.keys() == bundled.keys()
    for key, array in made.items():
        np.testing.assert_array_equal(array, bundled[key], strict=True)


def test_the_stated_command_is_the_one_that_the_script_runs(script: Script) -> None:
    made = script("certified").command(Path("examples/fashion-cnn.onnx"), DEBIAN, Path("certified.onnx"))
    assert f"    robusteval {' '.join(made)}\n" in (EXAMPLES / "README.md").read_text()
    facts = {entry.key: entry.value for entry in onnx.load(EXAMPLES / "fashion-certified.onnx").metadata_props}
    training = json.loads(facts["robusteval.training"])
    stated = dict(word.split("=") for word in made if "=" in word)
    assert {name: f"{training['params'][name]:g}" for name in stated} == stated
    assert (training["defence"], training["seed"]) == ("ibp", 0)
    assert training["model_sha256"] == MODELS["cnn"]["sha256"]


def test_missing_originals_are_explained(script: Script, tmp_path: Path) -> None:
    idx = script("idx")
    with pytest.raises(idx.DatasetMissing, match=r"apt install dataset-fashion-mnist"):
        idx.load_split(tmp_path, "train")


def test_truncated_originals_are_refused(script: Script, tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 4]) + b"abc"))
    with pytest.raises(ValueError, match="3 values"):
        script("idx").read_idx(path)


def test_licence_travels_with_the_data() -> None:
    text = (DATA / "LICENSE.fashion-mnist").read_text()
    assert "Zalando SE" in text
    assert "Permission is hereby granted, free of charge" in text
