"""Links of pages: within the site as they stand, to other files of the repository where those are published."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
# files of the repository that are pages of the site too, beside all of docs/
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security-policy.md",
    "CHANGELOG.md": "project/changelog.md",
    "adapters/README.md": "project/adapters.md",
    "benchmarks/README.md": "project/benchmarks.md",
    "examples/README.md": "project/examples.md",
}
_PICTURES = (".png", ".svg")
_FENCE = re.compile(r"(^```.*?^```[^\n]*$|^(?: {4}|\t)[^\n]*$)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(!?)\[([^\[\]]*)\]\(([^()\s]+)\)")


class Link(NamedTuple):
    """A link to a file of the repository: path from its root, and the heading there, which may be empty."""

    path: str
    heading: str


def sources() -> list[str]:
    """Paths, from the repository's root, of all files of people that are pages."""
    return [*sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")), *ELSEWHERE]


def on_the_site(path: str) -> str | None:
    """Where a file of the repository lies on the site; None where it does not."""
    if path in ELSEWHERE:
        return ELSEWHERE[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"pictures/{path}" if path.endswith(_PICTURES) else None


def followed(page: str, target: str) -> Link | None:
    """What a link on the page (a path from the root) leads to; None where it leads out of the repository."""
    if re.match(r"[a-z]+:", target):
        return None
    path, _, heading = target.partition("#")
    return Link(posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page, heading)


def links(page: str) -> Iterator[Link]:
    """Every link of a file to a file of the repository."""
    for part in _FENCE.split((ROOT / page).read_text(encoding="utf-8"))[::2]:
        for _, _, target in _LINK.findall(part):
            if (link := followed(page, target)) is not None:
                yield link


def headings(text: str) -> set[str]:
    """The anchors that a page's headings have, on the site and where the repository is looked at."""
    prose = "".join(_FENCE.split(text)[::2])
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


def rewritten(text: str, page: str, repository: str) -> str:
    """The text of a page of the repository as it stands on the site. repository: address of the published one; without
    it what is not on the site is named, and no link."""
    here = posixpath.dirname(on_the_site(page) or page)
    return _outside_code(text, lambda part: _LINK.sub(lambda found: _moved(found, page, here, repository), part))


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    return "".join(part if place % 2 else change(part) for place, part in enumerate(_FENCE.split(text)))


def _moved(found: re.Match[str], page: str, here: str, repository: str) -> str:
    mark, words, target = found.groups()
    link = followed(page, target)
    if link is None or target.startswith("#"):
        return found[0]
    there = on_the_site(link.path)
    if there is not None:
        where = posixpath.relpath(there, here or ".")
    elif repository:
        kind = "tree" if (ROOT / link.path).is_dir() else "blob"
        where = f"{repository.rstrip('/')}/{kind}/main/{link.path}"
    else:
        return str(words)
    return f"{mark}[{words}]({where}{'#' + link.heading if link.heading else ''})"
