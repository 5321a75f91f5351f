"""Nothing that a command prints gets by the gate: in the code, on the screen, and from every place that text comes
from."""

from __future__ import annotations

import ast
import io
import sys
from pathlib import Path

import click
import pytest

from robusteval import cli
from robusteval.cli.progress import Display
from robusteval.cli.tables import Screen, table
from robusteval.engine.schedule.schedule import Progress
from robusteval.verify import alone
from tests.hostile_text import EVIL, HALF, MOST, clean

FOLDER = Path(cli.__file__).parent
# Who writes to a terminal, and in which functions: these are the gate.
GATES = {
    "__init__.py": {"say", "say_block", "say_json", "refuse", "say_bug", "_misused"},
    "tables.py": {"say", "show"},
    "progress.py": {"say"},
}
WRITES = {"echo", "secho", "print", "write", "writelines", "log", "rule", "input", "pager", "echo_via_pager"}


def bypasses(path: Path, source: str) -> list[str]:
    """Places that write to a terminal outside of the gate."""
    gates = GATES.get(path.name, set())
    found = []

    def look(node: ast.AST, within: str) -> None:
        if isinstance(node, ast.FunctionDef):
            within = node.name
        if isinstance(node, ast.Call):
            named = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if named in WRITES and within not in gates:
                found.append(f"{path.name}:{node.lineno} {ast.unparse(node)[:80]}")
        if isinstance(node, ast.ImportFrom) and node.module == "rich.markup":
            found.append(f"{path.name}:{node.lineno} rich's markup")
        for child in ast.iter_child_nodes(node):
            look(child, within)

    look(ast.parse(source), "")
    return found


def test_no_command_writes_by_itself() -> None:
    files = sorted(FOLDER.rglob("*.py"))
    assert len(files) > 10
    wrong = [place for path in files for place in bypasses(path, path.read_text(encoding="utf-8"))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "code",
    ["click.echo(name)", "print(name)", "console().print(name)", "sys.stdout.write(name)", "def f():\n    secho(x)"],
)
def test_the_test_above_can_fail(code: str) -> None:
    assert bypasses(Path("run_command.py"), code)


def printed(kind: str, medium: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What one medium makes of text of one kind."""
    evil = EVIL.get(kind, HALF)
    buffer = io.StringIO()
    if medium == "say":
        cli.say(evil)
        cli.say(evil, err=True)
    elif medium == "say_block":
        cli.say_block(evil)
    elif medium == "say_json":
        cli.say_json({evil: [evil]})
    elif medium == "refuse":
        assert cli.refuse(evil, evil) == 2
    elif medium == "bug":
        try:
            raise RuntimeError(evil)
        except RuntimeError:
            cli.say_bug()
    elif medium == "misused":
        assert cli._misused(click.UsageError(evil)) == 2
    elif medium == "screen":
        Screen(file=buffer, width=110, highlight=False).say(evil, bold=evil[:500])
    elif medium == "table":
        listed = table(evil, "plain", f">{evil}")
        listed.add_row(evil, "x")
        Screen(file=buffer, width=110, highlight=False).print(listed)
    elif medium == "progress":
        Display(buffer, plain=True).update(Progress(1, 2, evil, evil))
        Display(buffer, plain=True).say(evil)
    read = capsys.readouterr()
    return buffer.getvalue() + read.out + read.err


@pytest.mark.parametrize("kind", [*EVIL, "half"])
@pytest.mark.parametrize(
    "medium", ["say", "say_block", "say_json", "refuse", "bug", "misused", "screen", "table", "progress"]
)
def test_every_medium_is_gated(medium: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    if medium == "say_json" and kind.startswith("long"):
        pytest.skip("a machine-readable answer is complete")
    said = printed(kind, medium, capsys)
    assert clean(said)
    assert len(said) < (400_000 if medium in ("say_block", "bug") else 6 * MOST)
    lines = said.splitlines()
    assert not any(line.startswith("Trust grade") for line in lines if medium not in ("say_block", "bug"))
    if kind == "markup":
        assert "[bold red]net[/]" in said.replace("\n", "")
        assert ":warning:" in said.replace("\n", "")


def test_the_words_of_a_user_are_gated(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (
        ["run", EVIL["esc"]],
        ["run", "--no-such\x1b[2J"],
        [EVIL["osc"]],
        ["report", EVIL["newline"]],
        ["verify", EVIL["bidi"]],
        ["verify", "n" * 5000],
        ["report", "run-\udcff"],
    ):
        monkeypatch.setattr(sys, "argv", ["robusteval", *words])
        assert cli.obey() == 2, words
        said = capsys.readouterr().err
        assert clean(said)
        assert "Traceback" not in said
        assert "Error" in said


def test_verify_where_click_is_not_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert alone.main([EVIL["esc"]]) == 2
    assert clean(capsys.readouterr().err)
