"""The Python API: `robusteval.evaluate(model, data, suite="standard")`, and `robusteval.compare(models, data)`."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from robusteval.contracts.classifier import Classifier, LoadOptions
from robusteval.errors import ModelError, PluginError
from robusteval.foreign import ForeignExit, foreign, heeding_ctrl_c
from robusteval.given import opened, source
from robusteval.record import store
from robusteval.record.comparison import Comparison
from robusteval.record.run import Record

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
        """Writes the document: into path/record.json and path/samples.parquet for a folder, else to that file, which
        then has all columns inside. Returns the file's path."""
        target = Path(path)
        if target.suffix != ".json":
            target.mkdir(parents=True, exist_ok=True)
            return store.save(self, target)
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
    device: str = "auto",
    memory: float | None = None,
    references: Sequence[str | Path] = (),
    data_range: tuple[float, float] | None = None,
    labels_from_model: bool = False,
    surrogates: Sequence[str | Path] = (),
    precision: str = "full",
    executor: str = "",
    address: str = "",
    overwrite: bool = False,
) -> EvaluatedRecord:
    """Evaluates a model and returns the record.

    model: a path, a torch module, or a Classifier. data and fit_data: a path, or arrays (x [N, *shape], y [N]); for a
    path to a model the data may be left out where they lie beside it or its metadata name them. options: how the file
    is to be read; a module needs options.input_shape unless data is given as arrays. out: the run's folder, where an
    interrupted run is taken up again; a temporary one by default. target: "untargeted", "least-likely", "all", or a
    class by number or name. time_budget: seconds after which nothing more is started, the most telling cells first; the
    same call without it, with the same `out`, goes on from there. device: "auto" (what the suite says, or a GPU where
    torch can use one), "cpu", "cuda", "cuda:1". memory: bytes that all processes together may take; by default a share
    of what is free. references: files of known models to compare with (`robusteval references build`), beside the
    shipped ones. data_range: the values of black and white in the data, where those are not the model's range.
    labels_from_model: its own answers as labels. surrogates: files of models that transfer attacks are made on.
    precision: "auto": attacks may propose in bfloat16 (on a GPU also TF32) where that is faster here and points the
    same way; "full": in float32 only; everything is judged in full either way. executor: where units are made, such
    as "ray", and address: where that is found (docs/scale.md). overwrite: start anew where `out` holds another run,
    or a finished one.

    Raises RobustEvalError (ModelError, DataError, SuiteError, PluginError, RecordError) with one clear sentence.
    """
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.run.options import RunOptions
    from robusteval.engine.run.prepare import device_of, prepare_job
    from robusteval.engine.run.runner import run

    catalogue = discover()
    kept: dict[Any, Any] = {}  # data are read once
    reading = dataclasses.replace(options or LoadOptions(), device=str(device_of(device, suite, catalogue)))
    classifier, model_path = opened(model, reading, data, kept, data_range)
    asked = RunOptions(
        suite=suite,
        data=source(data),
        fit_data=source(fit_data),
        data_range=data_range,
        samples=samples,
        seed=seed,
        workers=workers,
        target=target,
        labels_from_model=labels_from_model,
        surrogates=tuple(map(str, surrogates)),
        time_budget=time_budget,
        device=device,
        memory=memory,
        references=tuple(references),
        precision=precision,
        executor=executor,
        address=address,
        overwrite=overwrite,
    )
    job = prepare_job(classifier, catalogue, asked, model_path=model_path, kept=kept)
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
        from robusteval.report.comparison_page import render_comparison

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
    device: str = "auto",
    memory: float | None = None,
    references: Sequence[str | Path] = (),
    data_range: tuple[float, float] | None = None,
    labels_from_model: bool = False,
    surrogates: Sequence[str | Path] = (),
    precision: str = "full",
    executor: str = "",
    address: str = "",
    overwrite: bool = False,
) -> EvaluatedComparison:
    """Evaluates several models on the same data and compares them: as `evaluate`, with one LoadOptions for all of them
    or one for each. out: the folder, with one run a model inside; a temporary one by default. time_budget: of all of
    them together. surrogates: by default the other models of the call, as far as they are files.

    Raises RobustEvalError with one clear sentence, also where the models take other inputs or see other samples.
    """
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.comparison import comparison
    from robusteval.engine.comparison.transfer_matrix import chosen_attack
    from robusteval.engine.run.folder import claim_several, locked
    from robusteval.engine.run.options import RunOptions
    from robusteval.engine.run.prepare import device_of, prepare_job
    from robusteval.engine.run.runner import run

    if len(models) < 2:
        raise ModelError("A comparison needs two models or more.", "Use robusteval.evaluate for one.")
    catalogue = discover()
    each = [options or LoadOptions()] * len(models) if not isinstance(options, Sequence) else list(options)
    if len(each) != len(models):
        raise ModelError(
            f"There are {len(models)} models but {len(each)} options.", "Give one for each, or one for all."
        )
    kept: dict[Any, Any] = {}
    each = [dataclasses.replace(each_options, device=str(device_of(device, suite, catalogue))) for each_options in each]
    models_opened = [
        opened(model, each_options, data, kept, data_range) for model, each_options in zip(models, each, strict=True)
    ]
    asked = RunOptions(
        suite=suite,
        data=source(data),
        fit_data=source(fit_data),
        data_range=data_range,
        samples=samples,
        seed=seed,
        workers=workers,
        target=target,
        labels_from_model=labels_from_model,
        surrogates=tuple(map(str, surrogates)),
        time_budget=time_budget,
        device=device,
        memory=memory,
        references=tuple(references),
        precision=precision,
        executor=executor,
        address=address,
        overwrite=overwrite,
    )
    jobs = [
        prepare_job(model, catalogue, asked.of(len(models), _others(models_opened, path)), model_path=path, kept=kept)
        for model, path in models_opened
    ]
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
            compared = comparison.compare(contenders, catalogue, folder)
    result = EvaluatedComparison(
        **{field.name: getattr(compared, field.name) for field in dataclasses.fields(Comparison)}
    )
    result.records = {contender.key: _evaluated(contender.record) for contender in contenders}
    return result


def _others(models: list[tuple[Classifier, Path | None]], path: Path | None) -> tuple[str, ...]:
    """The files of the other models of a call."""
    return tuple(str(other) for _, other in models if other is not None and other != path)


def _evaluated(record: Record) -> EvaluatedRecord:
    return EvaluatedRecord(**{field.name: getattr(record, field.name) for field in dataclasses.fields(Record)})
