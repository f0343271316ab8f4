"""The flags of a workload, made from its models."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from ..cluster_profiles.catalog import profile_paths
from ..cluster_profiles.gpu import read_gpus
from ..errors import InputError
from ..estimator.job.workload import list_flags
from .help import TABLES, write_groups

_LISTS = ("gpus", "precision")


class WorkloadCommand(click.Command):
    """A command with every flag of a workload; the flags are made when the command is used."""

    tables = True  # whether several values of a flag make a table
    common: Sequence[str] = ("gpus", "batch_size", "samples", "epochs", "profile")  # first in the help
    title = "Question"  # of the options that are the command's own, in the help

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the arguments.  Raises NoSuchOption that says where an unknown option belongs."""
        try:
            return super().make_context(*args, **extra)
        except click.NoSuchOption as error:
            from .unknown_option import explain_option  # noqa: PLC0415  difflib, for a wrong option only

            known = [name for p in self.params if isinstance(p, click.Option) for name in p.opts]
            raise click.NoSuchOption(
                error.option_name, explain_option(error.option_name, known), ctx=error.ctx
            ) from None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if not getattr(self, "_complete", False):
            shared = [
                _option(flag, place[-1], field, tables=self.tables) for flag, place, field in list_flags()
            ]
            arguments = [p for p in self.params if isinstance(p, click.Argument)]
            options = [p for p in self.params if not isinstance(p, click.Argument)]
            self.params = [*arguments, *shared, *options]
            self._complete = True
        return super().get_params(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by what they are about."""
        titles = {
            flag.removeprefix("--").replace("-", "_"): TABLES[place[0]] for flag, place, _ in list_flags()
        }
        write_groups(ctx, formatter, titles, self.common, self.title)


def _option(flag: str, key: str, field: Any, *, tables: bool) -> click.Option:
    name, description = flag.removeprefix("--").replace("-", "_"), field.description
    metavar = str(field.json_schema_extra["metavar"])
    if not metavar:  # it takes no value: a switch
        return click.Option([f"{flag}/--no-{flag[2:]}", name], default=None, help=description)
    if tables and name in _LISTS:
        metavar, description = f"{metavar}[,{metavar}...]", f"{description[:-1]}; several make a table."
    choices = [str(value) for value in field.annotation] if hasattr(field.annotation, "__members__") else None
    text = f"{description} [{', '.join(choices)}]" if choices else description
    return click.Option([flag, name], metavar=metavar, help=text, shell_complete=_completer(key, choices))


def _completer(key: str, choices: list[str] | None) -> Callable[..., list[str]] | None:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
        values = choices
        if key == "profile":
            values = sorted(profile_paths())
        elif key == "gpu":
            values = list(read_gpus())
        before, comma, beginning = incomplete.rpartition(",") if key in _LISTS else ("", "", incomplete)
        return [f"{before}{comma}{value}" for value in values or [] if value.startswith(beginning)]

    return complete if choices or key in {"profile", "gpu"} else None


def workload_values(flags: dict[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return the values of the flags that were used; then the lists of --gpus and --precision, which are not in them."""
    values = {name: value for name, value in flags.items() if value is not None}
    gpus, precisions = (_split(name, values.pop(name, None)) for name in _LISTS)
    return values, gpus, precisions


def one_shape(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the flags that were used, with one value each.  Raises InputError for several."""
    values, gpus, precisions = workload_values(flags)
    if len(gpus) > 1 or len(precisions) > 1:
        raise InputError("--gpus and --precision: give one value of each; `estimate` compares several")
    first = {name: listed[0] for name, listed in (("gpus", gpus), ("precision", precisions)) if listed}
    return values | first


def _split(name: str, text: str | None) -> list[str]:
    if text is None:
        return []
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise click.BadParameter(f"{text!r} has an empty place; write --{name} A,B,C", param_hint=f"--{name}")
    return list(dict.fromkeys(items))
