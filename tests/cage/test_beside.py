"""What the command's process says of its own end."""

from __future__ import annotations

import pytest

from robusteval.cage import beside as module
from robusteval.cage.beside import _failed, beside

SAID = [
    MemoryError(),
    OSError(12, "Cannot allocate memory"),
    RuntimeError("std::bad_alloc"),
    ImportError("/x/onnx_cpp2py_export.so: failed to map segment from shared object"),
]


@pytest.mark.parametrize("error", SAID)
def test_a_lack_of_memory_is_one_sentence_whoever_tells_of_it(error: Exception) -> None:
    sentences = []

    def refuse(message: str, hint: str) -> int:
        sentences.append((message, hint))
        return 2

    assert _failed(error, refuse) == 2
    assert sentences[0][0] == "Memory ran out: the command may take no more of it."


def test_a_bug_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert _failed(KeyError("x\x1b[2J"), lambda *_: 2) == 1
    said = capsys.readouterr().err
    assert "KeyError" in said
    assert "\x1b" not in said


def test_a_system_without_room_for_a_second_process_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> object:
        raise OSError(28, "No space left on device")

    said = []

    def refuse(message: str, hint: str) -> int:
        said.append(message)
        return 2

    monkeypatch.setattr(module, "_attended", full)
    assert beside(int, refuse) == 2
    assert said == ["The command cannot be begun: No space left on device."]
