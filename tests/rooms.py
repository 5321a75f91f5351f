"""The rooms of the house: who may import whom, and the picture of it that docs/architecture.md shows.

python -m tests.rooms      writes the picture there anew
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterator
from pathlib import Path

from tests.rooms_table import FREE, MAY_IMPORT

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: python -m tests.rooms -->", "<!-- end of rooms -->"


def room_of(name: str) -> str:
    """The room of a module, or of a name in it, by its full dotted name."""
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in MAY_IMPORT:
        parts.pop()
    return ".".join(parts)


def files() -> Iterator[tuple[str, Path]]:
    """Every file of the package with its room."""
    for path in sorted((ROOT / "robusteval").rglob("*.py")):
        yield room_of(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")), path


def order() -> list[str]:
    """The rooms, each after all that it may import. Raises graphlib.CycleError where there is a circle."""
    edges = {room: allowed - {""} for room, allowed in MAY_IMPORT.items()}
    return list(graphlib.TopologicalSorter(edges).static_order())


def _reachable(room: str) -> set[str]:
    found: set[str] = set()
    left = [room]
    while left:
        for other in MAY_IMPORT[left.pop()] - found:
            found.add(other)
            left.append(other)
    return found


def picture() -> str:
    """The table as a Mermaid flowchart, arrows that follow from others left out."""
    lines = ["```mermaid", "flowchart TD"]
    groups: dict[str, list[str]] = {}
    for room in MAY_IMPORT:
        if room and room not in FREE:
            groups.setdefault(room.split(".")[0], []).append(room)
    for group, members in groups.items():
        boxes = [f'{_id(room)}["{room.removeprefix(group + ".")}"]' for room in members]
        if len(members) == 1:
            lines.append(f"    {boxes[0]}")
            continue
        lines += [f'    subgraph {group}_group["{group}"]', *(f"        {box}" for box in boxes), "    end"]
    for room, allowed in MAY_IMPORT.items():
        if room:
            shown = {other for other in allowed if not any(other in _reachable(room) for room in allowed - {other})}
            lines += [f"    {_id(room)} --> {_id(other)}" for other in sorted(shown)]
    return "\n".join([*lines, "```"])


def _id(room: str) -> str:
    return room.strip("_").replace(".", "_").replace("__", "_")


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{picture()}\n{END}{after}", encoding="utf-8")
