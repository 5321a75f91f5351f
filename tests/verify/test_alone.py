"""`verify` where nothing is installed but numpy, ONNX Runtime, pyarrow, safetensors and robusteval itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.documents import rewrite, whole
from tests.verify.runs import CNN, ROOT

# Refuses every top-level module from site-packages but these and what they cannot be imported without.
BLOCK = """
import sys
ALLOWED = {"numpy", "onnxruntime", "pyarrow", "safetensors", "robusteval"}
STDLIB = set(sys.stdlib_module_names)
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in ALLOWED or top in STDLIB or top.startswith("_"):
            return None
        raise ModuleNotFoundError(f"no {name} here", name=top)
sys.meta_path.insert(0, Refuse())
"""


def alone(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    """The code in a Python where every process that starts refuses them, as where they are not installed."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "sitecustomize.py").write_text(BLOCK)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((place, str(ROOT)))}
        command = [sys.executable, "-c", f"import sys; {code}", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("from robusteval.verify.alone import main; sys.exit(main())", []),
        ("from robusteval.verify.alone import attended; attended()", []),
        ("from robusteval.cli import main; main()", ["verify"]),
    ],
)
def test_an_honest_run_is_confirmed(folder: Path, code: str, words: list[str]) -> None:
    done = alone(code, *words, folder, "--model", CNN, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["confirmed"] == found["claims"] > 100
    assert found["failures"] == []
    assert any("packages that render it are not installed" in reason for reason in found["left"])


def test_a_changed_record_is_found_there_too(folder: Path) -> None:
    data = whole(folder)
    data["verdict"]["sentences"][1] = data["verdict"]["sentences"][1].replace("90.0", "99.9")
    rewrite(folder, json.dumps(data))
    done = alone("from robusteval.verify.alone import main; sys.exit(main())", folder, "--model", CNN)
    assert done.returncode == 1
    assert "verdict.sentences[1]" in done.stdout
    assert "made from another record" in done.stdout


def test_the_other_commands_say_what_they_lack() -> None:
    done = alone("from robusteval.cli import main; main()", "run", CNN)
    assert done.returncode == 2
    assert "click is not installed" in done.stderr


def test_the_blocker_blocks() -> None:
    assert alone("import torch").returncode == 1
    assert alone("import pydantic").returncode == 1
