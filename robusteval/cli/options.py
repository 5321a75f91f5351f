"""Options that several commands share: how the model file is to be read, and where the data are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from robusteval.contracts.classifier import LoadOptions, Peek
    from robusteval.engine.catalogue.catalogue import Catalogue


WORDS = "robusteval.words"  # in a command's meta: its arguments, as the user gave them


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers set apart by commas, blanks or an x: 3,32,32 or 3x32x32."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in re.split(r"[,\s]+|(?<=\d)x(?=\d)", str(value)) if part)
        except ValueError:
            numbers = (math.nan,)
        if not all(map(math.isfinite, numbers)):
            self.fail(f"{value!r} is not a list of numbers such as 0.485,0.456,0.406", param, ctx)
        return numbers


class SpacedCommand(click.Command):
    """A command whose options of numbers take them apart as well: --shape 3 32 32, --range 0 255."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments, with the numbers that follow such an option made one of its values."""
        ctx.meta[WORDS] = tuple(args)
        flags = {flag for p in self.params if isinstance(p.type, Numbers) for flag in p.opts}
        return super().parse_args(ctx, _joined(args, flags))


def _joined(args: list[str], flags: set[str]) -> list[str]:
    words: list[str] = []
    for index, word in enumerate(args):
        if word == "--":
            return words + args[index:]
        if len(words) > 1 and words[-2] in flags and _numbers(word) and _numbers(words[-1]):
            words[-1] += f",{word}"
        else:
            words.append(word)
    return words


def _numbers(word: str) -> bool:
    parts = [part for part in word.split(",") if part]
    one = r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?"
    return bool(parts) and all(re.fullmatch(one, part, re.IGNORECASE) for part in parts)


class Threshold(click.ParamType[str]):
    """A gate, such as linf@8/255>=0.4 (docs/gates.md)."""

    name = "gate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from robusteval.assessment.gates.form import parse

        try:
            return parse(str(value)).text
        except ValueError as error:
            self.fail(str(error), param, ctx)


def gate_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--fail-under."""
    return click.option(
        "--fail-under",
        type=Threshold(),
        multiple=True,
        metavar="GATE",
        help="Exit with 3 unless this is reached; may be repeated: linf@8/255>=0.4, l2.median>=0.5, "
        "certified.linf@0.1>=0.3, clean>=0.9, grade>=B, judged by the interval's lower end, or with ' by value'; a "
        "number alone: the worst-case median distance, in every norm.",
    )(function)


class Duration(click.ParamType[float]):
    """A time such as 90s, 10m or 2h, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh])\s*", str(value))
        if found is None or float(found[1]) == 0 or len(found[1]) > 15:
            self.fail(f"{value!r} is not a time such as 90s, 10m or 2h", param, ctx)
        return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


