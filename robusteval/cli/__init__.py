"""The command line. Nothing heavy is imported until a command runs."""

from __future__ import annotations

import sys

try:
    import click
except ImportError:  # `verify` needs no more than numpy, ONNX Runtime and safetensors
    from robusteval.verify.alone import stand_in

    stand_in()

from robusteval.errors import RobustEvalError
from robusteval.foreign import ForeignExit, heeding_ctrl_c, words

_COMMANDS = {
    "run": "Attack a model with a suite and write record and report.",
    "merge": "Unite the shards of a run, made by --shard, and write its record and report.",
    "train": "Train a defence on a copy of a model, and write the hardened model as ONNX.",
    "references": "Build and list sets of known models that runs on the same data are shown beside.",
    "report": "Render the report of an old run again.",
    "verify": "Check a run's stored adversarials again, with ONNX Runtime alone.",
    "inspect": "Print how a model (and its data) was understood.",
    "plugins": "List and show the installed attacks, defences, metrics, loaders, data sets, suites and executors.",
    "suites": "List and show suites, and print their schema.",
}
_FORMERLY = {"calibrate": ("references", "build")}  # the old name does the same, and tells the new one


class _Lazy(click.Group):
    """A group whose commands are imported when they are called, so that --help answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click has it
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        import importlib

        if cmd_name in _FORMERLY:
            group, name = _FORMERLY[cmd_name]
            click.echo(f"`robusteval {cmd_name}` is now called `robusteval {group} {name}`.", err=True)
            found = self.get_command(ctx, group)
            return found.get_command(ctx, name) if isinstance(found, click.Group) else None
        if cmd_name not in _COMMANDS:
            return None

        module = importlib.import_module(f"robusteval.cli.{cmd_name}_command")
        command: click.Command = module.command
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
    with heeding_ctrl_c():
        try:
            return int(cli.main(standalone_mode=False) or 0)
        except click.exceptions.Exit as stop:
            return stop.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo("Stopped. What was finished is kept: the same command goes on from there.", err=True)
            return 130
        except click.ClickException as error:
            error.show()
            return 2
        except RobustEvalError as error:
            return refuse(error.message, error.hint)
        except SystemExit as stop:
            if _ours(stop):
                return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
            return refuse(f"A plugin ended the command: {words(stop)}.", "`robusteval plugins list` shows them all.")
        except ForeignExit as error:
            return refuse(f"A plugin ended the command: {error}.", "`robusteval plugins list` shows them all.")


def refuse(message: str, hint: str) -> int:
    """Prints one sentence and how to mend it; the exit code."""
    click.secho("Error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(message, err=True)
    if hint:
        click.echo(f"  {hint}", err=True)
    return 2


def _ours(stop: SystemExit) -> bool:
    """Whether a command of ours asked for it, and no plugin."""
    last = stop.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and str(last.tb_frame.f_globals.get("__name__")).startswith(("robusteval.cli.", "click."))
