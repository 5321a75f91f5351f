"""The tables of targeted runs and of the sources' figures, on records worked out by hand."""

from __future__ import annotations

import pytest

from robusteval.metrics.sources import Sources
from robusteval.metrics.targets import Targets
from robusteval.record.document import Cell
from tests import records


def bare(record) -> list[Cell]:
    return [cell for cell in record.done(knowledge="none", defense="none") if cell.norm == "l2"]


def test_each_pair_of_classes_has_its_share_and_median() -> None:
    record = records.make()
    (cell, *_) = bare(record)
    count, classes = record.data.samples, record.model.classes
    cell.distance = [1.0] * count
    cell.by_target = [
        [0.0 if goal == label else float(goal) if goal != 9 else None for goal in range(classes)]
        for label in record.data.labels
    ]
    (table,) = list(Targets().compute(record))
    rows = {(row[3], row[4]): row for row in table.rows}
    labels = sorted(set(record.data.labels))
    assert len(rows) == sum(classes - 1 for _ in labels)
    first, names = labels[0], record.model.class_names
    assert rows[names[first], names[9]][6:] == [0.0, None]
    assert rows[names[first], names[5]][6:] == [1.0, 5.0]
    assert rows[names[first], names[5]][5] == record.data.labels.count(first)


def test_a_run_without_targets_has_no_such_table() -> None:
    assert list(Targets().compute(records.make())) == []


@pytest.mark.parametrize(("stem", "claims"), [("lenet", 1), ("conv4", 2), ("other", 0)])
def test_figures_of_the_sources_stand_beside_ours(stem, claims) -> None:
    record = records.make()
    assert list(Sources().compute(record)) == []
    record.suite.name, record.model.file = "seeds-attacks", f"{stem}.onnx"
    tables = list(Sources().compute(record))
    assert len(tables) == (claims > 0)
    if claims:
        rows = {row[0]: row for row in tables[0].rows}
        assert len(rows) == claims
        if stem == "lenet":
            (deepfool,) = [cell for cell in bare(record) if cell.plugin == "deepfool"]
            pairs = zip(deepfool.l2, record.data.l2, strict=True)
            ratios = [length / size for length, size in pairs if length]
            assert rows["rho_adv by DeepFool, LeNet"][3].startswith(
                f"{sum(ratios) / len(ratios):.3f} over {len(ratios)} "
            )
