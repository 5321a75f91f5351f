"""Who may import whom. The table is the whole rule: there is no list of exceptions."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A room is a package or module directly under `robusteval`; "" is robusteval/__init__.py itself.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "hooks": set(),
    "foreign": set(),
    "ops": set(),
    "record": {"errors"},
    "contracts": {"ops", "errors", "record", "hooks", "foreign"},
    "api": {
        "contracts",
        "ops",
        "errors",
        "record",
        "hooks",
        "metrics",
        "engine",
    },  # engine: load_model, on its first call only
    "runtime": {"errors"},
    "assessment": {"record", "metrics", "foreign"},
    # report: the page is rendered again where its packages are installed; "": the version
    "verify": {"record", "errors", "runtime", "assessment", "metrics", "report", ""},
    "engine": {"contracts", "record", "ops", "errors", "hooks", "assessment", "foreign", ""},
    "loaders": {"contracts", "errors", "ops", "hooks", "runtime"},
    "metrics": {"record", "hooks"},
    "report": {"record", "errors"},
    "testing": {"contracts", "ops", "record", "errors"},
    "given": {"engine", "loaders", "contracts", "errors"},
    "evaluation": {"given", "engine", "loaders", "contracts", "report", "record", "errors", "foreign"},
    "cli": {"engine", "assessment", "verify", "report", "record", "errors", "contracts", "foreign", ""},
    "__main__": {"cli"},
    "data": set(),
    "": {"evaluation"},
}
PLUGINS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py"))
ONE_PLUGIN = ("robusteval_published_claims",)  # the package is one plugin; of the others every module is one
TORCH_FREE = ("record", "report", "metrics", "assessment", "verify", "runtime", "errors", "hooks", "foreign")


def rooms() -> dict[str, list[Path]]:
    """The files of each room."""
    found: dict[str, list[Path]] = {}
    for path in sorted((ROOT / "robusteval").rglob("*.py")):
        first = path.relative_to(ROOT / "robusteval").parts[0]
        found.setdefault("" if first == "__init__.py" else first.removesuffix(".py"), []).append(path)
    return found


def imported(path: Path) -> Iterator[str]:
    """Full names of all that a file imports, at its top or inside functions; relative imports are resolved."""
    package = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level]) + "." if node.level else ""
            yield from (f"{start}{node.module or ''}.{alias.name}".replace("..", ".") for alias in node.names)


def room_of(name: str, known: set[str]) -> str:
    """The room that a name under `robusteval` lives in; names of robusteval/__init__.py itself are in room ""."""
    first = name.split(".")[1] if "." in name else ""
    return first if first in known else ""


def test_every_room_is_in_the_table() -> None:
    assert set(rooms()) == set(MAY_IMPORT)
    assert all("cli" not in allowed for room, allowed in MAY_IMPORT.items() if room != "__main__")


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_rooms_import_only_what_they_may(room: str) -> None:
    wrong = []
    for path in rooms()[room]:
        for name in imported(path):
            if name.split(".")[0] == "robusteval":
                other = room_of(name, set(MAY_IMPORT))
                if other != room and other not in MAY_IMPORT[room]:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
            if name.split(".")[0] in PLUGINS:
                wrong.append(f"{path.relative_to(ROOT)} imports the plugin {name}: built-ins have no private path")
    assert not wrong, "\n".join(wrong)


def test_every_package_of_plugins_is_known() -> None:
    assert PLUGINS == ["robusteval_attacks", "robusteval_defenses", "robusteval_published_claims"]


@pytest.mark.parametrize("package", PLUGINS)
def test_plugins_import_the_api_and_never_each_other(package: str) -> None:
    """A plugin sees robusteval.api, and of its own package private helpers (`_name`), or all where the package is one plugin."""
    wrong = []
    for path in sorted((ROOT / "plugins" / package).glob("*.py")):
        for name in imported(path):
            first, *rest = name.split(".")
            api = name.startswith("robusteval.api.")
            own = first == package and bool(rest) and (rest[0].startswith("_") or package in ONE_PLUGIN)
            if first.startswith("robusteval") and not (api or own):
                wrong.append(f"{path.name} imports {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", TORCH_FREE)
def test_these_rooms_never_import_torch(room: str) -> None:
    heavy = [f"{path.name}: {name}" for path in rooms()[room] for name in imported(path) if name.startswith("torch")]
    assert not heavy


@pytest.mark.parametrize(
    "modules",
    ["robusteval", "robusteval.report, robusteval.record.store, robusteval.metrics", "robusteval.cli"],
)
def test_torch_stays_out_of_what_must_be_light(modules: str) -> None:
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    assert _python(code) == "False"


def test_no_metric_or_report_module_brings_torch_in() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for room in ("metrics", "report", "record")
        for path in rooms()[room]
    ]
    assert len(names) > 5
    assert _python(f"import sys, {', '.join(names)}; print('torch' in sys.modules)") == "False"


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_api_leaves_the_engine_alone_until_a_model_is_loaded() -> None:
    code = "import sys, robusteval.api; print(any(name.startswith('robusteval.engine') for name in sys.modules))"
    assert _python(code) == "False"


def test_code_is_ascii() -> None:
    folders = ("robusteval", "plugins", "tests", "benchmarks", "scripts")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 50
    wrong = [str(path.relative_to(ROOT)) for path in files if not path.read_bytes().isascii()]
    assert not wrong


def test_the_reader_of_imports_reads() -> None:
    """It sees those inside functions, and knows rooms from names."""
    package = ROOT / "robusteval" / "metrics" / "accuracy_curve.py"
    assert "robusteval.record.run.Record" in set(imported(package))
    known = set(MAY_IMPORT)
    assert room_of("robusteval.engine.plan.plan.Plan", known) == "engine"
    assert room_of("robusteval.__version__", known) == ""
    inside = ROOT / "robusteval" / "__init__.py"
    assert any(name.startswith("robusteval.evaluation") for name in imported(inside)), "lazy imports are not seen"
