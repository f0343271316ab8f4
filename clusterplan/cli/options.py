"""What commands share: the flags of a workload, made from its models, and the form of the output."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import click

from ..api.result import Result
from ..cluster_profiles.catalog import profile_paths
from ..cluster_profiles.gpu import read_gpus
from ..cluster_profiles.units import parse_duration_s
from ..errors import InputError
from ..estimator.job.workload import list_flags
from ..render.layout import Page, wrap

_CLEARED = "\r\x1b[K"
_LISTS = ("gpus", "precision")


class WorkloadCommand(click.Command):
    """A command with every flag of a workload; the flags are made when the command is used."""

    tables = True  # whether several values of a flag make a table

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


def utf8_text(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return the text, as a callback of click.  Raises BadParameter for bytes that the terminal could not decode."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise click.BadParameter(f"{value!r} is not UTF-8 text", ctx, param) from None
    return value


def duration_s(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:  # noqa: ARG001
    """Return the seconds of a duration, as a callback of click.  Raises InputError."""
    if value is None:
        return None
    try:
        seconds = parse_duration_s(value)
    except ValueError as error:
        raise InputError(f"{param.opts[0]}: {value!r} {error}") from None
    if seconds <= 0:
        raise InputError(f"{param.opts[0]}: {value!r} must be greater than 0")
    return seconds


def _width(stream: TextIO | None) -> int | None:
    """The columns of a stream that is a terminal; None for any other."""
    if stream is None or not stream.isatty():
        return None
    return shutil.get_terminal_size(os.get_terminal_size(stream.fileno())).columns


def echo_page(fill: Callable[[Page], None]) -> None:
    """Print a page that `fill` writes on: as wide as the terminal, and coloured if there is one."""
    columns = _width(sys.stdout)
    page = Page(columns, colour=columns is not None and not os.environ.get("NO_COLOR"))
    fill(page)
    click.echo(str(page), nl=False)


def echo_result(result: Result, *, as_json: bool, indent: int | None = 2) -> None:
    """Print a result as JSON (without an indent in one line) or as a page; its remarks go to stderr."""
    for remark in result.remarks:
        say(remark)
    if as_json:
        click.echo(json.dumps(result.as_dict(), indent=indent))
    else:
        echo_page(result.write)


@contextmanager
def say_notes() -> Iterator[None]:
    """Print the notes of an exception on stderr before it goes on."""
    try:
        yield
    except BaseException as error:
        for note in getattr(error, "__notes__", ()):
            say(note)
        raise


@contextmanager
def show_collecting() -> Iterator[Callable[[int, int], None] | None]:
    """Show on a terminal which run is collected, if that takes a while; clear that line at the end.

    The notes of an error are printed: what could not be collected before it.
    """
    with say_notes(), _show_progress() as progress:
        yield progress


@contextmanager
def _show_progress() -> Iterator[Callable[[int, int], None] | None]:
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    line = ""

    def show(number: int, total: int) -> None:
        nonlocal line
        line = f"collecting run {number:,} of {total:,}"
        click.echo(_CLEARED + line, nl=False, err=True)

    try:
        yield show
    finally:
        click.echo(_CLEARED if line else "", nl=False, err=True)


def choose_latest(ids: Sequence[str], beginning: str | None) -> str:
    """Return the first id, the latest of those that begin so; say it if there are others."""
    if len(ids) > 1:
        say(f"{ids[0]}: the latest of {len(ids):,} runs that begin with {beginning!r}")
    return ids[0]


def say(text: str, label: str = "") -> None:
    """Print a note or an error on stderr, after a red label: wrapped on a terminal, one line in a file or a pipe."""
    columns, whole = _width(sys.stderr), f"{label} {text}" if label else text
    lines = [part for line in whole.splitlines() for part in wrap(line, columns)] if columns else [whole]
    message = "\n".join(lines)
    if label:
        message = click.style(label, fg="red", bold=True) + message[len(label) :]
    click.echo(message, err=True)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
