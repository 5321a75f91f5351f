"""Whatever a plugin raises, and however it ends its process, costs its own cells; the record is there, and says why."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from robusteval.engine.run.runner import run
from robusteval.foreign import CtrlC, ForeignExit, foreign, heeding_ctrl_c
from robusteval.record import store
from tests.engine import faulty


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """As in a shell: one that runs the tests in the background lets them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("executor", "hows"),
    [
        ({"workers": 1}, faulty.SOFT),
        ({"workers": 1, "apart": True}, ("exit0", "interrupt", "die0")),
        ({"workers": 2}, ("exit3", "odd", "kill")),
    ],
    ids=["in this process", "apart", "two workers"],
)
def test_a_faulty_attack_fails_its_own_cell(
    tmp_path: Path, executor: dict[str, int | bool], hows: tuple[str, ...]
) -> None:
    record = run(faulty.job(tmp_path, faulty.attacks(*hows), **executor))
    cells = {cell.attack: cell for cell in record.cells}
    for how in hows:
        assert cells[f"bad-{how}"].status == "failed", how
        assert faulty.SAID[how] in cells[f"bad-{how}"].reason
    assert cells["test.sign"].status == "done"
    assert "cells-failed" in {finding.code for finding in record.findings}
    assert store.load(tmp_path / "run").plan_sha256 == record.plan_sha256


def test_a_faulty_defence_fails_its_own_cells(tmp_path: Path) -> None:
    rows = [
        f'[[defense]]\nplugin = "test.faulty"\nname = "{place}-{how}"\nparams = {{ {place}_how = "{how}" }}\n'
        for place in ("fit", "ask")
        for how in faulty.SOFT
    ]
    record = run(faulty.job(tmp_path, faulty.SUITE + "".join(rows)))
    for place in ("fit", "ask"):
        for how in faulty.SOFT:
            pipeline = record.pipeline(f"{place}-{how}")
            assert (pipeline.status, faulty.SAID[how] in pipeline.reason) == ("failed", True)
    assert {cell.status for cell in record.cells if cell.defense == "none"} == {"done"}
    assert {cell.status for cell in record.cells if cell.defense != "none"} == {"failed"}


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def swallowed() -> None:
    with contextlib.suppress(BaseException):
        press()


@pytest.mark.parametrize("work", [press, swallowed])
def test_the_users_own_ctrl_c_is_let_through(work: Callable[..., Any]) -> None:
    with pytest.raises(KeyboardInterrupt), heeding_ctrl_c(), foreign():
        work()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_press_that_comes_twice_is_one() -> None:
    handler = CtrlC()
    with pytest.raises(KeyboardInterrupt):
        handler(2, None)
    handler(2, None)


def test_what_is_no_exception_becomes_one() -> None:
    with pytest.raises(ForeignExit, match=r"sys.exit\(0\)"), heeding_ctrl_c(), foreign():
        faulty.strike("exit0")
    with pytest.raises(ForeignExit, match="KeyboardInterrupt"), heeding_ctrl_c(), foreign():
        faulty.strike("interrupt")
    with pytest.raises(RuntimeError, match="broken"), heeding_ctrl_c(), foreign():
        faulty.strike("raise")
