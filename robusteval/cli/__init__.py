"""The command line. Nothing heavy is imported until a command runs.

What a command prints goes through `say`, `say_json`, `say_block`, `refuse` here, or through a `Screen` or a `Display`:
nowhere else is anything written to a terminal (tests/cli/test_gate.py looks for it).
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

try:
    import click
except ImportError:  # `verify` needs no more than numpy, ONNX Runtime, pyarrow and safetensors
    from robusteval.verify.alone import stand_in

    stand_in()

from robusteval.errors import RobustEvalError
from robusteval.foreign import ForeignExit, heeding_ctrl_c, words
from robusteval.text import Gated, block
from robusteval.text import line as one_line

_COMMANDS = {
    "run": "Attack a model with a suite and write record and report.",
    "merge": "Unite the shards of a run, made by --shard, and write its record and report.",
    "train": "Train a defence on a copy of a model, and write the hardened model as ONNX.",
    "references": "Build and list sets of known models that runs on the same data are shown beside.",
    "report": "Render the report of an old run again.",
    "verify": "Check a run's stored adversarials again, with ONNX Runtime alone.",
    "sign": "Sign what verify found, with a key of your own.",
    "inspect": "Print how a model (and its data) was understood.",
    "plugins": "List, show and check installed attacks, defences, metrics, loaders and the rest; begin new ones.",
    "suites": "List and show suites, and print their schema.",
}
_LESS = "Give fewer or smaller samples, fewer --workers, or a smaller model; what was finished is kept."
_IN = {"sign": ("verify_command", "sign_command")}  # where another command's file holds it
_ROOM = "Make room, or send its output elsewhere; what was finished is kept, and the same command goes on from there."
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
_READER_GONE = 141  # as a shell says of a command whose output went to `head`
_streams: list[tuple[TextIO, TextIO]] = []  # standard output and error, while others' prints are kept from them
_FORMERLY = {"calibrate": ("references", "build")}  # the old name does the same, and tells the new one


class _Lazy(click.Group):
    """A group whose commands are imported when they are called, so that --help answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click has it
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        import importlib

        if cmd_name in _FORMERLY:
            group, name = _FORMERLY[cmd_name]
            say(f"`robusteval {cmd_name}` is now called `robusteval {group} {name}`.", err=True)
            found = self.get_command(ctx, group)
            return found.get_command(ctx, name) if isinstance(found, click.Group) else None
        if cmd_name not in _COMMANDS:
            return None

        file, name = _IN.get(cmd_name, (f"{cmd_name}_command", "command"))
        command: click.Command = getattr(importlib.import_module(f"robusteval.cli.{file}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="robusteval", prog_name="robusteval")
def cli() -> None:
    """Evaluate the adversarial robustness of an image classifier.

    \b
    robusteval run model.onnx --suite standard     attack it and write a report
    robusteval inspect model.onnx                  see how it was understood
    robusteval verify reports/RUN                  check the proof again

    Exit codes: 0 all ran, 1 some cell failed, 2 usage or input error, 3 a --fail-under gate not met.
    """


def main() -> None:
    """Runs the command in this process: expected trouble prints one sentence and how to mend it, and exits with 2."""
    sys.exit(obey())


def obey() -> int:
    """Runs the command; its exit code."""
    code = _obeyed()
    try:
        if sys.stdout is not None:  # None: it was closed from the start
            sys.stdout.flush()  # what cannot be written is no success
    except OSError as error:
        return _system_said(error)
    return code


def _obeyed() -> int:
    _ready()
    with heeding_ctrl_c(), _own_streams():
        try:
            return int(cli.main(standalone_mode=False) or 0)
        except click.exceptions.Exit as stop:
            return stop.exit_code
        except (click.Abort, KeyboardInterrupt):
            say("Stopped. What was finished is kept: the same command goes on from there.", err=True)
            return 130
        except click.ClickException as error:
            return _misused(error)
        except RobustEvalError as error:
            return refuse(error.message, error.hint)
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and "can't allocate memory" not in str(error):
                raise  # torch has no exception of its own for it on the processor
            return refuse(f"There is not enough memory: {words(error)}.", _LESS)
        except OSError as error:
            return _system_said(error)
        except SystemExit as stop:
            if _asker(stop) in ("rich.console", "click.core"):  # these end whoever prints to nobody
                return _READER_GONE
            if _ours(stop):
                return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
            return refuse(f"A plugin ended the command: {words(stop)}.", "`robusteval plugins list` shows them all.")
        except ForeignExit as error:
            return refuse(f"A plugin ended the command: {error}.", "`robusteval plugins list` shows them all.")


def _system_said(error: OSError) -> int:
    """The exit code of a command that the system stopped: where nothing more can be written, or nobody reads it any
    more, that is no bug of ours. Raises it again where it may be one."""
    if error.errno == errno.EPIPE and error.filename is None:
        _put_aside()
        return _READER_GONE
    if error.errno in _NO_ROOM and error.filename is None:
        _put_aside()
        return refuse(f"What the command writes cannot be written: {error.strerror}.", _ROOM)
    if error.errno != errno.ENAMETOOLONG:
        raise error
    return refuse(f"No file has a name so long: {one_line(error.filename, 100)}.", "")


def _put_aside() -> None:
    """What waits to be written to standard output goes nowhere, or Python would try again at the end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream().fileno())


@contextlib.contextmanager
def _own_streams() -> Iterator[None]:
    """In a command's own process, what is printed by others, plugins among them, is no part of its answer: it goes to
    standard error, as text. What is said here goes to the streams that there were."""
    from robusteval.cage.page import watched

    if not watched():  # somebody's Python: their streams are theirs
        yield
        return
    before = sys.stdout, sys.stderr
    _streams.append(before)
    sys.stdout = sys.stderr = Gated(sys.stderr)
    try:
        yield
    finally:
        _streams.pop()
        sys.stdout, sys.stderr = before


def stream(err: bool = False) -> TextIO:
    """Where a command writes: standard output, or standard error."""
    return (_streams[-1] if _streams else (sys.stdout, sys.stderr))[err]


def say(text: str = "", err: bool = False) -> None:
    """One line to the terminal, whatever is in it."""
    click.echo(one_line(text), file=stream(err))


def say_block(text: str) -> None:
    """Several lines to the terminal, which end as the text does."""
    click.echo(block(text), nl=False, file=stream())


def say_json(data: Any) -> None:
    """A machine-readable answer: JSON's own escapes, and of the one control that JSON leaves as it is."""
    click.echo(json.dumps(data, indent=1).replace("\x7f", "\\u007f"), file=stream())


def refuse(message: str, hint: str) -> int:
    """Prints one sentence and how to mend it; the exit code."""
    click.secho("Error: ", fg="red", bold=True, nl=False, file=stream(err=True))
    say(message, err=True)
    if hint:
        say(f"  {hint}", err=True)
    return 2


def say_bug() -> None:
    """The traceback of what is being handled. What it quotes of files and plugins is theirs all the same."""
    click.echo(block(traceback.format_exc()), nl=False, file=stream(err=True))


def _misused(error: click.ClickException) -> int:
    """Says what is wrong with the words of a command, which may have been pasted; the exit code."""
    said, message = io.StringIO(), error.format_message()
    error.show(said)
    click.echo(block(said.getvalue().replace(message, one_line(message))), nl=False, file=stream(err=True))
    return 2


def _ready() -> None:
    """Letters that a terminal cannot write become escapes, and no error; warnings of libraries quote files too."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # not every stream can
    warnings.formatwarning = _warning


def _warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,  # noqa: ARG001 - as Python has it
) -> str:
    return f"{one_line(filename)}:{lineno}: {category.__name__}: {one_line(message)}\n"


def _ours(stop: SystemExit) -> bool:
    """Whether a command of ours asked for it, and no plugin."""
    return _asker(stop).startswith(("robusteval.cli.", "click."))


def _asker(stop: SystemExit) -> str:
    """The module that asked for the end."""
    last = stop.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return "" if last is None else str(last.tb_frame.f_globals.get("__name__"))
