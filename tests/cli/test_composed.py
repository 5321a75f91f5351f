"""`run --attacks pgd,ddn --norms linf --eps 8/255 --defenses jpeg` without a suite, and all of its figures as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import CNN, Command
from tests.documents import whole

WORDS = ("--attacks", "fgsm,ddn:steps=5", "--norms", "linf,l2", "--eps", "linf=8/255,l2=2", "--defenses", "jpeg")


def test_attacks_and_defences_by_name_are_run(robusteval: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    screen = robusteval(
        "run", CNN, "--data", "fashion-mnist", *WORDS, "--samples", 12, "--workers", 1, "--out", out, "--json"
    )
    assert screen.code == 0, screen.err
    record, said = whole(out), json.loads(screen.out)
    assert record["data"]["source"] == "installed data set fashion-mnist, test part"
    assert {(cell["attack"], cell["norm"], cell["eps"]) for cell in record["cells"] if cell["defense"] == "none"} == {
        ("fgsm", "linf", 8 / 255), ("fgsm", "l2", 2.0), ("ddn", "l2", None),
    }  # fmt: skip
    assert {cell["defense"] for cell in record["cells"]} == {"none", "jpeg"}
    assert [name for name in record["data"]["names"] if not name.startswith("row ")] == []
    scalars = [row for row in record["results"] if row["kind"] == "scalar"]
    assert [(row["name"], row["value"]) for row in said["figures"]] == [(row["name"], row["value"]) for row in scalars]
    assert said["verdict"] == record["verdict"]["sentences"]
    assert [row["code"] for row in said["findings"]] == [row["code"] for row in record["findings"]]
    assert said["cascades"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--norms", "l2"), "no attacks are"),
        (("--suite", "smoke", "--attacks", "pgd"), "Both a suite and attacks"),
        (("--attacks", "pgdd"), "no attack named 'pgdd'"),
        (("--attacks", "pgd", "--norms", "linf", "--eps", "eight"), "'eight' is no budget"),
        (("--attacks", "pgd", "--defenses", "jpg"), "jpeg"),
    ],
)
def test_what_makes_no_suite_is_one_sentence(robusteval: Command, words: tuple[str, ...], said: str) -> None:
    screen = robusteval("run", CNN, *words, "--workers", 1)
    assert screen.code == 2
    assert said in screen.err
    assert "Traceback" not in screen.err


def test_shards_of_such_a_run_are_united(robusteval: Command, tmp_path: Path) -> None:
    words = ("run", CNN, "--attacks", "fgsm,ddn:steps=3", "--norms", "l2", "--samples", 6, "--workers", 1)
    for part in (1, 2):
        screen = robusteval(*words, "--shard", f"{part}/2", "--out", tmp_path / f"part{part}")
        assert screen.code == 0, screen.err
    screen = robusteval("merge", tmp_path / "part1", tmp_path / "part2", "--out", tmp_path / "whole", "--workers", 1)
    assert screen.code == 0, screen.err
    assert {cell["attack"] for cell in whole(tmp_path / "whole")["cells"]} == {"fgsm", "ddn"}
