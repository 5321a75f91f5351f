"""The Python API: `robusteval.evaluate(model, data, suite="standard")`, and `robusteval.compare(models, data)`."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import numpy as np

from robusteval.contracts.classifier import Classifier, LoadOptions, Peek
from robusteval.contracts.guard import guarded
from robusteval.contracts.samples import Samples
from robusteval.errors import DataError, ModelError, PluginError
from robusteval.foreign import ForeignExit, foreign, heeding_ctrl_c
from robusteval.record import store
from robusteval.record.comparison import Comparison
from robusteval.record.document import Record

if TYPE_CHECKING:
    from torch import nn


P = ParamSpec("P")
R = TypeVar("R")


class EvaluatedRecord(Record):
    """A record that can be saved, rendered and shown in a notebook."""

    def to_html(self) -> str:
        """The report: one self-contained HTML document."""
        from robusteval.report import render

        return render(self)

    def save(self, path: str | Path) -> Path:
        """Writes the document: into path/record.json for a folder, else to that file. Returns the file's path."""
        target = Path(path)
        if target.suffix != ".json":
            target.mkdir(parents=True, exist_ok=True)
            target = target / store.RECORD_FILE
        store.write_atomically(target, store.to_json(self).encode())
        return target

    def _repr_html_(self) -> str:
        """The report in a frame, for notebooks: its own style and scripts cannot reach the page around it."""
        from html import escape

        return f'<iframe srcdoc="{escape(self.to_html())}" width="100%" height="800" style="border:0"></iframe>'


def _alive(call: Callable[P, R]) -> Callable[P, R]:
    """A plugin that calls sys.exit must not end the caller's program, least of all with exit code 0."""

    @functools.wraps(call)
    def made(*given: P.args, **named: P.kwargs) -> R:
        try:
            with heeding_ctrl_c(), foreign():
                return call(*given, **named)
        except ForeignExit as error:
            raise PluginError(f"A plugin ended the evaluation: {error}.", "See `robusteval plugins list`.") from error

    return made


@_alive
def evaluate(
    model: str | Path | nn.Module | Classifier,
    data: str | Path | tuple[Any, Any] | None = None,
    suite: str = "standard",
    *,
    fit_data: str | Path | tuple[Any, Any] | None = None,
    options: LoadOptions | None = None,
    samples: int | None = None,
    seed: int = 0,
    workers: int = 1,
    out: str | Path | None = None,
    target: str = "untargeted",
    time_budget: float | None = None,
    references: Sequence[str | Path] = (),
    data_range: tuple[float, float] | None = None,
    labels_from_model: bool = False,
    surrogates: Sequence[str | Path] = (),
    overwrite: bool = False,
) -> EvaluatedRecord:
    """Evaluates a model and returns the record.

    model: a path, a torch module, or a Classifier. data and fit_data: a path, or arrays (x [N, *shape], y [N]); for a
    path to a model the data may be left out where they lie beside it or its metadata name them. options: how the file
    is to be read; a module needs options.input_shape unless data is given as arrays. out: the run's folder, where an
    interrupted run is taken up again; a temporary one by default. target: "untargeted", "least-likely", "all", or a
    class by number or name. time_budget: seconds after which nothing more is started, the most telling cells first; the
    same call without it, with the same `out`, goes on from there. references: files of known models to compare with
    (`robusteval calibrate`), beside the shipped ones. data_range: the values of black and white in the data, where those are
    not the model's range. labels_from_model: its own answers as labels. surrogates: files of models that transfer attacks
    are made on. overwrite: start anew where `out` holds another run, or a finished one.

    Raises RobustEvalError (ModelError, DataError, SuiteError, PluginError, RecordError) with one clear sentence.
    """
    from robusteval.engine.catalogue import discover
    from robusteval.engine.prepare import prepare_job
    from robusteval.engine.runner import run

    catalogue = discover()
    kept: dict[Any, Any] = {}  # data are read once
    classifier, model_path = _classifier(model, options or LoadOptions(), data, kept, data_range)
    job = prepare_job(
        classifier,
        catalogue,
        suite,
        model_path=model_path,
        data=_source(data),
        fit=_source(fit_data),
        data_range=data_range,
        samples=samples,
        seed=seed,
        workers=workers,
        labels_from_model=labels_from_model,
        overwrite=overwrite,
        target=target,
        surrogates=tuple(map(str, surrogates)),
        time_budget=time_budget,
        references=tuple(references),
        kept=kept,
    )
    kept.clear()
    job = dataclasses.replace(job, apart=True)
    if out is not None:
        record = run(dataclasses.replace(job, folder=Path(out)))
    else:
        with tempfile.TemporaryDirectory(prefix="robusteval-") as folder:
            record = run(dataclasses.replace(job, folder=Path(folder)))
    if "workers" in record.environment:
        warnings.warn(record.environment["workers"], stacklevel=3)
    return _evaluated(record)


