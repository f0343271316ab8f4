"""The command line: parse, call, render, echo.  The only place that prints and exits."""

import errno
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from ..errors import ClusterplanError
from ..launcher.slurm.silences import remembered_silences
from .working import show_work

_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"  # pydantic's own name of the variable

# The module of each command, and its line in the help.  A module is imported when its command is used.
_COMMANDS = {
    "init": ("init", "Write a job file from a batch script, a launch line or a config."),
    "estimate": (
        "estimate",
        "Estimate steps, wall-clock and GPU-hours of a job before you book.",
    ),
    "schedule": (
        "schedule",
        "Plan many jobs on few GPUs: who gets how many GPUs, and when.",
    ),
    "book": ("book", "Say what to book for many jobs: how many nodes for how long."),
    "calibrate": ("calibrate", "Measure a job by short probes of itself."),
    "submit": ("submit", "Run a job on Slurm, or on this machine, so that it survives."),
    "status": ("status", "Show how runs go, when they end, why they wait or failed."),
    "watch": ("watch", "Watch runs live: GPUs, progress, time left, place in line."),
    "logs": ("logs", "Print the log of a run."),
    "cancel": ("cancel", "Stop runs for good."),
    "resume": ("resume", "Go on with a run that has ended, from its newest checkpoint."),
    "sample": ("sample", "Record what this machine's GPUs do while a command runs."),
    "report": ("report", "Show how well a run used its GPUs, and how to do better."),
    "advise": ("advise", "Say whether a training may stop, and what that saves."),
    "history": ("history", "Look at past runs: one SQLite file that any tool can read."),
    "serve": ("serve", "Show the history in a browser, and answer programs."),
    "config": ("config", "Show the settings of this site and of yours."),
    "doctor": ("doctor", "Check whether clusterplan can run here, and say what to do."),
    "completion": ("completion", "Print the script that makes a shell complete commands and runs."),
    "profiles": ("profiles", "Show the known clusters: partitions, limits, GPUs, links."),
}

_SECTIONS = {
    "Plan": "init estimate schedule book calibrate",
    "Run": "submit status watch logs cancel resume",
    "Look": "report advise sample",
    "Learn": "history serve",
    "Setup": "config profiles doctor completion",
}
_OF_RUNS = ("status", "watch", "logs", "cancel", "resume", "report", "advise")  # whose first word is a run
_EPILOG = (
    "Exit codes: 0 fine, 1 the job or check failed, 2 bad usage or input, 3 something needed is missing.",
    "Help on a command: clusterplan COMMAND --help",
    "Documentation: docs/index.md of the source; `make docs` makes a site of it.",
)


@contextmanager
def _without_plugins() -> Iterator[None]:
    """Keep pydantic from looking through every installed package for plugins as it builds our models.

    That takes as long as the models do.  A command that is started later sees the user's own value again.
    """
    before = os.environ.get(_PLUGINS)
    os.environ[_PLUGINS] = "__all__"
    try:
        yield
    finally:
        os.environ.pop(_PLUGINS)
        if before is not None:
            os.environ[_PLUGINS] = before


# What other programs call these: docker and kubectl, nvidia-smi's kin, wandb and torchx.
_ELSEWHERE = {
    "ps": "status",
    "list": "status",
    "top": "watch",
    "run": "submit",
    "help": "--help",
    "version": "--version",
}


class _Group(click.Group):
    """Commands that are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, _ = _COMMANDS[cmd_name]
        # A command keeps everything that it loads, so the collector need not search it: a fifth of the time of `estimate`.
        gc.disable()
        try:
            with _without_plugins():
                command = getattr(import_module(f".{module}", __package__), cmd_name)
        finally:
            gc.freeze()
            gc.enable()
        assert isinstance(command, click.Command)  # noqa: S101  for the type checker
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name; while a shell completes its first word, one that loads little."""
        if ctx.resilient_parsing and len(args) == 1 and args[0] in _OF_RUNS:
            from .completion import RunFirst  # noqa: PLC0415  the history, for all else

            return args[0], RunFirst(args[0], lambda: self.get_command(ctx, args[0])), []
        if args[0] in _ELSEWHERE and not ctx.resilient_parsing:
            ctx.fail(f"No such command {args[0]!r}; did you mean {_ELSEWHERE[args[0]]!r}?")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command without importing any."""
        names = [
            CompletionItem(name, help=text)
            for name, (_, text) in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> Any:
        with remembered_silences(), show_work():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        widest = max(map(len, _COMMANDS))
        for section, names in _SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(f"{name:{widest}}", _COMMANDS[name][1]) for name in names.split()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        formatter.write_paragraph()
        for line in _EPILOG:
            formatter.write_text(line)


@click.group(
    cls=_Group,
    commands=[click.Command(name) for name in _COMMANDS],  # only to suggest the nearest to a misspelt one
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="clusterplan", message="%(prog)s %(version)s")
def clusterplan() -> None:
    """Plan training jobs on shared GPUs: steps, wall-clock and GPU-hours before anything is booked.

    A first question:

        clusterplan estimate --samples 1_000_000 --batch-size 32 --gpus 8
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command; an error becomes one line on stderr and an exit code."""
    try:
        code = clusterplan.main(args, prog_name="clusterplan", standalone_mode=False)
        if sys.stdout:
            sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as help_text:
        from .options import echo_text  # noqa: PLC0415  what `--help` itself does without

        echo_text(f"{help_text.format_message()}\n")
        sys.exit(0)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except ClusterplanError as error:
        _fail(str(error), error.exit_code)
    except click.Abort:
        _fail("stopped", 130)
    except OSError as error:
        _fail_with_os_error(error)
    gc.freeze()  # the process ends here: nothing left is worth searching
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    from .options import say  # noqa: PLC0415  what no command needs but one that fails

    say(" ".join(line.strip() for line in message.split("\n")), label="Error:")
    sys.exit(code)


def _fail_with_os_error(error: OSError) -> NoReturn:
    if error.filename:
        _fail(f"{error.filename}: {error.strerror}", 1)
    if error.errno == errno.ENOENT:  # without a name only from a working folder that is gone
        _fail("the working folder does not exist any more: go to another one", 1)
    if sys.stdout:  # its buffer would fail again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno == errno.EPIPE:  # the reader of our output is gone; nothing is left to say
        sys.exit(1)
    _fail(f"the output cannot be written: {error.strerror}", 1)
