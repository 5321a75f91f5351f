"""`make fuzz`: a target after the other under atheris, which looks for bytes that reach new lines of our readers.

python -m tests.fuzz.fuzz [TARGET...] [--seconds 60]     a minute each, in a process of its own
python -m tests.fuzz.fuzz --one TARGET CORPUS [options of libFuzzer]

What breaks a reader is left as `.fuzz/TARGET/crash-*`, with the traceback above it on the screen; the next run begins
from what the last ones found.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HOME = Path(".fuzz")
READERS = ["robusteval.engine.data", "robusteval.record", "robusteval.runtime", "robusteval.engine.units.store"]
READERS += ["robusteval.engine.suite", "robusteval.loaders.onnx.reading", "robusteval.contracts.suites"]


def one(name: str, options: list[str]) -> None:
    """Fuzzes one target in this process, until libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=READERS):
        from tests.fuzz.targets import holds

    place = tempfile.TemporaryDirectory()

    def ask(content: bytes) -> None:
        with tempfile.TemporaryDirectory(dir=place.name) as folder:
            holds(name, content, Path(folder))

    atheris.Setup([sys.argv[0], *options], ask)
    atheris.Fuzz()


def main() -> int:
    """1 where a target broke."""
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], sys.argv[3:])
        return 0
    from tests.fuzz.targets import TARGETS

    words = argparse.ArgumentParser(description="Fuzzes the readers of strangers' files.")
    words.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    words.add_argument("--seconds", type=int, default=60, help="for each target")
    asked = words.parse_args()
    broken = []
    for name in asked.targets or TARGETS:
        corpus = HOME / name
        corpus.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(TARGETS[name].seeds()):
            (corpus / f"seed-{number}").write_bytes(content)
        limits = [f"-max_total_time={asked.seconds}", "-timeout=30", "-rss_limit_mb=4096"]
        limits += [f"-artifact_prefix={corpus}/"]
        command = [sys.executable, "-m", "tests.fuzz.fuzz", "--one", name, str(corpus), *limits, "-print_final_stats=1"]
        if subprocess.run(command, check=False).returncode:
            broken.append(name)
    print("No target broke." if not broken else f"Broken: {', '.join(broken)}; see {HOME}/*/crash-*.")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
