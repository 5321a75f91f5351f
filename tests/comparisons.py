"""A realistic comparison of three models, made up from a seed."""

from __future__ import annotations

import numpy as np

from robusteval.assessment.references.several import derive
from robusteval.record.comparison import Comparison, Entry, Source, Transfer
from tests import records

KEYS = ("lenet", "fc", "robust-lenet")


def make(samples: int = 40, keys: tuple[str, ...] = KEYS) -> Comparison:
    """Three models of which the last one could not be attacked for the matrix."""
    made = [records.with_results(records.make(samples, seed)) for seed in range(len(keys))]
    labels = made[0].data.labels
    for record in made:
        record.data.labels = labels
    rng = np.random.default_rng(3)
    right = [[bool(value) for value in rng.random(samples) < 0.9] for _ in keys]
    sources = [Source(key, "done", "", _answers(labels, len(keys), place, rng)) for place, key in enumerate(keys[:-1])]
    sources.append(Source(keys[-1], "excluded", "the attack needs gradients, and the model gives none"))
    return Comparison(
        tool={"name": "robusteval", "version": "0.1.0"},
        command="robusteval run " + " ".join(f"{key}.onnx" for key in keys),
        seed=0,
        suite=made[0].suite,
        data=made[0].data,
        models=[
            Entry(key, record.model.name, f"{key}.onnx", "ab" * 32, [0.0, 1.0], "cd" * 32, grade)
            for key, record, grade in zip(keys, made, ("A", "B", "F"), strict=True)
        ],
        transfer=Transfer(
            "pgd", "pgd", "1", {"steps": 20}, "linf", 0.2, right, sources, "transfer.safetensors", "ef" * 32
        ),
        results=derive(list(zip(keys, made, strict=True))),
    )


def _answers(labels: list[int], models: int, own: int, rng: np.random.Generator) -> list[list[int]]:
    """Each model's answers to one source's adversarials; its own are the most often wrong."""
    shares = [0.95 if target == own else 0.3 for target in range(models)]
    return [[(label + int(rng.random() < share)) % 10 for label in labels] for share in shares]
