"""`robusteval train`: writes what ONNX Runtime confirms, goes on after Ctrl-C, refuses in a sentence, never leaks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from robusteval_attacks.pgd import PGD
from safetensors.torch import load_file

from robusteval.api import LoadOptions, Samples
from robusteval.engine.fit.train import split
from robusteval.loaders.onnx.plugin import OnnxLoader
from robusteval.testing import pose, safe_labels
from tests.cli.conftest import CNN, ROOT, Command
from tests.sure import sure

VIT = CNN.with_name("fashion-vit.onnx")


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """300 images to learn from, as a file."""
    with np.load(ROOT / "robusteval" / "data" / "fashion_mnist.npz") as data:
        np.savez(tmp_path / "few.npz", x=data["x_train"][:300], y=data["y_train"][:300])
    return tmp_path / "few.npz"


def answers(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    answer: np.ndarray = session.run(None, {session.get_inputs()[0].name: x})[0]
    return answer


@pytest.mark.parametrize("model", [CNN, VIT])
def test_it_writes_a_file_that_onnx_runtime_takes_at_any_batch(
    model: Path, robusteval: Command, few: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sub" / "hard.onnx"
    words = ("label-embedding", model, "--fit-data", few, "--param", "epochs=1", "--out", out)
    screen = robusteval("train", *words)
    assert screen.code == 0, screen.err
    assert "before" in screen.out
    assert "epoch 1/1" in screen.err
    x = np.random.default_rng(0).random((5, 1, 28, 28), dtype=np.float32)
    loaded = OnnxLoader().load(out, LoadOptions())
    together, alone = answers(out, x), np.concatenate([answers(out, x[i : i + 1]) for i in range(5)])
    assert np.allclose(together, alone, atol=1e-4)
    assert np.allclose(loaded.twin(torch.from_numpy(x)).detach().numpy(), together, atol=1e-3)
    assert not np.allclose(together, answers(model, x), atol=1e-2)
    props = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
    facts = json.loads(props["robusteval.training"])
    assert facts["defence"] == "label-embedding"
    assert facts["params"]["epochs"] == 1
    assert loaded.info.dataset == "fashion-mnist"
    assert loaded.info.class_names[9] == "Ankle boot"
    assert load_file(out.with_suffix(".safetensors"))


def test_a_denoiser_is_written_with_the_model_behind_it(robusteval: Command, few: Path, tmp_path: Path) -> None:
    out = tmp_path / "hard.onnx"
    screen = robusteval("train", "denoiser", CNN, "--fit-data", few, "--param", "epochs=1", "--out", out, "--json")
    assert screen.code == 0, screen.err
    said = json.loads(screen.out)
    assert said["onnx_gap"] <= 1e-4
    assert {"before", "after", "held_out", "learnt_sha256"} <= set(said)


def test_bad_input_is_one_sentence_and_code_2(robusteval: Command, few: Path, tmp_path: Path) -> None:
    out = tmp_path / "hard.onnx"
    (tmp_path / "there.onnx").write_bytes(b"x")
    rest = (CNN, "--fit-data", few, "--out", out)
    for words, sentence in [
        (("jpeg", *rest), "needs no training"),
        (("distilation", *rest), "Did you mean distillation"),
        (("distillation", *rest, "--param", "epoch=1"), "no parameter 'epoch' (did you mean 'epochs'?)"),
        (("distillation", *rest, "--param", "epochs=many"), "Parameter epochs"),
        (("distillation", *rest, "--param", "epochs"), "not of the form name=value"),
        (("distillation", *rest, "--param", "rate=1", "--param", "rate=2"), "given twice"),
        (("distillation", tmp_path / "no.onnx", *rest[1:]), "no.onnx"),
        (("distillation", CNN, "--fit-data", tmp_path / "no.npz", "--out", out), "There is no data"),
        (("distillation", CNN, "--fit-data", few, "--out", tmp_path / "hard.pt"), "does not end in .onnx"),
        (("distillation", CNN, "--fit-data", few, "--out", tmp_path / "there.onnx"), "--overwrite"),
        (("distillation", CNN, "--fit-data", few, "--out", CNN, "--overwrite"), "the model itself"),
        (("adversarial-training", *rest, "--param", 'models=["no.onnx"]', "--param", "mode=ensemble"), "no.onnx"),
    ]:
        screen = robusteval("train", *words)
        assert screen.code == 2, words
        assert sentence in screen.err, screen.err
        assert "Traceback" not in screen.err
    assert not out.exists()


STOP = """
import os, time
if "STOP_AFTER" in os.environ:
    from robusteval.cli import train_command

    say = train_command._say

    def stop(epoch):
        say(epoch)
        while epoch.done >= int(os.environ["STOP_AFTER"]):
            time.sleep(0.05)

    train_command._say = stop
