"""From a loaded model and what the user pointed at to a job that can be run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robusteval.contracts.classifier import Classifier
from robusteval.contracts.guard import guarded
from robusteval.contracts.samples import Samples
from robusteval.engine.batched import batched
from robusteval.engine.carried import carried
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.chunks import chunk_of
from robusteval.engine.cores.ways import ways_of
from robusteval.engine.data.find import Kept, RawData, check_disjoint, find_data, in_words, opened
from robusteval.engine.data.find import read as read_data
from robusteval.engine.data.on_demand import OnDemand
from robusteval.engine.data.survey import Surveyed, survey
from robusteval.engine.data.training_fingerprints import check_not_trained_on, marks_of
from robusteval.engine.devices import AUTO, exact, home, resolve
from robusteval.engine.plan.job import Job
from robusteval.engine.preflight.checks import findings_of, preflight_checks
from robusteval.engine.preflight.clean_accuracy import Preflight, clean_report
from robusteval.engine.references.match import gather
from robusteval.engine.run.cut import chunk_for
from robusteval.engine.run.options import RunOptions
from robusteval.engine.schedule.executors import executor_of
from robusteval.engine.schedule.memory import in_words as sizes_in_words
from robusteval.engine.schedule.memory import needs, shared_out
from robusteval.engine.search.judge import common_grid, on_grid
from robusteval.engine.settings import check_settings
from robusteval.engine.suite.composed import chosen as chosen_suite
from robusteval.engine.suite.goals import attackable, parse
from robusteval.engine.suite.suite import Suite, applicable, read, with_surrogates
from robusteval.engine.threads import cores, one_thread
from robusteval.record.run import Finding


def prepare_job(
    model: Classifier,
    catalogue: Catalogue,
    options: RunOptions,
    *,
    model_path: Path | None = None,
    kept: Kept | None = None,
) -> Job:
    """A job without a folder yet. kept: data that were read when the model was opened, which are not read again.

    Raises DataError, SuiteError, PluginError, RecordError with one clear sentence.
    """
    check_settings(
        options.samples,
        options.seed,
        options.workers,
        options.time_budget,
        options.data_range,
        options.memory,
        options.precision,
    )
    device, asked_for = device_of(options.device, options.suite, catalogue), options.workers or cores()
    threads = torch.get_num_threads()  # what torch would take, or was told to
    executor = executor_of(options.executor, options.address, catalogue)
    known, model = gather(options.references), guarded(model)
    asked = chosen_suite(options.suite, options.attacks, options.norms, options.eps, options.defenses, catalogue)
    plan = with_surrogates(read(asked, catalogue), catalogue, options.surrogates)
    plan = applicable(plan, model.info)
    goal = parse(options.target, model.info)
    raw, chosen, fit_samples, notes = _data(model, catalogue, plan, model_path, options, kept)
    here = home(device)
    chosen = as_received(model, chosen, plan.levels).to(here)
    keep = attackable(chosen.y, goal)
    with one_thread(), exact(here):
        one = chosen.x[:1]
        model = model if here == device else carried(model, device, one)
        chunk = chunk_of(model.info.input_shape)
        shares = shared_out(needs(model, one), one, chunk, _workers(asked_for, device), options.memory)
        sizes = shares.sizes()
        model = batched(model, sizes)
        seen = survey(chosen, keep, model.logits, options.labels_from_model, _marks(model))
        _check_apart(model, seen, fit_samples)
        chosen = seen.samples
        look = clean_report(model, raw, chosen, options.data_range, answers=seen.answers)
    looked = preflight_checks(look, model.info, chosen)
    findings = _findings(look) + findings_of(looked, look)
    job = Job(
        model=model,
        samples=chosen,
        suite=plan,
        catalogue=catalogue,
        folder=Path(),
        fit=None if fit_samples is None else fit_samples.samples.to(here),
        model_file=str(model_path) if model_path is not None else model.info.name,
        data_source=raw.source,
        range_note=in_words(seen.note, notes) + _rounded(seen),
        command=options.command,
        seed=int(options.seed),
        workers=shares.workers,
        threads=shares.threads(asked_for) if executor is None else 1,
        room=shares.room,
        batches=sizes_in_words(sizes, shares, _workers(asked_for, device)),
        ways=ways_of(shares, asked_for, threads) if options.workers is None and executor is None else (),
        target=goal,
        labels_from_model=options.labels_from_model,
        precision=options.precision,
        executor=executor,
        overwrite=options.overwrite,
        preflight=tuple(findings),
        looked=tuple(looked),
        available=len(raw.labels),
        time_budget=options.time_budget,
        references=known,
    )
    with one_thread(), exact(here):
        return replace(job, chunk=chunk_for(job))


def device_of(asked: str, suite: str | Mapping[str, Any], catalogue: Catalogue) -> torch.device:
    """Where a run computes: on the device that is asked for; where that is "auto", on the one that the suite states.
    Raises SuiteError, PluginError."""
    return resolve(asked if asked != AUTO else read(suite, catalogue).device)


def _workers(asked: int, device: torch.device) -> int:
    """How many processes work: a GPU has one."""
    return int(asked) if device.type == "cpu" else 1


def _data(
    model: Classifier,
    catalogue: Catalogue,
    suite: Suite,
    model_path: Path | None,
    options: RunOptions,
    kept: Kept | None,
) -> tuple[RawData, OnDemand, Surveyed | None, list[str]]:
    """(the data as given, samples to be evaluated, samples to learn from or None, notes on how they were read)."""
    datasets, data, fit = catalogue.datasets(), options.data, options.fit_data
    fit_raw: RawData | None = None
    if isinstance(data, tuple | RawData):
        raw = arrays(data)
    else:
        own = fit if isinstance(fit, Path) else None
        raw, fit_raw = find_data(model_path, model.info, data, own, datasets, kept)
    if isinstance(fit, tuple | RawData):
        fit_raw = arrays(fit)
    elif isinstance(fit, Path) and isinstance(data, tuple | RawData):
        fit_raw = read_data(fit, "fit")
    samples = options.samples if options.samples is not None else suite.samples
    chosen, notes = opened(raw, model.info, options.data_range, samples, options.seed)
    fit_samples = None
    if fit_raw is not None:
        fit_opened, _ = opened(fit_raw, model.info, options.data_range, suite.fit_samples, options.seed)
        fit_samples = survey(fit_opened)
    return raw, chosen, fit_samples, notes


def _marks(model: Classifier) -> Callable[[Samples], set[bytes]] | None:
    """What is to be looked at for images that the model was trained on; nothing where its file does not name any."""
    return marks_of if model.info.training_fingerprints else None


def _check_apart(model: Classifier, seen: Surveyed, fit: Surveyed | None) -> None:
    """Raises DataError where images are evaluated that the model, or a defence, learnt from."""
    check_not_trained_on(model.info, seen.marks, len(seen.digests))
    if fit is not None:
        check_disjoint(seen.hashes, fit.hashes)


def arrays(pair: tuple[Any, Any] | RawData) -> RawData:
    """Arrays or tensors given in Python, (x [N, *shape], y [N]), as data; what is data already as it is."""
    if isinstance(pair, RawData):
        return pair
    x, y = (value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value) for value in pair)
    return RawData(x, y, (), "arrays", "arrays given in Python")


def as_received(model: Classifier, samples: OnDemand, levels: int) -> OnDemand:
    """The samples as a file that takes whole numbers receives them.

    Distances are measured between images that the file can tell apart, so the clean ones are rounded as it rounds them.
    Raises SuiteError where the suite's levels are not among its values.
    """
    grid = model.info.grid
    common_grid(levels, samples.bounds, grid)
    return samples.rounded(partial(on_grid, grid=grid), grid) if grid else samples


def _rounded(seen: Surveyed) -> str:
    """A note where that changed any of them."""
    if not seen.rounded:
        return ""
    return f" {100 * seen.rounded:.1f} % of the values were rounded to the whole numbers that the file takes."


def _findings(look: Preflight) -> list[Finding]:
    """What a look at the clean samples says before anything is attacked."""
    found = []
    if look.low:
        found.append(
            Finding(
                "near-chance" if look.near_chance else "clean-accuracy-low",
                "alarm" if look.near_chance else "warning",
                look.sentence,
                {"accuracy": look.accuracy, "low": look.interval[0], "high": look.interval[1], "chance": look.chance},
                "If a setting named here is the right one, state it and run again; nothing was changed silently.",
            )
        )
    found.extend(
        Finding(
            remark.code,
            remark.severity,
            remark.sentence,
            {},
            "State the range that the model was trained on with --range; check the labels' order.",
        )
        for remark in look.remarks
    )
    return found