class EvaluatedComparison(Comparison):
    """A comparison that can be rendered; `records` holds each model's own, by its key."""

    records: dict[str, EvaluatedRecord]

    def to_html(self) -> str:
        """The page of all models. Its links to their own reports work only inside a run's folder."""
        from robusteval.report.comparison import render_comparison

        return render_comparison(self)


@_alive
def compare(
    models: Sequence[str | Path | nn.Module | Classifier],
    data: str | Path | tuple[Any, Any] | None = None,
    suite: str = "standard",
    *,
    options: LoadOptions | Sequence[LoadOptions] | None = None,
    fit_data: str | Path | tuple[Any, Any] | None = None,
    samples: int | None = None,
    seed: int = 0,
    workers: int = 1,
    out: str | Path | None = None,
    target: str = "untargeted",
    time_budget: float | None = None,
    references: Sequence[str | Path] = (),
    data_range: tuple[float, float] | None = None,
    surrogates: Sequence[str | Path] = (),
    overwrite: bool = False,
) -> EvaluatedComparison:
    """Evaluates several models on the same data and compares them: as `evaluate`, with one LoadOptions for all of them or
    one for each. out: the folder, with one run a model inside; a temporary one by default. time_budget: of all of them
    together. surrogates: by default the other models of the call, as far as they are files.

    Raises RobustEvalError with one clear sentence, also where the models take other inputs or see other samples.
    """
    from robusteval.engine import comparison
    from robusteval.engine.catalogue import discover
    from robusteval.engine.prepare import prepare_job
    from robusteval.engine.run_folder import claim_several, locked
    from robusteval.engine.runner import run
    from robusteval.engine.transfer import chosen_attack

    if len(models) < 2:
        raise ModelError("A comparison needs two models or more.", "Use robusteval.evaluate for one.")
    catalogue = discover()
    each = [options or LoadOptions()] * len(models) if not isinstance(options, Sequence) else list(options)
    if len(each) != len(models):
        raise ModelError(
            f"There are {len(models)} models but {len(each)} options.", "Give one for each, or one for all."
        )
    kept: dict[Any, Any] = {}
    opened = [_classifier(model, way, data, kept, data_range) for model, way in zip(models, each, strict=True)]
    jobs = [
        prepare_job(
            model, catalogue, suite, model_path=path, data=_source(data), fit=_source(fit_data), data_range=data_range,
            samples=samples, seed=seed, workers=workers, overwrite=overwrite, target=target,
            surrogates=tuple(map(str, surrogates)) or _others(opened, path),
            time_budget=None if time_budget is None else time_budget / len(models),
            references=tuple(references), kept=kept,
        )
        for model, path in opened
    ]  # fmt: skip
    kept.clear()
    comparison.check_comparable(jobs)
    chosen_attack(jobs[0].suite, catalogue)
    with tempfile.TemporaryDirectory(prefix="robusteval-") as temporary:
        folder = Path(out) if out is not None else Path(temporary)
        contenders, names = [], comparison.keys([job.model_file for job in jobs])
        with locked(folder):
            claim_several(folder, comparison.mark_of_all(jobs), names, overwrite)
            for key, job in zip(names, jobs, strict=True):
                record = run(dataclasses.replace(job, folder=folder / key, apart=True))
                contenders.append(comparison.Contender(key, job, record))
            made = comparison.compare(contenders, catalogue, folder)
    result = EvaluatedComparison(**{field.name: getattr(made, field.name) for field in dataclasses.fields(Comparison)})
    result.records = {one.key: _evaluated(one.record) for one in contenders}
    return result


