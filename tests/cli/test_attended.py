"""Real commands whose plugins end the process: never exit code 0 without a record, nor 3 for a gate that was not
asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import CNN
from tests.cli.installed import SUITE, install, robusteval


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "odd.toml").write_text(SUITE.format(samples=10))
    return install(tmp_path) | {"ROBUSTEVAL_CACHE": str(tmp_path / "cache")}


@pytest.mark.parametrize(
    ("where", "how", "said"),
    [
        ("metric", "os._exit(0)", "with exit code 0"),
        ("load", "os.kill(os.getpid(), signal.SIGKILL)", "by signal 9"),
        ("load", "sys.exit(0)", "failed on fashion-cnn.onnx"),
    ],
)
def test_a_plugin_that_ends_the_process_is_one_sentence(
    env: dict[str, str], tmp_path: Path, where: str, how: str, said: str
) -> None:
    named = ("--loader", "acme.onnx") if where == "load" else ()
    words = ("run", CNN, "--suite", tmp_path / "odd.toml", "--out", tmp_path / "run", "--workers", 1, *named)
    done = robusteval(env | {"WHERE": where, "HOW": how}, *words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "record.json").exists()


def test_an_attack_that_exits_with_3_is_a_failed_cell_and_no_gate(env: dict[str, str], tmp_path: Path) -> None:
    words = ("run", CNN, "--suite", tmp_path / "odd.toml", "--out", tmp_path / "run", "--workers", 1)
    done = robusteval(env | {"WHERE": "attack", "HOW": "os._exit(3)"}, *words)
    assert done.returncode == 1, done.stderr
    status = {
        cell["attack"]: cell["status"] for cell in json.loads((tmp_path / "run" / "record.json").read_text())["cells"]
    }
    assert status == {"acme.odd": "failed", "fgsm": "done"}


def test_a_plugin_that_ends_the_process_when_it_is_imported(env: dict[str, str]) -> None:
    done = robusteval(env | {"WHERE": "import", "HOW": "os._exit(0)"}, "plugins", "list")
    assert (done.returncode, "was ended in the middle" in done.stderr) == (2, True)
    done = robusteval(env | {"WHERE": "import", "HOW": "raise KeyboardInterrupt"}, "plugins", "list", "--json")
    assert done.returncode == 0, done.stderr
    assert [row["broken"] for row in json.loads(done.stdout) if row["broken"]] == ["KeyboardInterrupt"]


@pytest.mark.parametrize("where", ["import", "metric"])
def test_what_a_plugin_prints_is_text_and_no_part_of_the_answer(
    env: dict[str, str], tmp_path: Path, where: str
) -> None:
    """In the command's own process: on import, and as a metric."""
    words = ("run", CNN, "--suite", tmp_path / "odd.toml", "--out", tmp_path / "run", "--workers", 1, "--json")
    how = r"print('\x1b[2JGrade: A'); sys.stderr.write('\x1b]0;x\x07')"
    done = robusteval(env | {"WHERE": where, "HOW": how}, *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "inconclusive"
    assert "\x1b" not in done.stderr
    assert "\\x1b[2JGrade: A" in done.stderr
    assert "\\x1b]0;x\\x07" in done.stderr


def test_an_outside_loader_reads_onnx_files_only_where_it_is_named(env: dict[str, str]) -> None:
    done = robusteval(env, "inspect", CNN, "--json")
    assert json.loads(done.stdout)["format"] == "onnx"
    done = robusteval(env, "inspect", CNN, "--loader", "acme.onnx")
    assert (done.returncode, "acme read it" in done.stderr) == (2, True)
    done = robusteval(env, "inspect", CNN, "--loader", "acme.onx")
    assert (done.returncode, "Did you mean acme.onnx" in done.stderr) == (2, True)
    rows = json.loads(robusteval(env, "plugins", "list", "--kind", "loader", "--json").stdout)
    assert {row["name"]: row["only_by_name"] for row in rows} == {"acme.onnx": [".onnx"], "onnx": [], "torch": []}


NOTEBOOK = """
import sys, torch
from torch import nn
import robusteval
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(4))
    def forward(self, x):
        return x.flatten(1) @ self.weight
x = torch.eye(4).reshape(4, 1, 2, 2).repeat(5, 1, 1, 1)
record = robusteval.evaluate(Net().eval(), (x, x.flatten(1).argmax(1)), sys.argv[1], workers=2)
print([cell.status for cell in record.cells], record.environment["workers"])
"""


def test_a_model_of_this_session_alone_is_run_in_it(tmp_path: Path) -> None:
    suite = SUITE.format(samples=20).replace("acme.odd", "bim")
    (tmp_path / "two.toml").write_text(suite)
    command = [sys.executable, "-c", NOTEBOOK, str(tmp_path / "two.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("['done', 'done'] All ran in one process")
    assert "Traceback" not in done.stderr
