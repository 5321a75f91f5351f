"""Whether a model answers alike when it is asked again, before anything is attacked."""

from __future__ import annotations

from robusteval.assessment.checks.gradients import GRADIENTS
from robusteval.contracts import pipeline
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.plugins import Defended
from robusteval.engine.fit.pipelines import clean_phase
from robusteval.engine.run.new_record import model_of
from robusteval.engine.source import Source
from robusteval.record.run import Check, Data, Pipeline, Record, Suite


def stability(model: Classifier, samples: Source, seed: int = 0) -> list[Check]:
    """Whether answers change from call to call, or with their company: the two checks that a run makes of every
    pipeline."""
    row = Pipeline("none", "", "", "model", {}, "done")
    clean_phase(pipeline.Pipeline(Defended(model)), row, samples, seed)
    labels = [int(label) for label in samples.y]
    data = Data(samples.name, "", "", len(samples), labels, [])
    record = Record({}, "", seed, {}, model_of(model.info, ""), data, Suite("", "", ""), "", [row], [])
    return [spec.run(record)[0] for spec in GRADIENTS if spec.id.startswith("predictions-")]
