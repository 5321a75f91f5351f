"""Whose a folder is: one command at a time works in it, and only what robusteval wrote there is ever replaced or
removed.

A folder is a run's where it carries the mark of one, `units/plan.json` with the plan's hash (a comparison of several
models: `.robusteval.json`, with the folders of the models). Without a mark, files of the names that a run would write
are somebody else's: they stay unless the user says --overwrite, and other files stay in any case.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from robusteval.contracts.tuning import Tuning, tuning_of
from robusteval.engine.plan.job import Job
from robusteval.engine.schedule.schedule import ERRORS_LOG
from robusteval.engine.units.grown import SAMPLES_SEEN
from robusteval.engine.units.store import is_unit
from robusteval.errors import RecordError
from robusteval.plain import read_plain, real
from robusteval.record.comparison import COMPARISON_FILE
from robusteval.record.measured.layout import SAMPLES_FILE
from robusteval.record.store import RECORD_FILE, TABLES_LIST, listed_tables, write_atomically

LOCK = ".robusteval.lock"
_WAIT_S = 3.0  # a holder that was just killed takes a moment to be gone
_RUN, _SEVERAL = "units/plan.json", ".robusteval.json"
SHARD_FILE = "shard.json"  # in the folder of a run's part
_OF_A_RUN = (
    "units", SHARD_FILE, RECORD_FILE, SAMPLES_FILE, "report.html", "report-marked.html", "witnesses.safetensors",
    "proofs.safetensors", ERRORS_LOG, "tables",
)  # fmt: skip
_MARKS = {"plan.json", SAMPLES_SEEN}
_MARK_BYTES = 1 << 20  # no mark is larger
_OF_SEVERAL = (COMPARISON_FILE, "report.html", "transfer.safetensors")
_BESIDE = ("compare.html", "compare.json")  # what a run said of itself beside its baseline


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder for this command alone, made where it is not there; may be entered again by whoever holds it. A lock
    ends with the process that holds it, however that ends. Raises RecordError where another command works there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(real(folder) / LOCK, is_singleton=True)
        lock.acquire(timeout=_WAIT_S)
    except Timeout:
        raise RecordError(
            f"Another robusteval command is at work in the folder {folder}.",
            "Wait until it ends, or choose another folder with --out.",
        ) from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecordError(f"Cannot use the folder {folder}: {reason}.", "Choose another with --out.") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder may be gone by now
            lock.release()


def claim(folder: Path, plan_sha256: str, overwrite: bool, grows: Callable[[], bool] = lambda: False) -> bool:
    """Marks a locked folder as the run's of this plan; returns whether it was already, so that its units are used
    again. grows: asked of a folder that another run marked: whether that is this one on a part of its samples. Then it
    becomes this one's; its document stays until this one is written.

    Raises RecordError where the folder holds another run, or files that are not known to be robusteval's, unless
    overwrite; then a run's own files are removed first.
    """
    _refuse_links(folder, ("units", "tables"))
    found = _mark(folder / _RUN)
    if found is not None and found["plan"] == plan_sha256 and not overwrite:
        return True
    if found is not None and not overwrite and grows():
        with _written(folder):
            _clear_sayings(folder)
            write_atomically(folder / _RUN, json.dumps(found | {"plan": plan_sha256}).encode())
        return True
    there = [name for name in _OF_A_RUN if (folder / name).exists() and not _bare(folder, name, found is not None)]
    if there and not overwrite:
        _refuse(folder, there, found is not None)
    with _written(folder):
        _clear_run(folder, marked=found is not None)
        (folder / "units").mkdir(parents=True, exist_ok=True)
        write_atomically(folder / _RUN, json.dumps({"plan": plan_sha256}).encode())
    return False


def _refuse_links(folder: Path, names: Collection[str]) -> None:
    """Raises RecordError where a run would write or remove elsewhere, as one of its own folders is a link."""
    for name in names:
        if (folder / name).is_symlink():
            raise RecordError(
                f"{folder / name} is a link, and a run writes in its own folder only.",
                "Remove it, or choose another folder with --out.",
            )


def settled(folder: Path, chosen: Tuning) -> Tuning:
    """How the passes of the run in a claimed folder are done: as when it began, else as chosen now, which the mark then
    keeps.

    Calibration goes by the clock, so that another time it may choose otherwise; a run that goes on must not change its
    way. Raises RecordError where the mark cannot be written.
    """
    mark = _mark(folder / _RUN) or {}
    with contextlib.suppress(KeyError, ValueError, TypeError, AttributeError):
        return tuning_of(mark["passes"])
    with _written(folder):
        write_atomically(folder / _RUN, json.dumps(mark | {"passes": dataclasses.asdict(chosen)}).encode())
    return chosen


def settled_threads(folder: Path, choose: Callable[[int | None], Job]) -> Job:
    """What is chosen for the run in a claimed folder, told of how many threads its workers were when it began; where it
    begins now the mark keeps how many they are. Raises RecordError where the mark cannot be written."""
    mark = _mark(folder / _RUN) or {}
    known = mark.get("threads")
    known = known if type(known) is int else None
    job = choose(known)
    if known is None:
        with _written(folder):
            write_atomically(folder / _RUN, json.dumps(mark | {"threads": job.threads}).encode())
    return job


def claim_several(folder: Path, plan_sha256: str, models: Sequence[str], overwrite: bool) -> None:
    """Marks a locked folder as that of several models' runs, whose own folders inside are claimed one by one.

    Raises RecordError as `claim` does.
    """
    found = _mark(folder / _SEVERAL)
    _refuse_links(folder, {*models, *_models(found)})
    if (folder / RECORD_FILE).exists() and found is None:
        raise RecordError(
            f"The folder {folder} holds a {RECORD_FILE}, so it is a run of another kind.", "Choose another with --out."
        )
    if found is None or found["plan"] != plan_sha256 or overwrite:
        there = [name for name in _OF_SEVERAL if (folder / name).exists()]
        there += [name for name in _models(found) if _mark(folder / name / _RUN) is not None]
        if there and not overwrite:
            _refuse(folder, there, found is not None)
        with _written(folder):
            if found is not None:
                for name in _OF_SEVERAL:
                    _remove(folder / name)
            for name in set(_models(found)) - set(models):
                _clear_run(folder / name, marked=_mark(folder / name / _RUN) is not None)
                _remove(folder / name / LOCK)
                _remove_empty(folder / name)
    write_atomically(folder / _SEVERAL, json.dumps({"plan": plan_sha256, "models": list(models)}).encode())


def _refuse(folder: Path, there: list[str], marked: bool) -> None:
    if marked:
        raise RecordError(
            f"The folder {folder} holds another run.",
            "Choose another folder with --out, or pass --overwrite to lose that run.",
        )
    raise RecordError(
        f"The folder {folder} holds {', '.join(there)}, and nothing says that robusteval wrote that.",
        "Choose another folder with --out, or pass --overwrite to replace files of these names.",
    )


def _mark(path: Path) -> dict[str, Any] | None:
    """The mark of a run or of several, or None where there is none that can be read."""
    try:
        data = json.loads(read_plain(path, _MARK_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and isinstance(data.get("plan"), str) else None


def _models(mark: dict[str, Any] | None) -> list[str]:
    """The models' folders that a mark names; nothing that leads elsewhere."""
    names = mark.get("models", []) if mark is not None else []
    return [name for name in names if isinstance(name, str) and name == Path(name).name and name not in ("", "..")]


