"""The Python API: `robusteval.evaluate(model, data, suite="standard")`, and `robusteval.compare(models, data)`."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from robusteval.contracts.classifier import Classifier, LoadOptions
from robusteval.errors import ModelError, PluginError
from robusteval.foreign import ForeignExit, foreign, heeding_ctrl_c
from robusteval.given import described, opened, source, speaking_python
from robusteval.live import Listener, listening
from robusteval.record import store
from robusteval.record.comparison import Comparison
from robusteval.record.run import Record

if TYPE_CHECKING:
    from torch import nn

    from robusteval.engine.run.options import RunOptions


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

    def __repr__(self) -> str:
        """What was found, and not the document, which has a number for every sample and cell."""
        return self.summary()

    def _repr_html_(self) -> str:
        """The report in a frame, for notebooks: its own style and scripts cannot reach the page around it."""
        from html import escape

        return f'<iframe srcdoc="{escape(self.to_html())}" width="100%" height="800" style="border:0"></iframe>'


def _alive(call: Callable[P, R]) -> Callable[P, R]:
    """A plugin that calls sys.exit must not end the caller's program, least of all with exit code 0; and sentences
    about what was asked name arguments, not flags."""

    @functools.wraps(call)
    def made(*given: P.args, **named: P.kwargs) -> R:
        try:
            with heeding_ctrl_c(), foreign(), speaking_python():
                return call(*given, **named)
        except ForeignExit as error:
            raise PluginError(f"A plugin ended the evaluation: {error}.", "See `robusteval plugins list`.") from error

    return made


@_alive
def evaluate(
    model: str | Path | nn.Module | Classifier,
    data: Any = None,
    suite: str | Mapping[str, Any] = "standard",
    *,
    attacks: Sequence[Any] | str = (),
    norms: Sequence[str] | str = (),
    eps: Any = None,
    defenses: Sequence[Any] | str = (),
    fit_data: Any = None,
    options: LoadOptions | None = None,
    name: str = "",
    class_names: Sequence[str] = (),
    samples: int | None = None,
    seed: int = 0,
    workers: int | None = 1,
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
    progress: bool | Listener | None = None,
) -> EvaluatedRecord:
    """Evaluates a model and returns the record.

    model: a path, a torch module, or a Classifier. data and fit_data: a path, the name of an installed data set,
    arrays (x [N, *shape], y [N]), a DataLoader, a Dataset, a Hugging Face data set, a list of pairs (image, label),
    or a data frame with columns image and label; for a path to a model the data may be left out where they lie
    beside it or its metadata name them. suite: a name, a TOML file, or a dict as such a file has it. attacks,
    norms, eps, defenses: in the place of a suite; attacks and defences by name, as ("pgd", {"steps": 20}), or as
    `robusteval.attacks.PGD(steps=20)`; eps: the largest budget searched, a share of the pixel range such as 8/255,
    or {"linf": 8/255, "l2": 2.0}. options: how the file is to be read; a module needs options.input_shape unless
    data is given as arrays or objects. name, class_names: of the model, for the report. out: the run's folder,
    where an interrupted run is taken up again; a temporary one by default. target: "untargeted", "least-likely",
    "all", or a class by number or name. time_budget: seconds after which nothing more is started, the most telling
    cells first; the same call without it, with the same `out`, goes on from there. device: "auto" (what the suite
    says, or a GPU where torch can use one), "cpu", "cuda", "cuda:1", "mps". workers: processes; None: as many as
    there are cores, or fewer of more threads where that is measured to be faster. memory: bytes that all processes
    together may take; by default a share of what is free. references: files of known models to compare with
    (`robusteval references build`), beside the shipped ones. data_range: the values of black and white in the data,
    where those are not the model's range. labels_from_model: its own answers as labels. surrogates: files of models
    that transfer attacks are made on. precision: "auto": attacks may propose in bfloat16 (on a GPU also TF32) where
    that is faster here and points the same way; "full": in float32 only; everything is judged in full either way.
    executor: where units are made, such as "ray", and address: where that is found (docs/scale.md). overwrite:
    start anew where `out` holds another run, or a finished one. progress: True for a bar, or a function that is
    told after every unit; by default a bar in a notebook and at a terminal.

    Raises RobustEvalError (ModelError, DataError, SuiteError, PluginError, RecordError) with one clear sentence.
    """
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.run.prepare import device_of, prepare_job
    from robusteval.engine.run.runner import run

    asked, catalogue = _asked(locals()), discover()
    kept: dict[Any, Any] = {}  # data are read once
    reading = dataclasses.replace(options or LoadOptions(), device=str(device_of(device, suite, catalogue)))
    classifier, model_path = opened(model, reading, asked.data, kept, data_range)
    classifier = described(classifier, name, class_names)
    job = prepare_job(classifier, catalogue, asked, model_path=model_path, kept=kept)
    kept.clear()
    job = dataclasses.replace(job, apart=True)
    with tempfile.TemporaryDirectory(prefix="robusteval-") as temporary, listening(progress, time_budget) as listener:
        record = run(dataclasses.replace(job, folder=Path(out) if out is not None else Path(temporary)), listener)
    if "workers" in record.environment:
        warnings.warn(record.environment["workers"], stacklevel=3)
    return _evaluated(record)


def _asked(given: Mapping[str, Any]) -> RunOptions:
    """What a call states, by the names of its arguments; data that are objects of Python are read here."""
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.run.options import RunOptions
    from robusteval.engine.suite.composed import chosen
    from robusteval.engine.suite.suite import read

    stated = {item.name: given[item.name] for item in dataclasses.fields(RunOptions) if item.name in given}
    most, catalogue = stated["samples"], discover()
    if most is None:
        words = {name: stated[name] for name in ("suite", "attacks", "norms", "eps", "defenses")}
        most = read(chosen(**words, catalogue=catalogue), catalogue).samples
    stated["data"] = source(stated["data"], most, stated["seed"])
    stated["fit_data"] = source(stated["fit_data"])
    return RunOptions(**stated | {name: tuple(map(str, stated[name])) for name in ("surrogates", "references")})


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
    data: Any = None,
    suite: str | Mapping[str, Any] = "standard",
    *,
    attacks: Sequence[Any] | str = (),
    norms: Sequence[str] | str = (),
    eps: Any = None,
    defenses: Sequence[Any] | str = (),
    options: LoadOptions | Sequence[LoadOptions] | None = None,
    fit_data: Any = None,
    samples: int | None = None,
    seed: int = 0,
    workers: int | None = 1,
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
    progress: bool | Listener | None = None,
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
    from robusteval.engine.run.prepare import device_of, prepare_job
    from robusteval.engine.run.runner import run

    if len(models) < 2:
        raise ModelError("A comparison needs two models or more.", "Use robusteval.evaluate for one.")
    asked, catalogue = _asked(locals()), discover()
    where, kept = str(device_of(device, suite, catalogue)), dict[Any, Any]()
    each = [dataclasses.replace(reading, device=where) for reading in _each(options, len(models))]
    models_opened = [
        opened(model, reading, asked.data, kept, data_range) for model, reading in zip(models, each, strict=True)
    ]
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
        with locked(folder), listening(progress, time_budget) as listener:
            claim_several(folder, comparison.mark_of_all(jobs), names, overwrite)
            for key, job in zip(names, jobs, strict=True):
                record = run(dataclasses.replace(job, folder=folder / key, apart=True), listener)
                contenders.append(comparison.Contender(key, job, record))
            compared = comparison.compare(contenders, catalogue, folder)
    result = EvaluatedComparison(
        **{field.name: getattr(compared, field.name) for field in dataclasses.fields(Comparison)}
    )
    result.records = {contender.key: _evaluated(contender.record) for contender in contenders}
    return result


def _each(options: LoadOptions | Sequence[LoadOptions] | None, count: int) -> list[LoadOptions]:
    """How each of the models is to be read. Raises ModelError for another number of them."""
    each = [options or LoadOptions()] * count if not isinstance(options, Sequence) else list(options)
    if len(each) != count:
        raise ModelError(f"There are {count} models but {len(each)} options.", "Give one for each, or one for all.")
    return each


def _others(models: list[tuple[Classifier, Path | None]], path: Path | None) -> tuple[str, ...]:
    """The files of the other models of a call."""
    return tuple(str(other) for _, other in models if other is not None and other != path)


def _evaluated(record: Record) -> EvaluatedRecord:
    return EvaluatedRecord(**{field.name: getattr(record, field.name) for field in dataclasses.fields(Record)})
