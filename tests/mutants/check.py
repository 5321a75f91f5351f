"""`make mutants`: every line that decides, derives, stores or checks is broken in turn; some test has to notice.

mutmut makes the mutants and runs the tests named in pyproject.toml on each. Those that live are either words, or listed
in survivors.txt with the reason why they change nothing, or a fault of the tests: then the exit code is 1.

    python tests/mutants/check.py                          from an empty folder `mutants`, all of it
    python tests/mutants/check.py --again                  only what lived the last time, and what changed since
    python tests/mutants/check.py --no-run                 only the comparison
    python tests/mutants/check.py 'robusteval.engine.search.judge*'
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.mutants.alike import kind  # noqa: E402

LIST = Path(__file__).with_name("survivors.txt")
FOLDER = ROOT / "mutants"
_KILLED = {"killed", "timeout", "segfault"}  # a mutant that never ends, or ends the process, is noticed


@dataclass(frozen=True)
class Key:
    """A mutant, by what it changes: names with numbers shift whenever a line above them does."""

    path: str
    function: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.path} {self.function}\n- {self.old}\n+ {self.new}"


@dataclass(frozen=True)
class Mutant:
    name: str
    path: str
    status: str


def listed() -> dict[Key, int]:
    """survivors.txt: how many mutants of each key are known to change nothing. Raises ValueError where it is
    malformed."""
    found: Counter[Key] = Counter()
    reason, lines = "", [line.rstrip("\n") for line in LIST.read_text(encoding="utf-8").splitlines() if line.strip()]
    while lines:
        line = lines.pop(0)
        if line.startswith("# "):
            reason = line[2:]
            continue
        if not reason or len(lines) < 2 or not (lines[0].startswith("-") and lines[1].startswith("+")):
            raise ValueError(f"{LIST.name}: {line!r} wants a reason above it, and a line with - and one with + below.")
        path, function = line.split(" ", 1)
        old, new = lines.pop(0)[1:].strip(), lines.pop(0)[1:].strip()
        found[Key(path, function, old, new)] += 1
    return dict(found)


def run(names: list[str]) -> int:
    """mutmut on the mutants named, all where none is; its exit code."""
    # both folders have to be there before Python starts, which remembers paths that are not
    (FOLDER / "plugins").mkdir(parents=True, exist_ok=True)
    for top in ("robusteval", "plugins"):  # mutmut keeps older copies of what is no Python
        for path in (ROOT / top).rglob("*"):
            copy = FOLDER / path.relative_to(ROOT)
            if path.is_file() and path.suffix not in (".py", ".pyc") and copy.exists():
                shutil.copy2(path, copy)
    for path in (file for pattern in chosen() for file in ROOT.glob(pattern)):
        copy = FOLDER / path.relative_to(ROOT)
        if not copy.with_name(f"{copy.name}.meta").exists():  # it was not to be broken then: no one knows its tests
            copy.unlink(missing_ok=True)
            (FOLDER / "mutmut-stats.json").unlink(missing_ok=True)
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(FOLDER), str(FOLDER / "plugins"))),
        "OMP_NUM_THREADS": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # a third of what a mutant costs
    }
    log = FOLDER / "log.txt"
    with log.open("w", encoding="utf-8") as file:
        command = [str(Path(sys.executable).parent / "mutmut"), "run", "--max-children", "2", *names]
        code = subprocess.run(command, cwd=ROOT, env=env, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        print("\n".join(log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()[-40:]))
    return code


def mutants() -> list[Mutant]:
    """All mutants and what became of them."""
    from mutmut.mutation.data import SourceFileMutationData
    from mutmut.stats import status_by_exit_code
    from mutmut.utils.file_utils import walk_mutatable_files

    found = []
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        found += [Mutant(name, str(path), status_by_exit_code[code]) for name, code in data.exit_code_by_key.items()]
    return found


def forget_survivors(names: list[str]) -> None:
    """Has mutmut run again what lived, as far as it goes by one of these names; what is new it runs in any case."""
    from mutmut.mutation.data import SourceFileMutationData
    from mutmut.stats import status_by_exit_code
    from mutmut.utils.file_utils import walk_mutatable_files

    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        for name, code in data.exit_code_by_key.items():
            if status_by_exit_code[code] not in _KILLED and _goes_by(name, names):
                data.exit_code_by_key[name] = None
        if data.exit_code_by_key:
            data.save()


def described(mutant: Mutant) -> tuple[Key, str, str]:
    """Its key, why it may live ("" where nothing says so), and its diff."""
    import libcst
    from mutmut.mutation.diff_apply import get_diff_for_mutant, read_functions_from_index
    from mutmut.utils.format_utils import orig_function_and_class_names_from_key

    function, owner = orig_function_and_class_names_from_key(mutant.name)
    diff = get_diff_for_mutant(mutant.name, path=mutant.path)
    body = diff.splitlines()[2:]
    old, new = (" ".join(line[1:].strip() for line in body if line.startswith(sign)) for sign in "-+")
    key = Key(mutant.path, f"{owner}.{function}" if owner else function, old, new)
    pair = read_functions_from_index(mutant.name, mutant.path)
    return key, kind(*(libcst.Module([function]).code for function in pair)) if pair else "", diff


def compare(names: list[str]) -> int:
    """Prints the share killed by file, and every mutant that lives and is not listed; 1 where there is one, where a
    mutant that goes by one of these names, all where none is, was not asked about, or where a file that is to be broken
    is not."""
    found = mutants()
    known, used = listed(), Counter[Key]()
    table: dict[str, Counter[str]] = {}
    loose: list[tuple[Mutant, str]] = []
    for mutant in found:
        row = table.setdefault(mutant.path, Counter())
        row["all"] += 1
        if mutant.status in _KILLED:
            row["killed"] += 1
            continue
        if mutant.status == "not checked":
            row["unchecked"] += 1
            continue
        key, why, diff = described(mutant)
        if not why and used[key] < known.get(key, 0):
            used[key] += 1
            why = "listed"
        row[why or "loose"] += 1
        if not why:
            loose.append((mutant, diff))
    for mutant, diff in loose:
        print(f"{mutant.name}: {mutant.status}\n{diff}\n")
    for key, count in known.items():
        if used[key] < count and not table.get(key.path, Counter())["unchecked"]:
            print(f"Listed, but no longer alive:\n{key}\n")
    missed = [mutant.name for mutant in found if mutant.status == "not checked" and _goes_by(mutant.name, names)]
    if missed or not found:
        print(f"Not asked about: {len(missed)} mutants, such as {', '.join(missed[:5]) or 'any at all'}.\n")
    gone = [pattern for pattern in chosen() if not any(fnmatch.fnmatch(mutant.path, pattern) for mutant in found)]
    if gone:
        print(f"Named in pyproject.toml, but nothing there was broken: {', '.join(gone)}.\n")
    total: Counter[str] = Counter()
    for path, row in sorted(table.items()):
        print(_line(path, row))
        total += row
    print(_line("all", total))
    return 1 if loose or missed or gone or not found else 0


def chosen() -> list[str]:
    """The files that are to be broken, as pyproject.toml names them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return list(settings["tool"]["mutmut"]["only_mutate"])


def _goes_by(name: str, names: list[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in names or ["*"])


def _line(path: str, row: Counter[str]) -> str:
    parts = [f"{row['killed']} of {row['all']} killed ({100 * row['killed'] / max(row['all'], 1):.1f} %)"]
    parts += [
        f"{row[name]} {name}" for name in ("words", "device", "float64", "listed", "unchecked", "loose") if row[name]
    ]
    return f"{path}: {', '.join(parts)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="names of mutants, with *")
    parser.add_argument("--again", action="store_true", help="run those that lived the last time")
    parser.add_argument("--no-run", action="store_true", help="compare what is there")
    asked = parser.parse_args()
    os.chdir(ROOT)
    if not asked.no_run:
        names = asked.names
        if asked.again:
            forget_survivors(names)
            names = []
        elif not names:
            shutil.rmtree(FOLDER, ignore_errors=True)
        if code := run(names):
            return code
    return compare(asked.names)


if __name__ == "__main__":
    raise SystemExit(main())
