"""The type stub of `robusteval.attacks`, from what our own attacks declare: editors complete parameters by it.

python -m robusteval.attacks.stub      writes __init__.pyi anew; a test holds it against the plugins
"""

from __future__ import annotations

import builtins
import dataclasses
import re
import textwrap
from pathlib import Path
from typing import Any

from robusteval.attacks.offered import class_name, document, function_name
from robusteval.engine.catalogue.catalogue import OURS, Entry, discover

PLACE = Path(__file__).with_name("__init__.pyi")
_HEAD = '''"""Written by python -m robusteval.attacks.stub: the attacks that come with robusteval, by themselves."""

from pathlib import Path
from typing import Any, Literal

from torch import nn

from robusteval.api import Classifier, LoadOptions
from robusteval.attacks.single import Adversarials as Adversarials
from robusteval.attacks.single import SingleAttack as SingleAttack

def __getattr__(name: str) -> Any: ...
'''
_COMMON = (
    "eps: Any = None",
    "target: Any = None",
    "bounds: tuple[float, float] = (0.0, 1.0)",
    "options: LoadOptions | None = None",
    "seed: int = 0",
    "device: str | None = None",
)
_KNOWN = {*dir(builtins), "Literal", "None", "Any"}


def text() -> str:
    """The whole stub."""
    rows = [row for row in discover().of("attack") if row.distribution == OURS]
    return _HEAD + "\n".join(f"{_function(row)}\n{_class(row)}" for row in rows).rstrip("\n") + "\n"


def _function(entry: Entry) -> str:
    norms = ", ".join(f'"{norm}"' for norm in entry.plugin.info.norms)
    lines = ["model: str | Path | nn.Module | Classifier", "x: Any", "y: Any", "*"]
    lines += [f"norm: Literal[{norms}] | None = None", *_COMMON, *_parameters(entry)]
    return f"def {function_name(entry)}(\n{_listed(lines)}) -> Adversarials:\n{_documented(entry)}"


def _class(entry: Entry) -> str:
    own = _parameters(entry)
    made = f"    def __init__(\n        self,\n        *,\n{_listed(own, 8)}    ) -> None: ...\n" if own else ""
    return f"class {class_name(entry)}(SingleAttack):\n{_documented(entry)}" + (f"\n{made}" if made else "")


def _listed(lines: list[str], depth: int = 4) -> str:
    return "".join(f"{' ' * depth}{line},\n" for line in lines)


def _parameters(entry: Entry) -> list[str]:
    return [
        f"{item.name}: {_type(item.type)} = {_shown(item.default)}"
        for item in dataclasses.fields(entry.plugin)
        if item.init
    ]


def _type(annotation: Any) -> str:
    """As the plugin wrote it; Any where it uses names that this file does not know."""
    said = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "Any")
    words = re.findall(r"[A-Za-z_]\w*", re.sub(r"\"[^\"]*\"|'[^']*'", "", said))
    return said.replace("'", '"') if all(word in _KNOWN for word in words) else "Any"


def _shown(default: Any) -> str:
    return repr(default).replace("'", '"') if isinstance(default, str | tuple) else repr(default)


def _documented(entry: Entry) -> str:
    folded = [part for line in document(entry).splitlines() for part in textwrap.wrap(line, 110) or [""]]
    lines = "\n".join(f"    {line}".rstrip() for line in folded)
    return f'    """{lines.lstrip()}\n    """\n'


if __name__ == "__main__":
    PLACE.write_text(text(), encoding="ascii")
