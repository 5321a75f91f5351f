"""What a metric is: a pure function of the record, without torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from robusteval.record.run import Record, Result


@dataclass(frozen=True)
class MetricInfo:
    """What a metric computes, and whose definition it follows."""

    name: str
    version: str
    summary: str
    reference: str


@runtime_checkable
class Metric(Protocol):
    """A pure function of the record."""

    info: ClassVar[MetricInfo]

    def compute(self, record: Record) -> Iterable[Result]: ...