class Bytes(click.ParamType[float]):
    """An amount of memory such as 6GB, 512MB or 2GiB, in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT])(i?)B?\s*", str(value), re.IGNORECASE)
        if found is None or float(found[1]) == 0 or len(found[1]) > 15:
            self.fail(f"{value!r} is not an amount of memory such as 6GB or 512MB", param, ctx)
        return float(found[1]) * float((1024 if found[3] else 1000) ** ("KMGT".index(found[2].upper()) + 1))


def resource_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--workers --device --memory."""
    options = [
        click.option("--workers", type=click.IntRange(1, 256), help="Processes.  [default: as measured; on a GPU one]"),
        click.option(
            "--device",
            default="auto",
            show_default=True,
            metavar="auto|cpu|cuda[:N]|mps",
            help="Where models and attacks compute; auto: where the suite says, or on a CUDA GPU if torch can use one.",
        ),
        click.option(
            "--memory",
            type=Bytes(),
            metavar="SIZE",
            help="What all processes together may take (6GB); batches are cut to it.  [default: 80 % of what is free]",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def resources(given: dict[str, Any], suite: str, catalogue: Catalogue) -> dict[str, Any]:
    """Takes the values of `resource_options` out of the given ones: workers, the device resolved, memory."""
    from robusteval.cage.page import allow
    from robusteval.engine.run.prepare import device_of

    workers, device, memory = given.pop("workers"), given.pop("device"), given.pop("memory")
    if memory is not None:
        allow(memory)
    return {
        "workers": workers,
        "device": str(device_of(device, suite, catalogue)),
        "memory": memory,
    }


SUITE_WORDS = ("attacks", "norms", "eps", "defenses")  # of a suite that is composed in the place of a named one


def suite_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--suite --attacks --norms --eps --defenses."""
    options = [
        click.option("--suite", default="standard", show_default=True, help="Name of a suite, or a TOML file."),
        click.option(
            "--attacks",
            default="",
            metavar="NAME,NAME:KEY=VALUE",
            help="These attacks in the place of a suite, such as pgd:steps=20,ddn.",
        ),
        click.option("--norms", default="", metavar="linf,l2", help="Their norms.  [default: linf and l2]"),
        click.option(
            "--eps",
            metavar="8/255",
            help="Largest budget searched, a share of the pixel range; for several norms linf=8/255,l2=2.",
        ),
        click.option("--defenses", default="", metavar="NAME,NAME", help="And these defences, such as jpeg."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--range --mean --std --layout --shape --output --loader --arch --trust."""
    options = [
        click.option(
            "--range", "bounds", type=Numbers(), default="0,1", show_default=True, help="Pixel range of the model."
        ),
        click.option(
            "--mean", type=Numbers(), default="", help="Per channel, where normalisation lies outside the file."
        ),
        click.option("--std", type=Numbers(), default="", help="Per channel, likewise."),
        click.option("--layout", type=click.Choice(["NCHW", "NHWC"]), help="Where the shape does not tell."),
        click.option("--shape", type=Numbers(), default="", help="C,H,W of one input, where the file leaves it open."),
        click.option(
            "--output", default="", metavar="NAME", help="Which output holds the class scores, where there are several."
        ),
        click.option(
            "--loader", default="", help="Loader plugin.  [default: by the file's ending, built-in ones first]"
        ),
        click.option("--arch", default="", help="module:factory that builds the network of a state dict."),
        click.option("--trust", is_flag=True, help="Allow files that can run code: TorchScript, .pt2, and --arch."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def data_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--data --fit-data --data-range --samples."""
    options = [
        click.option(
            "--data",
            type=click.Path(),
            help=".npz, Parquet, IDX pair, a folder of them or of class folders, or an installed data set's name.",
        ),
        click.option("--fit-data", type=click.Path(), help="The same, for what defences may learn from."),
        click.option("--data-range", type=Numbers(), default="", help="Black,white in the data, if not the model's."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def load_options(
    bounds: tuple[float, ...],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    layout: str | None,
    shape: tuple[float, ...],
    arch: str,
    trust: bool,
    output: str = "",
    loader: str = "",
    peek: Peek | None = None,
    device: str = "cpu",
) -> LoadOptions:
    """LoadOptions from the command line's values. Raises click.BadParameter for a range of other than two numbers."""
    from robusteval.contracts.classifier import LoadOptions

    return LoadOptions(
        bounds=pair(bounds, "--range") or (0.0, 1.0),
        mean=mean,
        std=std,
        layout=layout or "",
        input_shape=tuple(int(size) if size.is_integer() else size for size in shape),  # type: ignore[misc]  # refused
        arch=arch,
        trust=trust,
        output=output,
        loader=loader,
        peek=peek,
        device=device,
    )


def pair(values: tuple[float, ...], flag: str, ordered: bool = True) -> tuple[float, float] | None:
    """(low, high), or None where nothing was given; high, low too unless ordered. Raises click.BadParameter."""
    if not values:
        return None
    if len(values) != 2 or values[0] == values[1] or (ordered and values[0] > values[1]):
        raise click.BadParameter("give two numbers, low,high, such as 0,255", param_hint=flag)
    return values[0], values[1]


def value_of(text: str) -> Any:
    """A parameter's value: JSON where the text can be read as that, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def each_reading(
    models: tuple[str, ...], reading: dict[str, Any], only: tuple[tuple[str, str, str], ...]
) -> list[dict[str, Any]]:
    """The reading options of each model: the common ones, but for what --only says of a file (by path, name or stem).

    Raises click.BadParameter for a file that is not among the models, an unknown option, or a value that does not fit.
    """
    readings = [dict(reading) for _ in models]
    for file, option, text in only:
        found = [index for index, model in enumerate(models) if file in (model, Path(model).name, Path(model).stem)]
        if not found:
            raise click.BadParameter(f"{file!r} is not one of the models", param_hint="--only")
        if option in ("range", "mean", "std", "shape"):
            value: Any = Numbers().convert(text, None, None)
        elif option == "output" or (option == "layout" and text in ("NCHW", "NHWC")):
            value = text
        else:
            raise click.BadParameter(
                f"{option} {text!r}: give range, mean, std, layout (NCHW or NHWC), shape or output", param_hint="--only"
            )
        for index in found:
            readings[index]["bounds" if option == "range" else option] = value
    return readings
