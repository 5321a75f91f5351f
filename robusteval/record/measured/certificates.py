"""Certificates: what was proved of some samples, and the file with the graph that it is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass
class Certificate:
    """Balls around some samples of which a certifier proved that the bare model is right in all of them. Columns go
    with `samples`; a ball is closed, and lies in the box of valid pixels."""

    certifier: str  # the plugin
    version: str
    params: dict[str, Any]
    norm: str
    status: Literal["done", "failed", "excluded", "skipped"]  # excluded: no graph, or one bound costs too much
    reason: str = ""
    samples: list[int] = field(default_factory=list)  # the first of the data, whether right when clean or not
    radius: list[float] = field(default_factory=list)  # proved, in the norm; 0: nothing was proved, or wrong when clean
    limit: float = 0.0  # largest radius that was asked about where no adversarial was known
    stopped: int = 0  # samples whose search for a larger radius the suite's limit of work ended


@dataclass
class CertificateBehind(Certificate):
    """The same of a defended model: right there in all of the ball, and not only on the bare model."""

    defense: str = ""  # name of the pipeline


@dataclass
class Proofs:
    """The file with the graph that the certificates are about."""

    file: str
    sha256: str
