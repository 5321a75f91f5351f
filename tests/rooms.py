"""The rooms of the house: who may import whom, and the picture of it that docs/architecture.md shows.

python -m tests.rooms      writes the picture there anew
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: python -m tests.rooms -->", "<!-- end of rooms -->"

# A room is a folder with its files, or a file directly in `robusteval`; "" is robusteval/__init__.py itself. The
# deepest room that holds a file is the file's. Everybody may import `errors`, `hooks`, `foreign`, `renamed`, `text`,
# `plain`, `cage` and `cache`, which import nothing but each other, and "" (the version).
MAY_IMPORT: dict[str, set[str]] = {
    "text": set(),
    "plain": set(),
    "errors": set(),
    "hooks": set(),
    "foreign": set(),
    "renamed": set(),
    "cage": set(),
    "cache": set(),
    "ops": set(),
    "data": set(),
    "record": {"record.measured"},
    "record.measured": set(),
    "contracts": {"contracts.executors", "ops", "record"},
    "contracts.executors": set(),  # where units are made
    "api": {
        "contracts",
        "contracts.executors",
        "engine.catalogue",
        "metrics._common",
        "ops",
        "record",
    },  # the catalogue: load_model, on its first call only
    "runtime": set(),
    "metrics": {"metrics._common", "record", "record.measured"},
    "metrics._common": {"record", "record.measured"},
    "assessment": {
        "assessment.checks",
        "assessment.evidence",
        "assessment.gates",
        "assessment.references",
        "metrics._common",
        "record",
    },
    "assessment.checks": {"assessment.evidence", "record"},
    "assessment.evidence": {"metrics._common", "record", "record.measured"},
    "assessment.gates": {"assessment.evidence", "metrics._common", "record"},
    "assessment.references": {"record"},
    # report: the page is rendered again where its packages are installed
    "verify": {"assessment.references", "record", "runtime", "verify.parts", "verify.statements"},
    "verify.parts": {
        "assessment",
        "assessment.checks",
        "assessment.evidence",
        "assessment.references",
        "metrics",
        "record",
        "record.measured",
        "report",
        "report.formats",
        "runtime",
    },
    "verify.statements": {"record", "runtime", "verify.parts"},
    "engine": {"contracts", "ops"},  # settings, seeds, threads
    "engine.catalogue": {"contracts", "engine"},
    "engine.data": {"contracts", "engine"},
    "engine.search": {"contracts", "ops"},
    "engine.suite": {"assessment.evidence", "assessment.gates", "contracts", "engine", "engine.catalogue", "ops"},
    "engine.plan": {
        "assessment.evidence",
        "contracts",
        "contracts.executors",
        "engine",
        "engine.catalogue",
        "engine.search",
        "engine.suite",
        "record",
    },
    "engine.fit": {"contracts", "engine", "engine.catalogue", "engine.data", "engine.search", "engine.suite", "record"},
    "engine.units": {"contracts", "engine", "engine.plan", "engine.search", "engine.suite", "ops", "record"},
    "engine.preflight": {
        "assessment",
        "assessment.checks",
        "contracts",
        "engine",
        "engine.data",
        "metrics._common",
        "record",
    },
    "engine.selftest": {
        "assessment.evidence",
        "contracts",
        "engine",
        "engine.catalogue",
        "engine.search",
        "engine.suite",
        "ops",
        "record",
    },
    "engine.references": {
        "assessment.evidence",
        "assessment.references",
        "contracts",
        "engine",
        "engine.catalogue",
        "engine.plan",
        "engine.suite",
        "record",
    },
    "engine.schedule": {
        "contracts",
        "contracts.executors",
        "engine",
        "engine.catalogue",
        "engine.fit",
        "engine.plan",
        "engine.search",
        "engine.selftest",
        "engine.suite",
        "engine.units",
        "ops",
        "record",
    },
    "engine.run": {
        "assessment",
        "assessment.checks",
        "assessment.evidence",
        "contracts",
        "contracts.executors",
        "engine",
        "engine.catalogue",
        "engine.data",
        "engine.fit",
        "engine.plan",
        "engine.preflight",
        "engine.references",
        "engine.schedule",
        "engine.search",
        "engine.selftest",
        "engine.suite",
        "engine.units",
        "ops",
        "record",
        "record.measured",
    },
    "engine.comparison": {
        "assessment.references",
        "contracts",
        "engine",
        "engine.catalogue",
        "engine.plan",
        "engine.search",
        "engine.suite",
        "ops",
        "record",
    },
    "loaders": {"contracts", "runtime"},
    "loaders.onnx": {"contracts", "loaders", "runtime"},
    "loaders.pytorch": {"contracts", "loaders"},
    "report": {"record", "report.charts", "report.formats", "report.sections"},
    "report.sections": {"record", "record.measured", "report.charts", "report.formats"},
    "report.charts": {"record", "report.formats"},
    "report.formats": {"record"},
    "testing": {"contracts", "contracts.executors", "ops", "record"},
    "given": {"contracts", "engine", "engine.catalogue", "engine.data", "engine.run", "loaders.pytorch"},
    "evaluation": {
        "contracts",
        "engine.catalogue",
        "engine.comparison",
        "engine.run",
        "given",
        "record",
        "report",
    },
    # finished runs: what is said, written and shown of them later
    "finished": {
        "assessment.evidence",
        "assessment.gates",
        "metrics",
        "metrics._common",
        "record",
        "record.measured",
        "verify.parts",
    },
    "finished.standards": {"finished", "record"},
    "finished.exports": {"finished", "finished.standards", "record", "report"},
    "finished.paired": {
        "finished",
        "metrics",
        "metrics._common",
        "record",
        "report.charts",
        "report.formats",
    },
    "cli": {
        "assessment",
        "assessment.evidence",
        "assessment.gates",
        "contracts",
        "engine",
        "engine.catalogue",
        "engine.comparison",
        "engine.data",
        "engine.fit",
        "engine.plan",
        "engine.preflight",
        "engine.references",
        "engine.run",
        "engine.schedule",
        "engine.suite",
        "finished",
        "finished.exports",
        "finished.paired",
        "record",
        "report",
        "verify",
        "verify.statements",
    },
    "__main__": {"cli"},
    "": {"evaluation", "record"},
}
FREE = {
    "errors",
    "hooks",
    "foreign",
    "renamed",
    "text",
    "plain",
    "cage",
    "cache",
    "",
}  # "": robusteval.__version__; its functions are loaded on their first call


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