def _bare(folder: Path, name: str, marked: bool) -> bool:
    """Whether nothing would be lost with it: a folder for units in which there is none yet."""
    if name != "units" or not (folder / name).is_dir():
        return False
    inside = [path for path in (folder / name).iterdir() if not path.name.startswith(".")]
    return not inside or (marked and {path.name for path in inside} <= _MARKS)


def _clear_run(folder: Path, marked: bool) -> None:
    """Removes what a run wrote. In a folder without its mark those are the units only, which carry a mark of their
    own."""
    for path in (folder / "units").glob("*.npz"):
        if is_unit(path):
            _remove(path)
    if not marked:
        return
    for name in (*_OF_A_RUN, _RUN, f"units/{SAMPLES_SEEN}"):
        if name not in ("units", "tables"):
            _remove(folder / name)
    _clear_sayings(folder)
    _remove_empty(folder / "units")


def _clear_sayings(folder: Path) -> None:
    """Removes what was said of a run's document, and is not written anew with it."""
    for name in _BESIDE:
        _remove(folder / name)
    for name in listed_tables(folder / "tables"):
        _remove(folder / "tables" / name)
    _remove(folder / "tables" / TABLES_LIST)
    _remove_empty(folder / "tables")


def _remove(path: Path) -> None:
    if path.is_file() or path.is_symlink():
        path.unlink()


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not there, or not empty
        folder.rmdir()


@contextlib.contextmanager
def _written(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RecordError(
            f"Cannot use the folder {folder}: {error.strerror or error}.", "Choose another with --out."
        ) from None
