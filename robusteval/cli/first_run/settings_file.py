"""robusteval.toml beside a model: how it is to be read and evaluated, so that `robusteval run` needs no flags.

Flags win over the file. It may come with a stranger's model: it is held against a list, lets no code run (--trust,
--arch and --loader are the user's own), and names nothing to write to outside of its own folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from robusteval.cli import say
from robusteval.cli.options import SpacedCommand
from robusteval.contracts.suites import toml
from robusteval.errors import RobustEvalError, SuiteError
from robusteval.plain import in_words, read_plain

FILE = "robusteval.toml"
META = "robusteval.settings"  # in a command's meta: where its values came from, in words
_MOST = 1 << 20
NAMES = {  # what the file calls it -> the command's parameter
    "data": "data",
    "fit_data": "fit_data",
    "data_range": "data_range",
    "range": "bounds",
    "mean": "mean",
    "std": "std",
    "layout": "layout",
    "shape": "shape",
    "output": "output",
    "labels": "labels",
    "target": "target",
    "suite": "suite",
    "samples": "samples",
    "seed": "seed",
    "precision": "precision",
    "out": "out",
}
_TEXTS = ("data", "fit_data", "layout", "output", "labels", "target", "suite", "precision", "out")
_MEND = "`robusteval init MODEL` writes one; remove the file, or what is wrong in it."


@dataclass(frozen=True)
class Stated:
    """A settings file as it was read. values: by its own names, gates among them."""

    path: Path
    sha256: str
    model: str
    values: Mapping[str, Any]


class SettledCommand(SpacedCommand):
    """A command on one model whose options also come from the file beside it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments; options that were not given are those of the file, and meta says so."""
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            _apply(ctx)
        if not ctx.params["models"] and not ctx.resilient_parsing:
            raise click.UsageError("Missing argument 'MODEL...': give a model, or write its settings (`init`).", ctx)
        return rest


def beside(model: Path | None) -> Stated | None:
    """The file beside a model, or in this folder where none is given; None where there is none, or where it is another
    model's. Raises RobustEvalError where it cannot be read."""
    path = (Path() if model is None else model.parent) / FILE
    if not os.path.lexists(path):
        return None
    stated = read(path)
    return None if model is not None and stated.model and stated.model != model.name else stated


def read(path: Path) -> Stated:
    """A settings file. Raises RobustEvalError with the first thing that is wrong."""
    try:
        content = read_plain(path, _MOST, follow=False)
        data = toml(content.decode())
    except (OSError, UnicodeDecodeError) as error:
        raise RobustEvalError(f"Cannot read {path}: {in_words(error)}.", _MEND) from None
    except SuiteError as error:
        raise RobustEvalError(f"The settings in {path} cannot be read: {error.message}.", _MEND) from None
    gates = data.pop("gates", {})
    model = data.pop("model", "")
    unknown = [*(set(data) - set(NAMES)), *(set(gates) - {"fail_under"} if isinstance(gates, dict) else {"gates"})]
    if unknown:
        known = ", ".join(["model", *NAMES, "[gates] fail_under"])
        raise RobustEvalError(f"{path} has a setting {unknown[0]!r}, which there is not.", f"Settings: {known}.")
    if not isinstance(model, str) or model == ".." or (model and Path(model).name != model):
        raise RobustEvalError(f"The model that {path} names does not lie beside it.", _MEND)
    if "fail_under" in gates:
        data["fail_under"] = gates["fail_under"]
    return Stated(path, hashlib.sha256(content).hexdigest(), model, data)


def _apply(ctx: click.Context) -> None:
    models = ctx.params["models"]
    stated = beside(Path(models[0]) if models else None) if len(models) < 2 else None
    if stated is None:
        return
    if not models and stated.model:
        ctx.params["models"] = (str(stated.path.parent / stated.model),)
    by_name = {parameter.name: parameter for parameter in ctx.command.params}
    taken, given = [], []
    for key, value in stated.values.items():
        name = NAMES.get(key, key)
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            given.append(key)
            continue
        try:
            given_value = _as_words(_placed(stated.path, key, _of_its_kind(stated.path, key, value)))
            ctx.params[name] = by_name[name].type_cast_value(ctx, given_value)
        except click.BadParameter as error:
            raise RobustEvalError(f"In {stated.path}, {key}: {error.message.rstrip('.')}.", _MEND) from None
        taken.append(key)
    said = f"{FILE} (sha256 {stated.sha256[:16]}): {', '.join(taken) or 'nothing'}"
    ctx.meta[META] = f"{said}; flags instead of it: {', '.join(given)}" if given else said
    say(f"Settings: {ctx.meta[META]}.", err=True)


def _of_its_kind(path: Path, key: str, value: Any) -> Any:
    """The value, where it is of a kind that the setting takes; gates as a list of texts. Raises RobustEvalError."""
    if key == "fail_under":
        gates = value if isinstance(value, list) else [value]
        if not all(isinstance(gate, str | int | float) and not isinstance(gate, bool) for gate in gates):
            raise RobustEvalError(f"In {path}, fail_under: a list of texts is wanted, such as ['clean>=0.9'].", _MEND)
        return [str(gate) for gate in gates]
    number = isinstance(value, int) and not isinstance(value, bool)
    if key in _TEXTS and not isinstance(value, str) and not (key == "target" and number):
        raise RobustEvalError(f"In {path}, {key}: a text is wanted, not {str(value)[:60]}.", _MEND)
    return value


def _as_words(value: Any) -> Any:
    """A value as the command line has it: lists of numbers as one word, lists of texts as they are."""
    if isinstance(value, list):
        texts = all(isinstance(part, str) for part in value)
        return value if texts else ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _placed(path: Path, key: str, value: Any) -> Any:
    """Paths lead from the file's own folder; what is written to lies inside it."""
    if key not in ("data", "fit_data", "suite", "out") or not isinstance(value, str):
        return value
    place = path.parent / value
    if key == "out":
        if Path(value).is_absolute() or ".." in Path(value).parts or not Path(value).parts:
            raise RobustEvalError(f"In {path}, out: {value!r} does not lie inside its folder.", "Give --out instead.")
        return str(place)
    if key == "suite" and not value.endswith(".toml"):
        return value
    return str(place) if place.exists() else value  # else the name of an installed data set


def text(model: str, values: Mapping[str, Any], gates: list[str], remarks: list[str]) -> str:
    """A settings file. Raises ValueError for a value that is neither text, number nor a list of these."""
    lines = ["# Written by `robusteval init`. Flags of a command win over it.", *(f"# {remark}" for remark in remarks)]
    lines.append(f"model = {_written(model)}")
    lines += [f"{key} = {_written(values[key])}" for key in NAMES if key in values]
    if gates:
        lines += ["", "[gates]", f"fail_under = {_written(gates)}"]
    return "\n".join(lines) + "\n"


def _written(value: Any) -> str:
    """A value in TOML: JSON's strings are TOML's, but for the escape of DEL and of pairs of surrogates."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}" if float(value) == int(value) and abs(value) < 1e6 else repr(value)
    raise ValueError(f"{value!r} is no setting")