def _others(opened: list[tuple[Classifier, Path | None]], path: Path | None) -> tuple[str, ...]:
    """The files of the other models of a call."""
    return tuple(str(other) for _, other in opened if other is not None and other != path)


def _evaluated(record: Record) -> EvaluatedRecord:
    return EvaluatedRecord(**{field.name: getattr(record, field.name) for field in dataclasses.fields(Record)})


def _classifier(
    model: object,
    options: LoadOptions,
    data: object,
    kept: dict[Any, Any],
    data_range: tuple[float, float] | None,
) -> tuple[Classifier, Path | None]:
    """The model opened, with a look at the data for its loader; and its path, if it is a file."""
    from torch import nn

    from robusteval.engine.catalogue import discover
    from robusteval.engine.load import load_model

    if not isinstance(model, str | Path | nn.Module):
        if isinstance(model, Classifier):
            return guarded(model), None
        raise ModelError(
            f"A {type(model).__name__} is not a model.",
            "Give a path, a torch.nn.Module, or an object with info, logits and twin.",
        )
    path = Path(model) if isinstance(model, str | Path) else None
    options = (
        options if options.peek is not None else dataclasses.replace(options, peek=_peek(path, data, kept, data_range))
    )
    if path is not None:
        return load_model(path, options, discover()), path
    return _module(cast("nn.Module", model), options, data), None


def _module(module: nn.Module, options: LoadOptions, data: object) -> Classifier:
    """A module in memory, for inputs of the stated shape, else of that of the images: as stored, else channels first."""
    from robusteval.engine.settings import check_options
    from robusteval.loaders.torch_module import TorchClassifier

    check_options(options)
    shapes = [options.input_shape] if options.input_shape else _shapes(data)
    failed: list[ModelError] = []
    for shape in shapes:
        try:
            return TorchClassifier.from_module(module, shape, options)
        except ModelError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    raise ModelError(
        "The module does not say what shape its input has.", "Give LoadOptions(input_shape=...), or data as arrays."
    )


def _shapes(data: object) -> list[tuple[int, ...]]:
    """Input shapes that images given as arrays may stand for: as they are stored, and with their channels moved first."""
    images = data.x if isinstance(data, Samples) else data[0] if isinstance(data, tuple) and data else None
    if images is None:
        return []
    shape = tuple(int(size) for size in (images.shape if hasattr(images, "shape") else np.shape(images))[1:])
    if len(shape) == 2:
        return [(1, *shape)]
    return [shape, (shape[2], shape[0], shape[1])] if len(shape) == 3 and shape[2] <= 4 else [shape]


def _peek(path: Path | None, data: object, kept: dict[Any, Any], data_range: tuple[float, float] | None) -> Peek:
    from robusteval.engine.catalogue import discover
    from robusteval.engine.data_peek import peeker
    from robusteval.engine.prepare import arrays

    source = _source(data)
    where = arrays(source) if isinstance(source, tuple) else source
    return peeker(path, where, discover().datasets(), data_range, kept)


def _source(data: object) -> Any:
    """A path, a pair of arrays, or None. Raises DataError for anything else."""
    if data is None or isinstance(data, tuple):
        if isinstance(data, tuple) and len(data) != 2:
            raise DataError(f"Data given as a tuple needs two arrays (x, y), not {len(data)}.")
        return data
    if isinstance(data, str | Path):
        return Path(data)
    if isinstance(data, Samples):
        return (data.x, data.y)
    raise DataError(f"A {type(data).__name__} is not data.", "Give a path, or arrays (x, y).")
