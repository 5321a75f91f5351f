"""Suites that a plugin brings: TOML texts by name, and what the catalogue keeps of each."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from robusteval.errors import SuiteError

MAX_LETTERS = 1_000_000  # of a suite
MAX_DEPTH = 32  # of its tables and lists
FILE = ".toml"  # how the name of a suite's file ends, and the name of no suite: `--suite` takes either


@dataclass(frozen=True)
class SuiteInfo:
    """What a suite says of itself."""

    name: str
    version: str
    summary: str


@dataclass(frozen=True)
class SuiteText:
    """A suite as a plugin offers it: whether it fits the installed plugins is found out when it is read."""

    info: SuiteInfo
    text: str


def suites_in(package: str, folder: str = "suites") -> dict[str, str]:
    """The TOML texts of the files *.toml in a folder of an installed package, by name: what `robusteval_suites`
    returns.

    Raises OSError and UnicodeDecodeError for files that cannot be read as UTF-8.
    """
    files = sorted(resources.files(package).joinpath(folder).iterdir(), key=lambda file: file.name)
    return {file.name.removesuffix(FILE): file.read_text("utf-8") for file in files if file.name.endswith(FILE)}


def toml(text: str) -> dict[str, Any]:
    """The tables of a suite's text, of a bounded length and depth. Raises SuiteError with the reason."""
    if len(text) > MAX_LETTERS:
        raise SuiteError(f"it has {len(text):,} characters, more than the limit of {MAX_LETTERS:,}")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"it is not valid TOML: {error}") from None
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else "a number has too many digits"
        raise SuiteError(f"it is not valid TOML: {why}") from None
    level: list[Any] = [data]
    for _ in range(MAX_DEPTH):
        level = [part for outer in level for part in _parts(outer)]
        if not level:
            return data
    raise SuiteError(f"it is nested more than {MAX_DEPTH} deep")  # by dotted names: no reader's own limit stops those


def _parts(value: Any) -> list[Any]:
    """What is directly inside a table or list."""
    return [*value.values()] if isinstance(value, dict) else [*value] if isinstance(value, list) else []


def offered(name: str, text: object) -> SuiteText:
    """The suite that a plugin offers under that name. Raises SuiteError with the reason why it is none."""
    if not isinstance(text, str):
        raise SuiteError(f"its text is of type {type(text).__name__}, and no string of TOML")
    if name.endswith(FILE):
        raise SuiteError(f"the name of a suite does not end in {FILE}, as --suite would take it for a file")
    data = toml(text)
    if data.get("name") != name:
        raise SuiteError(f"it is offered as {name!r}, and its own name is {data.get('name')!r}")
    version, summary = data.get("version"), data.get("summary", "")
    if not isinstance(version, str) or not isinstance(summary, str):
        raise SuiteError("its version is no string, or its summary is none")
    return SuiteText(SuiteInfo(name, version, summary), text)
