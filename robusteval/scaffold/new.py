"""`robusteval plugins new`: which files a new plugin has, and what is in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from robusteval.errors import PluginError

KINDS = {  # a kind of plugin has one template of that name; and the words that a reader knows it by
    "attack": "an attack",
    "defense": "a defence",
    "metric": "a metric",
    "loader": "a loader of model files",
    "dataset": "a data set",
    "certifier": "a certifier",
}
_NAME = re.compile(r"([a-z][a-z0-9_]*)\.([a-z][a-z0-9-]*)")


@dataclass(frozen=True)
class New:
    """A plugin that is to be written. name: vendor.name."""

    name: str
    kind: str

    @property
    def distribution(self) -> str:
        """acme.my-attack -> acme-my-attack; the folder has this name too."""
        return re.sub(r"[._]", "-", self.name)

    @property
    def module(self) -> str:
        """acme.my-attack -> acme_my_attack."""
        return re.sub(r"[.-]", "_", self.name)

    @property
    def class_name(self) -> str:
        """acme.my-attack -> MyAttack."""
        return "".join(word[:1].upper() + word[1:] for word in self.name.partition(".")[2].split("-"))

    def files(self) -> dict[str, str]:
        """Every file by its path below the folder."""
        rendered = {
            "pyproject.toml": "pyproject.toml",
            "README.md": "README.md",
            ".github/workflows/test.yml": "ci.yml",
            f"{self.module}.py": f"{self.kind}.py",
            f"test_{self.module}.py": f"test_{self.kind}.py",
        }
        # the templates are ours, and what is filled into them are names that `stated` has looked at
        environment = Environment(  # noqa: S701 - none of these files is HTML
            loader=PackageLoader("robusteval.scaffold"), undefined=StrictUndefined, keep_trailing_newline=True
        )
        words = {
            "name": self.name, "kind": self.kind, "a_kind": KINDS[self.kind], "distribution": self.distribution,
            "module": self.module, "class_name": self.class_name, "suffix": self.name.partition(".")[2],
        }  # fmt: skip
        return {path: environment.get_template(f"{template}.j2").render(words) for path, template in rendered.items()}


def stated(name: str, kind: str) -> New:
    """The plugin of that name. Raises PluginError for a name that no plugin may have."""
    if _NAME.fullmatch(name) is None:
        raise PluginError(
            f"{name[:80]!r} is no name for a plugin of yours.",
            "Name it vendor.name in lower case, such as acme.my-attack.",
        )
    return New(name, kind)


def lay_out(new: New, parent: Path) -> Path:
    """Writes the distribution into a folder of its name below `parent`, and returns that folder. Raises PluginError
    where it is there already: nothing is written over."""
    folder = parent / new.distribution
    try:
        folder.mkdir(parents=True)
        for path, content in new.files().items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
    except FileExistsError:
        raise PluginError(f"There is a folder {folder} already.", "Choose another name, or another --into.") from None
    except OSError as error:
        raise PluginError(f"{folder} cannot be written: {error.strerror or error}.", "Choose another --into.") from None
    return folder
