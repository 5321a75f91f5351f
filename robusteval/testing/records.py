"""Small records with every kind of cell, for checks of metrics. Two classes, four samples, one wrong when clean."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from robusteval.record.run import Cell, Data, Knowledge, Model, Pipeline, Record, Strength, Suite

_LABELS = [0, 1, 0, 1]


def _pipeline(defense: str, kind: str) -> Pipeline:
    detector = kind == "detector"
    return Pipeline(
        defense,
        "" if defense == "none" else defense,
        "1",
        kind,
        {},
        "done",
        prediction=[0, 1, 0, 0],
        label=[0, 1, 0, 0],
        confidence=[0.9, 0.8, 0.7, 0.6],
        suspicion=[0.1, 0.2, 0.3, 0.4] if detector else [],
        threshold=0.5 if detector else None,
    )


def _cell(name: str, defense: str, knowledge: Knowledge, norm: str, threat: Literal["curve", "budget"]) -> Cell:
    return Cell(
        id=f"{name}/{defense}/{knowledge}/{norm}/{threat}",
        attack=name,
        plugin=name,
        version="1",
        params={"steps": 10},
        family="minimal",
        needs="gradient",
        defense=defense,
        knowledge=knowledge,
        norm=norm,
        threat=threat,
        eps=1.0 if threat == "budget" else None,
        status="done",
        distance=[0.5, None, 0.75, 0.0],
        l2=[0.5, None, 0.75, 0.0],
        prediction=[1, None, 1, 0],
        suspicion=[0.6, None, 0.2, 0.4] if defense == "watch" else [],
        survives_8bit=[True, None, False, True],
        forwards=[10, 10, 10, 0],
        backwards=[10, 10, 10, 0],
    )


def _strengths(cell: Cell) -> Cell:
    """An oblivious cell: judged at strengths instead of having distances."""
    grid = [
        Strength(strength, strength / 2, strength / 2, [True, False, True, True], [1, 1, 2, 0], [0.6, 0.1, 0.7, 0.4])
        for strength in (0.5, 1.0, 2.0)
    ]
    return replace(cell, strengths=grid, distance=[], l2=[], prediction=[], suspicion=[], survives_8bit=[])


def empty_record() -> Record:
    """A record of a bare model and no cells."""
    return Record(
        tool={"name": "robusteval", "version": "0"},
        command="robusteval run model.onnx",
        seed=0,
        environment={},
        model=Model("model", "model.onnx", "onnx", "0" * 64, [8], 2, [0.0, 1.0]),
        data=Data("data", "data.npz", "0" * 64, 4, list(_LABELS), [1.0, 2.0, 1.5, 0.5]),
        suite=Suite("test", "1", "0" * 64, norms=["l2", "linf"]),
        plan_sha256="0" * 64,
        pipelines=[_pipeline("none", "model")],
        cells=[],
    )


def full_record() -> Record:
    """Two attacks in two norms, one at a budget, on the bare model, a detector and a preprocessor."""
    cells = [_cell(name, "none", "none", norm, "curve") for name in ("first", "second") for norm in ("l2", "linf")]
    cells.append(_cell("capped", "none", "none", "l2", "budget"))
    for defense in ("watch", "blur"):
        cells.append(_strengths(_cell("first", defense, "oblivious", "l2", "curve")))
        cells.append(_cell("first", defense, "adaptive", "l2", "curve"))
    pipelines = [_pipeline("none", "model"), _pipeline("watch", "detector"), _pipeline("blur", "preprocessor")]
    pipelines[2].certified = [0.25, 0.0, 0.5, 0.0]
    return replace(empty_record(), pipelines=pipelines, cells=cells + failed_record().cells)


def failed_record() -> Record:
    """Nothing but cells that failed, were excluded or have not run."""
    cells = []
    for number, status in enumerate(("failed", "excluded", "pending")):
        plain = _cell(f"other-{number}", "none", "none", "l2", "curve")
        cells.append(
            Cell(
                plain.id,
                plain.attack,
                plain.plugin,
                "1",
                {},
                "minimal",
                "gradient",
                "none",
                "none",
                "l2",
                "curve",
                status=status,  # type: ignore[arg-type]
                reason="The kit says so.",
            )
        )
    return replace(empty_record(), cells=cells)
