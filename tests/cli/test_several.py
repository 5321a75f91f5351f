"""Several models from the command line: one page, a matrix that can be checked again, and every refusal in one
sentence."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
from onnx import TensorProto, helper, numpy_helper

import robusteval as package
from tests.cli.conftest import CNN, INT8, QUICK, TRANSFER, Command


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.toml"
    path.write_text(QUICK.replace("[[attack]]", TRANSFER + "[[attack]]", 1))
    return path


@pytest.fixture
def both(finished: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of that run, to be spoilt."""
    shutil.copytree(finished[0], tmp_path / "run")
    return tmp_path / "run"


def test_one_page_one_document_and_a_run_for_each(finished: tuple[Path, str], both: Path) -> None:
    folder, printed = both, finished[1]
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        "comparison.json",
        "report.html",
        "transfer.safetensors",
        "fashion-cnn",
        "fashion-int8",
    }
    assert "made on" in printed
    page = (folder / "report.html").read_text()
    links = set(re.findall(r'href="([^"#][^"]*)"', page))
    assert links == {"fashion-cnn/report.html", "fashion-int8/report.html"}
    assert all((folder / link).is_file() for link in links)
    titles = re.findall(r"<h3>(.*?)</h3>", page)
    assert {"fgsm, L2", "fgsm, L\u221e", "deepfool, L2", "Worst case over attacks, L2"} <= set(titles)
    assert (folder / "fashion-cnn" / "tables" / "label-next_l2.csv").is_file()
    document = json.loads((folder / "comparison.json").read_text())
    assert [model["key"] for model in document["models"]] == ["fashion-cnn", "fashion-int8"]
    alone = json.loads((folder / "fashion-cnn" / "record.json").read_text())
    assert alone["model"]["sha256"] == document["models"][0]["sha256"] == hashlib.sha256(CNN.read_bytes()).hexdigest()


def test_a_statement_is_about_every_model(robusteval: Command, both: Path) -> None:
    assert robusteval("verify", both, "--statement", "s.json").code == 0
    said = json.loads(Path("s.json").read_text())
    own = ["record.json", "samples.parquet", "witnesses.safetensors", "report.html"]
    keys = ["fashion-cnn", "fashion-int8"]
    names = ["comparison.json", "transfer.safetensors", "report.html"]
    names += [f"{key}/{name}" for key in keys for name in [*own, f"model:{key}.onnx", "data:samples"]]
    assert sorted(subject["name"] for subject in said["subject"]) == sorted(names)
    kinds = {"records of the models", "transfer matrix", "figures of all models", "clean answers"}
    assert kinds <= set(said["predicate"]["kinds"])
    assert [run["key"] for run in said["predicate"]["runs"]] == keys
    assert robusteval("sign", "--new-key", "key").code == robusteval("sign", "s.json", "--key", "key").code == 0
    words = ["verify", both, "--signature", "s.json.dsse", "--public-key", "key.pub"]
    assert robusteval(*words).code == 0
    for name in names:
        if ":" not in name:
            content = (both / name).read_bytes()
            (both / name).write_bytes(content + b" ")
            screen = robusteval(*words)
            assert (screen.code, f"FAILS: {name}: its bytes are not" in screen.out) == (1, True)
            (both / name).write_bytes(content)
    (both / keys[0]).rename(both / "elsewhere")
    (both / keys[0]).symlink_to(both / "elsewhere")
    assert "its folder is a link" in robusteval(*words).out


def test_verify_checks_every_model_and_the_matrix(robusteval: Command, both: Path) -> None:
    folder = both
    screen = robusteval("verify", folder, "--json")
    assert screen.code == 0, screen.out
    found = json.loads(screen.out)
    alone = [
        json.loads(robusteval("verify", folder / key, "--json").out)["claims"]
        for key in ("fashion-cnn", "fashion-int8")
    ]
    assert found["confirmed"] == found["claims"] > sum(alone) + 4  # the matrix, and the figures of all together
    path = folder / "comparison.json"
    kept = path.read_text()
    document = json.loads(kept)
    answers = document["transfer"]["sources"][0]["answers"][1]
    answers[2] = (answers[2] + 1) % 10
    path.write_text(json.dumps(document))
    screen = robusteval("verify", folder)
    assert screen.code == 1
    assert "Made on fashion-cnn, shown to fashion-int8: ONNX Runtime answers otherwise on 1 images" in screen.out
    path.write_text(kept.replace('"eps": 0.1', '"eps": 0.05'))
    assert "over the budget" in robusteval("verify", folder).out


def test_verify_notices_changed_adversarials_and_another_record(robusteval: Command, both: Path) -> None:
    folder = both
    path = folder / "transfer.safetensors"
    tensors = safetensors.numpy.load_file(path)
    tensors["fashion-cnn"][0] = 7.0
    path.write_bytes(safetensors.numpy.save(tensors))
    record = folder / "fashion-int8" / "record.json"
    record.write_text(record.read_text() + "\n")
    screen = robusteval("verify", folder)
    assert screen.code == 1
    assert "outside the box" in screen.out
    assert "hash differs" in screen.out
    assert "fashion-int8: its record.json is not the one that was compared" in screen.out


