"""Who may import whom. The table in tests/rooms_table.py is the whole rule: there is no list of exceptions."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rooms import BEGIN, END, PAGE, ROOT, files, order, picture, room_of
from tests.rooms_table import FREE, MAY_IMPORT

PLUGINS = sorted(path.parent.name for path in (ROOT / "plugins").glob("robusteval_*/__init__.py"))
ONE_PLUGIN = ("robusteval_published_claims",)  # the package is one plugin; of the others every module is one
TORCH_FREE = (
    *("record", "report", "metrics", "assessment", "verify", "runtime", "finished"),
    *("errors", "hooks", "foreign", "renamed", "text", "plain", "cage"),
)


def rooms() -> dict[str, list[Path]]:
    """The files of each room."""
    found: dict[str, list[Path]] = {}
    for room, path in files():
        found.setdefault(room, []).append(path)
    return found


def _under(top: str) -> list[Path]:
    """The files of a room and of the rooms within."""
    return [path for room, path in files() if room.split(".")[0] == top]


def imported(path: Path) -> Iterator[str]:
    """Full names of all that a file imports, at its top or inside functions; relative imports are resolved."""
    package = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level]) + "." if node.level else ""
            yield from (f"{start}{node.module or ''}.{alias.name}".replace("..", ".") for alias in node.names)


def test_every_room_is_in_the_table() -> None:
    assert set(rooms()) | {"data"} == set(MAY_IMPORT)  # data holds no code
    assert all("cli" not in allowed for room, allowed in MAY_IMPORT.items() if room != "__main__")
    folders = {path.parent for _, path in files()}
    inside = {"robusteval.loaders.onnx.reading", "robusteval.loaders.onnx.gradients", "robusteval.loaders.onnx.twin"}
    inside |= {"robusteval.data.references", "robusteval.cli.finished", "robusteval.cli.first_run"}
    inside |= {"robusteval.loaders.onnx.certified", "robusteval.loaders.pytorch.certified"}
    inside |= {"robusteval.testing.certificates"}
    named = {".".join(folder.relative_to(ROOT).parts) for folder in folders} - inside
    assert {name.removeprefix("robusteval").lstrip(".") for name in named} <= set(MAY_IMPORT), "a folder without a row"


def test_there_is_no_circle() -> None:
    assert set(order()) >= set(MAY_IMPORT) - {""}


@pytest.mark.parametrize("room", sorted(set(MAY_IMPORT) - {"data"}))
def test_rooms_import_only_what_they_may(room: str) -> None:
    wrong = []
    used = set()
    for path in rooms()[room]:
        for name in imported(path):
            if name.split(".")[0] == "robusteval":
                other = room_of(name)
                used.add(other)
                if other != room and other not in MAY_IMPORT[room] | FREE:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
            if name.split(".")[0] in PLUGINS:
                wrong.append(f"{path.relative_to(ROOT)} imports the plugin {name}: built-ins have no private path")
    assert not wrong, "\n".join(wrong)
    assert MAY_IMPORT[room] <= used, f"allowed, and never used: {MAY_IMPORT[room] - used}"


def test_the_picture_on_the_page_is_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"{BEGIN}\n{picture()}\n{END}" in page, "python -m tests.rooms writes it anew"


FOLDERS_BY_KIND = {"twin": "one file a family of operators"}


def test_no_folder_of_the_core_holds_more_than_fifteen_files_and_no_file_more_than_300_lines() -> None:
    folders: dict[Path, int] = {}
    for _, path in files():
        folders[path.parent] = folders.get(path.parent, 0) + 1
    full = {str(folder.relative_to(ROOT)): n for folder, n in folders.items() if n > 15}
    assert {name for name in full if Path(name).name not in FOLDERS_BY_KIND} == set(), full
    everything = [p for top in ("robusteval", "plugins", "tests", "benchmarks") for p in (ROOT / top).rglob("*.py")]
    long = {str(path.relative_to(ROOT)): n for path in everything if (n := len(path.read_text().splitlines())) > 300}
    assert not long, long


def test_every_package_of_plugins_is_known() -> None:
    assert PLUGINS == [
        "robusteval_attacks",
        "robusteval_certifiers",
        "robusteval_defenses",
        "robusteval_executors",
        "robusteval_published_claims",
    ]


@pytest.mark.parametrize("package", PLUGINS)
def test_plugins_import_the_api_and_never_each_other(package: str) -> None:
    """A plugin sees robusteval.api, and of its own package private helpers (`_name`) and, where it is a folder, its
    parts."""
    wrong = []
    for path in sorted((ROOT / "plugins" / package).rglob("*.py")):
        for name in imported(path):
            first, *rest = name.split(".")
            api = name.startswith("robusteval.api.")
            own = path.parent.name if path.parent.name != package else "_"
            own_part = bool(rest) and (rest[0].startswith("_") or rest[0] == own or package in ONE_PLUGIN)
            if first.startswith("robusteval") and not (api or (first == package and own_part)):
                wrong.append(f"{path.name} imports {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", TORCH_FREE)
def test_these_rooms_never_import_torch(room: str) -> None:
    heavy = [f"{path.name}: {name}" for path in _under(room) for name in imported(path) if name.startswith("torch")]
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
        for path in _under(room)
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
    folders = ("robusteval", "plugins", "tests", "benchmarks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 50
    wrong = [str(path.relative_to(ROOT)) for path in files if not path.read_bytes().isascii()]
    assert not wrong


def test_the_reader_of_imports_reads() -> None:
    """It sees those inside functions, and knows rooms from names."""
    package = ROOT / "robusteval" / "metrics" / "accuracy_curve.py"
    assert "robusteval.record.run.Record" in set(imported(package))
    assert room_of("robusteval.engine.plan.plan.Plan") == "engine.plan"
    assert room_of("robusteval.engine.settings.check_settings") == "engine"
    assert room_of("robusteval.loaders.onnx.twin.node.Node") == "loaders.onnx"
    assert room_of("robusteval.__version__") == ""
    inside = ROOT / "robusteval" / "__init__.py"
    assert any(name.startswith("robusteval.evaluation") for name in imported(inside)), "lazy imports are not seen"


FACTORIES = {
    *(
        "arange",
        "as_tensor",
        "empty",
        "eye",
        "full",
        "linspace",
        "logspace",
        "ones",
        "rand",
        "randint",
        "randn",
        "randperm",
    ),
    *("scalar_tensor", "tensor", "tril_indices", "triu_indices", "zeros"),
}


@pytest.mark.parametrize("folder", ["robusteval", "plugins"])
def test_every_tensor_is_made_on_a_device_that_is_named(folder: str) -> None:
    """A tensor that is made where nobody said is on the processor: on a GPU it meets others, and the cell fails."""
    silent = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (
                isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in FACTORIES
            ):
                continue
            if ast.unparse(call.func.value) == "torch" and not {"device", None} & {k.arg for k in call.keywords}:
                silent.append(f"{path.relative_to(ROOT)}:{call.lineno} {ast.unparse(call)[:80]}")
    assert not silent, "\n".join(silent)


def _bound(node: ast.AST) -> list[str]:
    """The variables of a loop, a comprehension or a lambda."""
    if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
        return [part.id for part in ast.walk(node.target) if isinstance(part, ast.Name)]
    return (
        [part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg)] if isinstance(node, ast.Lambda) else []
    )


def test_variables_of_loops_say_what_they_hold() -> None:
    vague = [
        f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        for top in ("robusteval", "plugins", "benchmarks", "tests", "examples")
        for path in sorted((ROOT / top).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if "one" in _bound(node)
    ]
    assert vague == [], "call it by what it is: for pipeline in record.pipelines"
