"""Mutants that are known from their text alone to change nothing that a test should look at."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator

# Where a string is a key, a code or a choice, not a sentence, whatever it holds.
_KEYS = (ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Compare, ast.Subscript, ast.Match, ast.Assign, ast.AnnAssign)
# Keywords that say where a tensor lives, which a machine with one device cannot tell.
_PLACES = frozenset({"device"})


def kind(old: str, new: str) -> str:
    """Why a mutant of a function, given as two sources, may stay alive: "words", "device", "float64", "" where it may
    not.

    words: only sentences differ, that is strings with a blank in them that are no key and are compared with nothing;
    device: only `device=` keywords differ;
    float64: only calls .astype(None) and .astype(np.float64) differ, which numpy documents to be one.
    """
    before, after = (ast.parse(textwrap.dedent(text)) for text in (old, new))
    if ast.dump(before) == ast.dump(after):
        return "words"  # docstrings and layout are no part of the tree that runs
    if _is_words(before, after):
        return "words"
    if ast.dump(_without_places(before)) == ast.dump(_without_places(after)):
        return "device"
    if ast.dump(_Float64().visit(before)) == ast.dump(_Float64().visit(after)):
        return "float64"
    return ""


def _is_words(before: ast.AST, after: ast.AST) -> bool:
    ours, theirs = list(_walk(before)), list(_walk(after))
    if len(ours) != len(theirs):
        return False
    for (node, parent), (other, _) in zip(ours, theirs, strict=True):
        if _shallow(node) == _shallow(other):
            continue
        if not (isinstance(node, ast.Constant) and isinstance(other, ast.Constant)):
            return False
        if not (isinstance(node.value, str) and isinstance(other.value, str)):
            return False
        if " " not in node.value.strip() or isinstance(parent, _KEYS):
            return False
    return True


def _walk(node: ast.AST, parent: ast.AST | None = None) -> Iterator[tuple[ast.AST, ast.AST | None]]:
    yield node, parent
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, node)


def _shallow(node: ast.AST) -> tuple[object, ...]:
    """A node without its children."""
    plain = [(name, value) for name, value in ast.iter_fields(node) if not isinstance(value, ast.AST | list)]
    sizes = [(name, len(value)) for name, value in ast.iter_fields(node) if isinstance(value, list)]
    return (type(node), *plain, *sizes)


class _Without(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        node.keywords = [keyword for keyword in node.keywords if keyword.arg not in _PLACES]
        return node


def _without_places(tree: ast.Module) -> ast.AST:
    made: ast.AST = _Without().visit(ast.parse(ast.unparse(tree)))
    return made


class _Float64(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "astype":
            node.args = [
                ast.Constant(None) if ast.unparse(argument) == "np.float64" else argument for argument in node.args
            ]
        return node
