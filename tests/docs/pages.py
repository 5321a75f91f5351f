"""The pages of docs/plugins: their examples as modules, and all of them together as one installed distribution."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "docs" / "write-a-plugin.md"
FOLDER = ROOT / "docs" / "plugins"
CORE = "check"  # the page whose example is a part of the core, as checks are no plugins


@dataclass(frozen=True)
class Page:
    """One page: an example in one ```python block, its test in another, and the lines of pyproject.toml."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def blocks(self, language: str) -> list[str]:
        """The fenced blocks of a language, in order."""
        return re.findall(rf"^```{language}\n(.*?)^```$", self.text, re.DOTALL | re.MULTILINE)

    def files(self) -> dict[str, str]:
        """Both python blocks by the file that the first line of each names: the example, then its test."""
        named = {}
        for block in self.blocks("python"):
            name = re.match(r"# (\S+\.py)\n", block)
            assert name is not None, f"{self.path.name}: a block does not begin with the name of its file"
            named[name[1]] = block
        assert len(named) == 2, f"{self.path.name} has the blocks {list(named)}"
        return named

    def entry_point(self) -> tuple[str, str]:
        """(name, module) as the page's toml says."""
        (toml,) = self.blocks("toml")
        found = re.fullmatch(r'\[project\.entry-points\.robusteval\]\n([\w-]+) = "(\w+)"\n', toml)
        assert found is not None, f"{self.path.name}: no single entry point"
        return found[1], found[2]


PAGES = {path.stem: Page(path) for path in sorted(FOLDER.glob("*.md"))}


def install(folder: Path) -> None:
    """Writes the examples of all plugins and their tests into a folder, with the metadata of a distribution "acme"."""
    points = []
    for name, page in PAGES.items():
        if name != CORE:
            points.append(" = ".join(page.entry_point()))
            for file, code in page.files().items():
                (folder / file).write_text(code, encoding="utf-8")
    info = folder / "acme-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("\n".join(["[robusteval]", *points, ""]), encoding="utf-8")


def imported(code: str) -> Iterator[str]:
    """The modules that a piece of code imports from."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
