"""What follows the budget slider: for each norm its stops, and for each figure on the page its text at every stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from robusteval.assessment.answers.figures import Share
from robusteval.assessment.answers.sweep import sweep
from robusteval.record.run import Record
from robusteval.report.charts import pieces
from robusteval.report.formats.numbers import MISSING, budget, interval, norm_title, percent

MOST_CLASSES = 100  # that follow the slider; a table of more classes keeps the budget that is quoted first


@dataclass(frozen=True)
class Budgets:
    """One norm. stops: values in the norm; texts: as they are written; start: the stop that is quoted first; live: by
    the key of a figure its text and what stands below it at every stop."""

    norm: str
    stops: Sequence[float]
    texts: Sequence[str]
    start: int
    live: dict[str, list[list[Any]]] = field(default_factory=dict)

    @property
    def now(self) -> str:
        """The budget that the page shows before anybody moves the slider."""
        return self.texts[self.start]

    def data(self) -> dict[str, Any]:
        """For the page's script."""
        return {"stops": list(self.stops), "texts": list(self.texts), "start": self.start, "live": self.live}


def attack_key(record: Record, cell: str) -> str:
    """The key of an attack's figure, whatever its id is."""
    return f"a{next(index for index, row in enumerate(record.cells) if row.id == cell)}"


def class_key(index: object) -> str:
    return f"c{index}"


def budgets(record: Record, norm: str) -> Budgets | None:
    """None where no figure is quoted in this norm."""
    found = sweep(record, norm, _classes(record, norm))
    if found is None:
        return None
    texts = [budget(eps, norm, pieces.width(record)) for eps in found.stops]
    name = norm_title(norm)
    live: dict[str, list[list[Any]]] = {
        "worst": [[*_texts(share), round(share.value, 4)] for share in found.worst],
        "lost": [[_lost(record, share)] for share in found.worst],
        "label": [[f"Accuracy under attack, {name} \u2264 {text}"] for text in texts],
        "head": [[f"Accuracy at {name} \u2264 {text}"] for text in texts],
    }
    live |= {attack_key(record, cell): [_texts(share) for share in row] for cell, row in found.attacks.items()}
    live |= {class_key(index): [[percent(share)] for share in row] for index, row in found.classes.items()}
    return Budgets(norm, found.stops, texts, found.start, live)


def _classes(record: Record, norm: str) -> list[int]:
    """The classes of the bare model's table in this norm."""
    tags = {"norm": norm, "defense": "none"}
    tables = [table for table in pieces.of_kind(record, "per-class", "table", tags) if "per-class/" in table.name]
    rows = pieces.named_rows(tables[0]) if tables else []
    return [index for row in rows[:MOST_CLASSES] if isinstance(index := row.get("class"), int)]


def _texts(share: Share | None) -> list[Any]:
    return [MISSING, ""] if share is None else [percent(share.value), interval(share.low, share.high)]


def _lost(record: Record, share: Share) -> str:
    left = round(share.value * record.data.samples)
    return f"{left:,} of {record.data.samples:,} images are still right"
