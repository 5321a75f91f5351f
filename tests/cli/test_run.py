"""The main job from the command line: run, report, verify, resume; and every refusal in one sentence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from tests.cli.conftest import CNN, Command
from tests.cli.installed import SUITE, install
from tests.cli.installed import robusteval as robusteval_process
from tests.documents import rewrite, whole


@pytest.fixture
def finished(robusteval: Command, quick: Path, tmp_path: Path) -> Path:
    screen = robusteval("run", CNN, "--suite", quick, "--out", tmp_path / "run", "--workers", 1)
    assert screen.code == 0, screen.err
    return tmp_path / "run"


def test_run_writes_record_report_and_witnesses_and_prints_a_table(
    robusteval: Command, quick: Path, tmp_path: Path
) -> None:
    screen = robusteval("run", CNN, "--suite", quick, "--out", tmp_path / "run", "--workers", 1)
    assert screen.code == 0
    assert "deepfool" in screen.out
    assert f"Report: {tmp_path / 'run' / 'report.html'}" in screen.out
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {
        "record.json",
        "report.html",
        "samples.parquet",
        "witnesses.safetensors",
        "units",
    }
    assert "<html" in (tmp_path / "run" / "report.html").read_text()[:2000]


def test_json_output_is_all_that_is_printed(robusteval: Command, quick: Path, tmp_path: Path) -> None:
    screen = robusteval("run", CNN, "--suite", quick, "--out", tmp_path / "run", "--workers", 1, "--json")
    assert json.loads(screen.out)["failed"] == []


def test_verify_confirms_every_claim_and_names_the_one_that_was_tampered_with(
    robusteval: Command, finished: Path
) -> None:
    screen = robusteval("verify", finished, "--json")
    assert screen.code == 0
    found = json.loads(screen.out)
    assert found["confirmed"] == found["claims"] > 20
    assert not any("adversarial" in reason or "answers" in reason for reason in found["left"])
    path = finished / "witnesses.safetensors"
    tensors = safetensors.numpy.load_file(path)
    content = bytearray(path.read_bytes())
    row = tensors["none.l2"][3].tobytes()
    place = bytes(content).find(row)
    content[place + 1200] ^= 1
    path.write_bytes(content)
    screen = robusteval("verify", finished)
    assert screen.code == 1
    entries = whole(finished)["witnesses"]["entries"]
    claim = next(entry for entry in entries if entry["tensor"] == "none.l2" and entry["row"] == 3)
    assert f"{claim['cell']}, sample {claim['sample']}: its bytes changed" in screen.out
    assert screen.out.count("bytes changed") == 1


def test_verify_notices_a_lie_in_the_record(robusteval: Command, finished: Path) -> None:
    record = whole(finished)
    record["witnesses"]["entries"][0]["distance"] *= 0.5
    rewrite(finished, json.dumps(record))
    screen = robusteval("verify", finished)
    assert screen.code == 1
    assert "its distance is" in screen.out


def test_verify_notices_another_model(robusteval: Command, finished: Path) -> None:
    screen = robusteval("verify", finished, "--model", CNN.with_name("fashion-robust.onnx"))
    assert screen.code == 2
    assert "not the one that was evaluated" in screen.err


def test_report_is_rendered_again_without_torch_or_plugins(finished: Path) -> None:
    before = (finished / "report.html").read_text()
    (finished / "report.html").unlink()
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['robusteval', 'report', sys.argv[1]]\n"
        "from robusteval.cli import main\nmain()"
    )
    subprocess.run([sys.executable, "-c", code, str(finished)], check=True, capture_output=True)
    assert (finished / "report.html").read_text() == before


def test_verify_needs_no_torch(finished: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['robusteval', 'verify', sys.argv[1]]\n"
        "from robusteval.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code, str(finished)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "claims confirmed" in done.stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['robusteval', '--help']\nfrom robusteval.cli import main\n"
        "try:\n    main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'numpy', 'altair'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_dry_run_prints_the_plan_and_writes_nothing(robusteval: Command, quick: Path, tmp_path: Path) -> None:
    screen = robusteval("run", CNN, "--suite", quick, "--dry-run")
    assert screen.code == 0
    assert "deepfool" in screen.out
    assert "passes, roughly" in screen.out
    line = next(line for line in screen.out.splitlines() if line.startswith("fgsm"))
    assert not (tmp_path / "reports").exists()
    found = json.loads(robusteval("run", CNN, "--suite", quick, "--dry-run", "--json").out)
    # 20 samples; one run: a forward and a backward pass, and the loss; at most five runs, with the stretch in most of
    # them
    passes = found["cells"][0]["passes"]
    assert 20 * 5 * 3 < passes <= 20 * (5 * 3 + 5 * 2 / 3 * 10)
    assert line.split()[3] == f"{passes:,.0f}"
    assert found["foretold"]["passes"] == pytest.approx(sum(cell["passes"] for cell in found["cells"]))
    assert found["foretold"]["not_foretold"] == 0


def test_a_time_budget_ends_the_run_honestly_and_the_same_command_goes_on(
    robusteval: Command, quick: Path, tmp_path: Path
) -> None:
    arguments = ("run", CNN, "--suite", quick, "--out", tmp_path / "run", "--workers", 1)
    screen = robusteval(*arguments, "--time-budget", "0.001s", "--fail-under", 0)
    assert screen.code == 3  # nothing measured is no pass
    assert "INCONCLUSIVE" in screen.out
    assert "without --time-budget goes on from here" in screen.out
    assert "passes, roughly" in screen.err
    page = (tmp_path / "run" / "report.html").read_text()
    assert "the time budget ended; 0 of its 1 units are done and kept" in page
    found = json.loads(robusteval(*arguments, "--json").out)
    assert found["skipped"] == []
    assert "Foretold before the run" in (tmp_path / "run" / "report.html").read_text()


def test_gate(robusteval: Command, quick: Path, tmp_path: Path) -> None:
    arguments = ("run", CNN, "--suite", quick, "--samples", 200, "--out", tmp_path / "run", "--workers", 1)
    assert robusteval(*arguments, "--fail-under", 5).code == 3
    assert robusteval(*arguments, "--fail-under", 0.0001).code == 0


def test_a_gate_is_never_met_by_an_inconclusive_run(robusteval: Command, quick: Path, tmp_path: Path) -> None:
    screen = robusteval("run", CNN, "--suite", quick, "--out", tmp_path / "run", "--workers", 1, "--fail-under", 0.0001)
    assert screen.code == 3  # 20 samples are too few for any claim


def _npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def _bad_inputs(folder: Path) -> dict[str, tuple[tuple[object, ...], str]]:
    """name -> (arguments after `run`, words of the one sentence)."""
    x = np.zeros((12, 28, 28), np.uint8)
    y = np.arange(12) % 10
    content = CNN.read_bytes()
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "half.onnx").write_bytes(content[: len(content) // 2])
    (folder / "noise.onnx").write_bytes(np.random.default_rng(0).bytes(5000))
    nan = np.full((12, 28, 28), np.nan, np.float32)
    (folder / "file").write_text("")
    return {
        "empty model": ((folder / "empty.onnx",), "empty"),
        "truncated model": ((folder / "half.onnx",), "half.onnx"),
        "random model": ((folder / "noise.onnx",), "noise.onnx"),
        "no model": ((folder / "none.onnx",), "There is no file"),
        "unknown ending": ((folder / "quick.toml",), "No loader"),
        "wrong shape": ((CNN, "--data", _npz(folder / "a.npz", x=x[:, :20], y=y)), "28"),
        "labels out of range": ((CNN, "--data", _npz(folder / "b.npz", x=x, y=y + 5)), "label"),
        "nan": ((CNN, "--data", _npz(folder / "c.npz", x=nan, y=y)), "NaN"),
        "no data": ((CNN, "--data", folder / "nothing.npz"), "no data"),
        "unknown suite": ((CNN, "--suite", "standrad"), "no suite"),
        "unknown attack": ((CNN, "--suite", _suite(folder, "pdg")), "pdg"),
        "unwritable": ((CNN, "--suite", folder / "quick.toml", "--out", folder / "file" / "x"), "Cannot write"),
        "bad range": ((CNN, "--range", "1,0"), "low,high"),
        "bad time": ((CNN, "--time-budget", "soon"), "90s, 10m or 2h"),
        "no time": ((CNN, "--time-budget", "0m"), "90s, 10m or 2h"),
    }


def _suite(folder: Path, attack: str) -> Path:
    path = folder / "unknown.toml"
    path.write_text(f'name = "x"\nversion = "1"\nnorms = ["l2"]\n[[attack]]\nplugin = "{attack}"\n')
    return path


NAMES = (
    "empty model",
    "truncated model",
    "random model",
    "no model",
    "unknown ending",
    "wrong shape",
    "labels out of range",
    "nan",
    "no data",
    "unknown suite",
    "unknown attack",
    "unwritable",
    "bad range",
    "bad time",
    "no time",
)


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_gets_one_sentence_and_exit_code_2(
    robusteval: Command, quick: Path, tmp_path: Path, name: str
) -> None:
    arguments, words = _bad_inputs(tmp_path)[name]
    screen = robusteval("run", *arguments)
    assert screen.code == 2
    assert words.lower() in screen.err.lower()
    assert "Traceback" not in screen.err
    first = screen.err.strip().splitlines()
    assert len(first) <= 6, screen.err


def test_an_unwritable_folder_is_noticed_before_the_work(robusteval: Command, quick: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere; the case of a file in the way is tested above")
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    assert robusteval("run", CNN, "--suite", quick, "--out", locked / "run").code == 2


def test_killing_the_process_and_starting_again_gives_the_same_document(tmp_path: Path) -> None:
    """A real kill, of a real process with workers, in the middle of the work: three units are done, and the next two
    wait at a gate."""
    (tmp_path / "odd.toml").write_text(SUITE.format(samples=700))
    (tmp_path / "gate").mkdir()
    env = install(tmp_path) | {"GATE": str(tmp_path / "gate")}
    words = ("run", CNN, "--suite", tmp_path / "odd.toml", "--workers", 2, "--out")
    command = [sys.executable, "-m", "robusteval", *map(str, words), str(tmp_path / "killed")]
    victim = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    units = tmp_path / "killed" / "units"
    while victim.poll() is None and (
        len(list(units.glob("*.npz"))) < 3 or len(list((tmp_path / "gate").iterdir())) < 5
    ):
        time.sleep(0.05)
    victim.kill()
    victim.communicate()
    assert len(list(units.glob("*.npz"))) == 3
    assert not (tmp_path / "killed" / "record.json").exists()
    (tmp_path / "gate" / "open").touch()
    documents = []
    for name in ("killed", "whole"):
        done = robusteval_process(env, *words, tmp_path / name)
        assert done.returncode == 0, done.stderr
        # as the workers die a moment after it, those that waited may see the gate open
        taken = re.search(r"taking up an earlier run: [345] of 14 units", done.stderr)
        assert (taken is not None) == (name == "killed")
        record = json.loads((tmp_path / name / "record.json").read_text())
        record.pop("times")
        record.pop("command")
        documents.append(json.dumps(record, indent=1))
    assert documents[0] == documents[1]