"""


def heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("how", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGKILL])
def test_an_interruption_loses_at_most_one_epoch(how: signal.Signals, few: Path, tmp_path: Path) -> None:
    """Ctrl-C, and a kill that no process can answer."""
    out = tmp_path / "hard.onnx"
    words = ["adversarial-training", str(CNN), "--fit-data", str(few), "--param", "epochs=12", "--param", "steps=3"]
    command = [sys.executable, "-m", "robusteval", "train", *words, "--out", str(out)]
    (tmp_path / "sitecustomize.py").write_text(STOP)
    path = os.pathsep.join(part for part in (str(tmp_path), os.environ.get("PYTHONPATH")) if part)
    place = os.environ | {"ROBUSTEVAL_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    # a shell that runs the tests in the background lets its children ignore Ctrl-C
    first = subprocess.Popen(
        command,
        env=place | {"STOP_AFTER": "3"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - before the test has threads
    )
    seen = ""
    alarm = threading.Timer(240, first.kill)  # so that a command that says nothing ends the waiting
    alarm.start()
    while "epoch 3/" not in seen and (line := sure(first.stderr).readline()):
        seen += line
    alarm.cancel()
    assert "epoch 3/" in seen
    first.send_signal(how)
    seen += first.communicate(timeout=60)[1]
    done = seen.count("epoch ")
    assert first.returncode == (130 if how == signal.SIGINT else -how), seen
    assert ("the same command goes on from there" in seen) == (how == signal.SIGINT)
    assert not out.exists()
    second = subprocess.run(command, env=place, capture_output=True, text=True, timeout=300, check=False)
    assert second.returncode == 0, second.stderr
    assert "taking up an earlier training" in second.stderr
    assert second.stderr.count("epoch ") <= 12 - done
    assert out.exists()


def test_what_is_held_out_was_not_learnt_even_where_images_repeat(fashion_samples: Samples) -> None:
    twice = fashion_samples[torch.arange(400).repeat(2)]
    learnt, held = split(twice)
    assert len(learnt) + len(held) == 800
    assert len(held) >= 20
    assert not set(learnt.hashes()) & set(held.hashes())


@pytest.fixture
def fashion_samples() -> Samples:
    with np.load(ROOT / "robusteval" / "data" / "fashion_mnist.npz") as data:
        x = torch.from_numpy(data["x_train"][:400].astype(np.float32)).reshape(-1, 1, 28, 28) / 255
        return Samples(x, torch.from_numpy(data["y_train"][:400].astype(np.int64)))


def test_a_run_refuses_fit_data_that_share_an_image_with_the_evaluated(
    robusteval: Command, quick: Path, tmp_path: Path
) -> None:
    with np.load(ROOT / "robusteval" / "data" / "fashion_mnist.npz") as data:
        x, y = data["x_test"][:40], data["y_test"][:40]
        np.savez(tmp_path / "evaluated.npz", x=x, y=y)
        np.savez(
            tmp_path / "leaks.npz",
            x=np.concatenate([data["x_train"][:50], x[7:8]]),
            y=np.r_[data["y_train"][:50], y[7]],
        )
    suite = quick.read_text() + '[[defense]]\nplugin = "label-embedding"\n'
    quick.write_text(suite)
    data = ("--data", tmp_path / "evaluated.npz", "--fit-data", tmp_path / "leaks.npz", "--samples", 40)
    screen = robusteval("run", CNN, "--suite", quick, *data, "--out", tmp_path / "run")
    assert screen.code == 2
    assert "1 images are both among the 40 evaluated and the 51 to learn from" in screen.err
    assert not (tmp_path / "run" / "record.json").exists()


def test_a_hardened_file_is_not_evaluated_on_what_it_learnt(
    robusteval: Command, few: Path, quick: Path, tmp_path: Path
) -> None:
    """Its marks tell, also after it was hardened again on other images, and also where the pixels come as floats."""
    with np.load(ROOT / "robusteval" / "data" / "fashion_mnist.npz") as data:
        np.savez(tmp_path / "more.npz", x=data["x_train"][300:400], y=data["y_train"][300:400])
        np.savez(tmp_path / "clean.npz", x=data["x_test"][:30], y=data["y_test"][:30])
        floats = data["x_train"][:30].astype(np.float32)[:, None] / 255
        np.savez(tmp_path / "floats.npz", x=floats, y=data["y_train"][:30])
    once, twice = tmp_path / "once.onnx", tmp_path / "twice.onnx"
    for model, fit, out in ((CNN, few, once), (once, tmp_path / "more.npz", twice)):
        words = ("label-embedding", model, "--fit-data", fit, "--param", "epochs=1", "--out", out)
        screen = robusteval("train", *words)
        assert screen.code == 0
        known = "had not been trained on any of them" if model == once else "does not say what it was trained on"
        assert known in screen.out

    def run(model: Path, data: str) -> tuple[int, str]:
        words = ("--suite", quick, "--samples", 20, "--out", tmp_path / "run", "--overwrite")
        screen = robusteval("run", model, "--data", tmp_path / data, *words)
        return screen.code, screen.err

    for model, data in ((once, "few.npz"), (once, "floats.npz"), (twice, "few.npz"), (twice, "more.npz")):
        code, said = run(model, data)
        assert code == 2, data
        assert f"{model.stem} was trained on" in said
    assert run(once, "more.npz")[0] == 0
    assert run(twice, "clean.npz")[0] == 0
    learnt = {entry.key: entry.value for entry in onnx.load(once).metadata_props}["robusteval.learnt"]
    assert 8 * 250 < len(learnt) < 8 * 300, "Eight characters an image, and none of those held out."


def test_marks_that_nobody_wrote_are_an_error() -> None:
    from robusteval.engine.data.training_fingerprints import check_not_trained_on
    from robusteval.errors import ModelError
    from robusteval.testing import linear

    info = replace(linear((4,)).info, training_fingerprints="abcde===")
    with pytest.raises(ModelError, match="cannot be read"):
        check_not_trained_on(info, set(), 1)


def test_held_out_samples_that_the_model_knew_are_told_of(fashion_samples: Samples) -> None:
    from robusteval.cli.train_command import _known_before
    from robusteval.engine.data.training_fingerprints import marks, trained_on
    from robusteval.testing import linear

    knew = replace(linear((4,)).info, training_fingerprints=marks(fashion_samples[:30]))
    assert trained_on(knew, fashion_samples) == 30
    assert trained_on(knew, fashion_samples[30:]) == 0
    assert trained_on(linear((4,)).info, fashion_samples) is None
    assert "trained on 30 of these 400" in _known_before(30, 400)
    assert "look better than they are" in _known_before(30, 400)
    assert "look better than they are" in _known_before(None, 400)
    assert "better" not in _known_before(0, 400)


@pytest.mark.slow
@pytest.mark.long  # the same training of a smaller net is tests/plugins/defenses/test_training.py's
def test_adversarial_training_of_the_example_holds_against_pgd(robusteval: Command, tmp_path: Path) -> None:
    out = tmp_path / "hard.onnx"
    screen = robusteval("train", "adversarial-training", CNN, "--out", out)
    assert screen.code == 0, screen.err
    with np.load(ROOT / "robusteval" / "data" / "fashion_mnist.npz") as data:
        x = torch.from_numpy(data["x_test"][:300].astype(np.float32)).reshape(-1, 1, 28, 28) / 255
        y = torch.from_numpy(data["y_test"][:300].astype(np.int64))

    def robust(path: Path) -> float:
        model = OnnxLoader().load(path, LoadOptions())
        found = PGD(steps=20).run(pose(model, x, safe_labels(y, 10), "linf", eps=0.1))
        return float((model.logits(found).argmax(1) == y).float().mean())

    assert robust(out) >= robust(CNN) + 0.4