def test_report_and_verify_need_no_torch(both: Path) -> None:
    folder = both
    before = (folder / "report.html").read_text()
    (folder / "report.html").unlink()
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['robusteval', *sys.argv[1:]]\n"
        "from robusteval.cli import main\nmain()"
    )
    for command in ("report", "verify"):
        words = [sys.executable, "-c", code, command, str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (folder / "report.html").read_text() == before


def test_again_and_in_the_other_order_gives_the_same_matrix(robusteval: Command, both: Path, suite: Path) -> None:
    folder = both
    first = json.loads((folder / "comparison.json").read_text())
    screen = robusteval("run", INT8, CNN, "--suite", suite, "--out", folder, "--workers", 1, "--json")
    assert screen.code == 0, screen.err
    second = json.loads((folder / "comparison.json").read_text())
    swapped = [source["answers"][::-1] for source in second["transfer"]["sources"]][::-1]
    assert [source["answers"] for source in first["transfer"]["sources"]] == swapped
    shown = json.loads(screen.out)
    assert [model["model"] for model in shown["models"]] == ["fashion-int8", "fashion-cnn"]
    assert all(0 <= value <= 1 for row in shown["transfer"] for value in row)


def test_the_own_option_of_one_file_reaches_only_that(robusteval: Command, suite: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(20) % 10)
    arguments = ("--suite", suite, "--data", tmp_path / "d.npz", "--workers", 1, "--out", tmp_path / "run")
    screen = robusteval("run", CNN, INT8, *arguments, "--only", "fashion-cnn.onnx", "range", "0,255")
    assert screen.code == 0, screen.err
    document = json.loads((tmp_path / "run" / "comparison.json").read_text())
    assert [model["bounds"] for model in document["models"]] == [[0.0, 255.0], [0.0, 1.0]]
    assert robusteval("verify", tmp_path / "run").code == 0


def test_dry_run_prints_both_plans_and_writes_nothing(robusteval: Command, suite: Path, tmp_path: Path) -> None:
    screen = robusteval("run", CNN, INT8, "--suite", suite, "--dry-run", "--json")
    assert len(json.loads(screen.out)["models"]) == 2
    assert not (tmp_path / "reports").exists()


def test_a_gate_names_who_missed_it(robusteval: Command, suite: Path, tmp_path: Path) -> None:
    arguments = ("run", CNN, INT8, "--suite", suite, "--out", tmp_path / "run", "--workers", 1)
    screen = robusteval(*arguments, "--fail-under", 5)
    assert screen.code == 3
    assert "not met by fashion-cnn (" in screen.err
    assert "), fashion-int8 (" in screen.err


def _cases(folder: Path) -> dict[str, Any]:
    (folder / "half.onnx").write_bytes(CNN.read_bytes()[:500])
    flat = folder / "flat.toml"
    flat.write_text(QUICK.replace("[[attack]]", 'transfer = { attack = "deepfool" }\n[[attack]]', 1))
    return {
        "broken second": ((CNN, folder / "half.onnx"), "half.onnx"),
        "missing second": ((CNN, folder / "none.onnx"), "There is no file"),
        "model labels": ((CNN, INT8, "--labels", "model"), "labels of its own"),
        "minimal transfer attack": ((CNN, INT8, "--suite", flat), "fixed linf budget"),
        "stranger in --only": ((CNN, INT8, "--only", "x.onnx", "range", "0,1"), "not one of the models"),
        "unknown option in --only": ((CNN, INT8, "--only", "fashion-cnn", "speed", "9"), "speed"),
        "bad number in --only": ((CNN, INT8, "--only", "fashion-cnn", "range", "a,b"), "not a list of numbers"),
        "--only for one": ((CNN, "--only", "fashion-cnn", "range", "0,1"), "several models"),
        "none at all": ((), "Missing argument"),
    }


@pytest.mark.parametrize(
    "name",
    [
        "broken second", "missing second", "model labels", "minimal transfer attack", "stranger in --only",
        "unknown option in --only", "bad number in --only", "--only for one", "none at all",
    ],
)  # fmt: skip
def test_bad_input_gets_one_sentence_and_exit_code_2(robusteval: Command, tmp_path: Path, name: str) -> None:
    arguments, words = _cases(tmp_path)[name]
    screen = robusteval("run", *arguments)
    assert screen.code == 2
    assert words.lower() in screen.err.lower()
    assert "Traceback" not in screen.err
    assert not (tmp_path / "reports").exists()


def test_models_of_other_shapes_are_refused(robusteval: Command, suite: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    weight = numpy_helper.from_array(np.ones((64, 10), np.float32), "w")
    ends: list[tuple[str, list[str | int | None]]] = [("x", ["n", 1, 8, 8]), ("y", ["n", 10])]
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends)
    graph = helper.make_graph(nodes, "other", [given], [made], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), other)
    np.savez(tmp_path / "other.npz", x=np.zeros((20, 8, 8), np.uint8), y=np.arange(20) % 10)
    screen = robusteval("run", CNN, other, "--suite", suite)
    assert screen.code == 2
    assert "1x28x28" in screen.err
    assert "1x8x8" in screen.err


def test_a_folder_of_another_kind_is_left_alone(robusteval: Command, both: Path, suite: Path) -> None:
    folder = both
    assert robusteval("run", CNN, "--suite", suite, "--out", folder).code == 2
    assert robusteval("run", CNN, INT8, "--suite", suite, "--out", folder / "fashion-cnn").code == 2


def test_from_python(suite: Path) -> None:
    made = package.compare([CNN, INT8], suite=str(suite), samples=12)
    assert set(made.records) == {"fashion-cnn", "fashion-int8"}
    assert made.records["fashion-cnn"].data.samples == 12
    assert "Whose adversarials fool whom" in made.to_html()
