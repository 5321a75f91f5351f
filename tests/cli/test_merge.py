"""Shards from the command line: a clear screen, the merged run, and every refusal in one sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from robusteval.cli import merge_command
from robusteval.cli.run_command import command as run_command
from robusteval.engine.run import shard as shard_module
from robusteval.engine.run.shard import read_page
from tests.cli.conftest import CNN, QUICK, Command

SUITE = QUICK.replace("samples = 20", "samples = 140")


@pytest.fixture
def quick(tmp_path: Path) -> str:
    (tmp_path / "quick.toml").write_text(SUITE)
    return "quick.toml"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """Both halves of a run, made once."""
    folder = tmp_path_factory.mktemp("halves")
    (folder / "quick.toml").write_text(SUITE)
    env = os.environ | {"ROBUSTEVAL_CACHE": str(cache)}
    for number in (1, 2):
        words = [
            "run",
            CNN,
            "--suite",
            "quick.toml",
            "--out",
            f"part{number}",
            "--workers",
            1,
            "--shard",
            f"{number}/2",
        ]
        command = [sys.executable, "-m", "robusteval", *map(str, words)]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def halves(template: Path, tmp_path: Path, quick: str) -> tuple[str, str]:
    """Copies of the halves, to be spoilt, where the commands run."""
    for name in ("part1", "part2"):
        shutil.copytree(template / name, tmp_path / name)
    return "part1", "part2"


def document(path: Path) -> tuple[Any, Any]:
    data = json.loads((path / "record.json").read_text())
    command = data.pop("command")
    data.pop("times")
    return data, command


def test_two_halves_are_the_run(robusteval: Command, quick: str, halves: tuple[str, str], tmp_path: Path) -> None:
    assert robusteval("run", CNN, "--suite", quick, "--out", "whole", "--workers", 1).code == 0
    screen = robusteval("merge", *halves, "--out", "merged", "--workers", 1)
    assert screen.code == 0, screen.err
    assert "Report: merged/report.html" in screen.out
    merged, command = document(tmp_path / "merged")
    assert merged == document(tmp_path / "whole")[0]
    assert command.startswith("robusteval merge part1 part2 --out merged --workers 1  # robusteval run ")
    assert robusteval("verify", "merged").code == 0
    assert robusteval("merge", *halves, "--out", "merged", "--json").code == 0  # again, from what is there


def test_the_screen_of_a_shard_says_how_to_merge_and_there_is_no_report(
    robusteval: Command, quick: str, tmp_path: Path
) -> None:
    screen = robusteval("run", CNN, "--suite", quick, "--workers", 1, "--shard", "2/3")
    assert screen.code == 0
    (folder,) = (tmp_path / "reports").iterdir()
    assert folder.name.endswith("-shard-2-of-3")
    all_three = " ".join(f"reports/{folder.name[:-6]}{number}-of-3" for number in (1, 2, 3))
    assert f"robusteval merge {all_three} --out RUN" in screen.out
    assert "no report of its own" in screen.out
    assert {path.name for path in folder.iterdir()} == {"units", "shard.json", ".robusteval.lock"}


def test_a_shard_in_json(robusteval: Command, quick: str) -> None:
    screen = robusteval("run", CNN, "--suite", quick, "--out", "part", "--workers", 1, "--shard", "1/2", "--json")
    assert json.loads(screen.out) == {"shard": "1/2", "folder": "part", "units": 4, "failed": []}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--shard", "4/3"), "'4/3' is no shard"),
        (("--shard", "third"), "'third' is no shard"),
        (("--shard", "1/2", "--time-budget", "10m"), "--shard does not go with --time-budget"),
        (("--shard", "1/2", "--fail-under", "0.1"), "--shard does not go with --fail-under"),
        (("--shard", "1/2", "--dry-run"), "--shard does not go with --dry-run"),
        ((CNN.with_name("fashion-robust.onnx"), "--shard", "1/2"), "--shard does not go with several models"),
    ],
)
def test_what_a_shard_cannot_have(robusteval: Command, quick: str, words: tuple[str | Path, ...], said: str) -> None:
    screen = robusteval("run", CNN, "--suite", quick, *words)
    assert screen.code == 2
    assert said in screen.err


def test_a_missing_half_is_named(robusteval: Command, halves: tuple[str, str]) -> None:
    screen = robusteval("merge", halves[0], "--out", "merged")
    assert screen.code == 2
    assert "4 units are missing: none/" in screen.err
    assert "(of shard 2/2)" in screen.err


@pytest.mark.parametrize("what", ["nothing", "a run", "no folder"])
def test_what_is_no_shard_is_refused(robusteval: Command, halves: tuple[str, str], tmp_path: Path, what: str) -> None:
    if what == "nothing":
        (tmp_path / "other").mkdir()
    elif what == "a run":
        shutil.copytree(tmp_path / "part2", tmp_path / "other")
        (tmp_path / "other" / "shard.json").unlink()
    screen = robusteval("merge", halves[0], "other", "--out", "merged")
    assert screen.code == 2
    assert "other is not the folder of a shard" in screen.err


def rewritten(folder: Path, words: list[Any]) -> None:
    page = read_page(folder)
    page.words = [str(word) for word in words]
    shard_module._write(folder, page)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([CNN, "--suite", "quick.toml", "--trust"], "run with --trust, which lets code run"),
        ([CNN, "--suite", "quick.toml", "--arch", "os:abort"], "run with --arch, which lets code run"),
        ([CNN, "--arch", "os:abort", "--trust"], "run with --arch and --trust"),
        (["--help"], "does not say how it was run"),
        ([], "does not say how it was run"),
        ([CNN, "--nonsense"], "does not say how it was run"),
        ([CNN.with_name("fashion-robust.onnx"), "--suite", "quick.toml"], "is a shard of another model"),
        ([CNN, "--suite", "quick.toml", "--seed", "5"], "is a shard of another plan"),
        (["gone.onnx", "--suite", "quick.toml"], "gone.onnx"),
    ],
)
def test_words_of_a_folder_are_not_trusted(
    robusteval: Command, halves: tuple[str, str], tmp_path: Path, words: list[Path | str], said: str
) -> None:
    rewritten(tmp_path / "part1", words)
    screen = robusteval("merge", *halves, "--out", "merged")
    assert screen.code == 2, screen.out
    assert said in screen.err
    assert not (tmp_path / "merged" / "record.json").exists()


def test_what_a_folder_says_of_where_and_how_is_not_heeded(
    robusteval: Command, halves: tuple[str, str], tmp_path: Path
) -> None:
    more = ["--out", "elsewhere", "--overwrite", "--workers", 200, "--shard", "1/9", "--dry-run", "--time-budget", "1s"]
    rewritten(tmp_path / "part1", [CNN, "--suite", "quick.toml", "--fail-under", "9e9", "--json", *more])
    screen = robusteval("merge", *halves, "--out", "merged", "--workers", 1)
    assert screen.code == 0, screen.err
    assert not (tmp_path / "elsewhere").exists()
    assert "Report: merged/report.html" in screen.out


def test_the_user_says_the_run_where_files_lie_elsewhere(
    robusteval: Command, halves: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "moved").mkdir()
    shutil.copy(CNN, tmp_path / "moved")
    rewritten(tmp_path / "part1", ["gone.onnx"])
    words = f"robusteval run moved/{CNN.name} --suite quick.toml"
    screen = robusteval("merge", *halves, "--out", "merged", "--workers", 1, "--run", words)
    assert screen.code == 0, screen.err


def test_the_gate_is_asked_of_the_merged_run(robusteval: Command, halves: tuple[str, str]) -> None:
    assert robusteval("merge", *halves, "--out", "merged", "--workers", 1, "--fail-under", 100).code == 3


def test_every_option_of_a_run_is_either_a_folder_s_to_say_or_not() -> None:
    kinds = (merge_command.FROM_A_FOLDER, merge_command.ALLOWED_BY_THE_USER, merge_command.OWN, merge_command.NONE)
    assert sorted(param.name for param in run_command.params) == sorted(name for kind in kinds for name in kind)
    assert {param.name for param in merge_command.command.params} == {"folders", "again"} | merge_command.OWN
