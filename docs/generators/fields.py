"""The page of the record's fields: names and types from the published schema, words from comments of dataclasses."""

from __future__ import annotations

import ast
import inspect
import io
import json
import tokenize
from pathlib import Path
from typing import Any

import robusteval.record
from docs.generators.markdown import code, page, plain, table
from robusteval.record import run

SCHEMA = Path(robusteval.record.__file__).parent / "schema.json"
_TOP = "Record"


def schema() -> dict[str, dict[str, Any]]:
    """The objects of the published schema by name, the record first."""
    found: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    inside: dict[str, Any] = found["$defs"]
    return {_TOP: found} | inside


def text() -> str:
    """The page."""
    said = (
        "`record.json`, object by object. Generated from the "
        "[published schema](../../robusteval/record/schema.json); how the parts go together, and the table of columns "
        "beside it, is in [the document](../document.md)."
    )
    return page("# Fields of the record", said, *(_section(name, rules) for name, rules in schema().items()))


def _section(name: str, rules: dict[str, Any]) -> str:
    words = comments(getattr(run, name)) if hasattr(run, name) else {}
    required = rules.get("required", [])
    rows = [
        (code(field), _type(shape), "yes" if field in required else "", plain(words.get(field, "")))
        for field, shape in rules.get("properties", {}).items()
    ]
    about = plain(rules.get("description", ""))
    return page(f"## {name}", about, table(("Field", "Type", "Required", "What it is"), rows))


def _type(rules: dict[str, Any]) -> str:
    """The type of a value, in Markdown; an object of the schema is a link to it."""
    if "$ref" in rules:
        name = rules["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in rules:
        return " or ".join(_type(part) for part in rules["anyOf"])
    if "enum" in rules or "const" in rules:
        return ", ".join(code(json.dumps(value)) for value in rules.get("enum", [rules.get("const")]))
    if rules.get("type") == "array":
        return f"list of {_type(rules['items'])}" if rules.get("items") else "list"
    if rules.get("type") == "object":
        values = rules.get("additionalProperties")
        return f"object of {_type(values)}" if isinstance(values, dict) and values else "object"
    return str(rules.get("type", "anything"))


def comments(owner: type) -> dict[str, str]:
    """What the comments of a dataclass say of its fields: the one behind a field, or those right above it."""
    source = inspect.cleandoc(inspect.getsource(owner))
    said = {
        token.start[0]: (token.string.lstrip("# "), not token.line[: token.start[1]].strip())
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (body,) = (node.body for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef))
    found = {}
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            end = node.end_lineno or node.lineno
            first = node.lineno
            while said.get(first - 1, ("", False))[1]:
                first -= 1
            lines = [*range(first, node.lineno), *range(node.lineno, end + 1)]
            found[node.target.id] = " ".join(said[line][0] for line in lines if line in said)
    return found
