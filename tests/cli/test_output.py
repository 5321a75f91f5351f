"""Where nothing more can be written, a command says so and is no success; where nobody reads any more, it just ends."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from robusteval.cli import obey


class Closed(io.StringIO):
    """A stream that refuses what is written, or only when it is flushed, as files do that are written in blocks."""

    def __init__(self, number: int, late: bool) -> None:
        super().__init__()
        self.number, self.late = number, late

    def write(self, text: str) -> int:
        if not self.late:
            raise OSError(self.number, os.strerror(self.number))
        return len(text)

    def fileno(self) -> int:
        return 1

    def flush(self) -> None:
        if self.late and not self.closed:
            raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 2), (errno.EPIPE, 141)])
@pytest.mark.parametrize("words", [("suites", "schema"), ("suites", "list")])
def test_output_that_cannot_be_written(
    words: tuple[str, ...],
    number: int,
    code: int,
    late: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["robusteval", *words])
    stream = Closed(number, late)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(os, "dup2", lambda *_: None)  # rich puts a stream without a reader aside, for good
        assert obey() == code
    stream.late, stream.number = False, 0  # it may be closed now
    said = capsys.readouterr().err
    assert ("No space left on device" in said) == (code == 2)
    assert "plugin" not in said


def test_no_output_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["robusteval", "suites", "schema"])
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        assert obey() == 0


CLOSED = """
import os, sys
for number in (0, 1, 2):
    os.close(number)
sys.stdout = sys.stderr = None
from robusteval.cli.attended import open_streams
open_streams()
handle = os.open(sys.argv[1], os.O_WRONLY)
print("into nothing", flush=True)
print("into nothing", file=sys.stderr, flush=True)
passed_on = all(map(os.get_inheritable, (0, 1, 2)))  # the command's own process has them too
os.write(handle, str(handle > 2 and passed_on).encode())
"""


def test_closed_streams_lead_nowhere_and_no_file_takes_their_number(tmp_path: Path) -> None:
    (tmp_path / "said").touch()
    subprocess.run([sys.executable, "-c", CLOSED, str(tmp_path / "said")], check=True)
    assert (tmp_path / "said").read_text() == "True"
