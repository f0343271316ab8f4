"""What commands share: kinds of options, and the form of the output."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

import click

from ..api.result import Result
from ..cluster_profiles.units import parse_duration_s
from ..cluster_profiles.visible_text import show_controls
from ..errors import InputError
from ..render.columns import wrap
from ..render.layout import Page
from .working import describer, printing

_CLEARED = "\r\x1b[K"  # the line, and the cursor at its beginning


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


def echo(line: str = "") -> None:
    """Print a line on stdout; what steers a terminal is shown as an escape."""
    echo_text(f"{show_controls(line)}\n")


def echo_text(text: str) -> None:
    """Print a text of several lines, such as JSON or a job file, on stdout; what steers a terminal is shown as an escape."""
    _print(show_controls(text, keep="\n\t"))


def echo_bytes(log: bytes) -> None:
    """Print what a run printed, byte by byte: this alone reaches a terminal as it is."""
    _print(log)


def show_live(text: str) -> None:
    """Put a text in place of the terminal's last line, without a line break; an empty one clears that line."""
    _print(_CLEARED + show_controls(text))


def _print(text: str | bytes, *, err: bool = False, color: bool | None = None) -> None:
    """Print on stdout or stderr; the line that says what takes long makes room."""
    with printing():
        click.echo(text, nl=False, err=err, color=color)


def _wants_colour(stream: TextIO | None) -> bool:
    """Whether to colour: NO_COLOR says no, FORCE_COLOR yes (https://no-color.org, https://force-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream is not None and stream.isatty())


def _width(stream: TextIO | None) -> int | None:
    """The columns of a stream that is a terminal, or that FORCE_COLOR makes one; None for any other."""
    if stream is None or not stream.isatty():
        is_forced = os.environ.get("FORCE_COLOR") and os.environ.get("COLUMNS")
        return shutil.get_terminal_size().columns if is_forced else None
    return shutil.get_terminal_size(os.get_terminal_size(stream.fileno())).columns


def echo_page(fill: Callable[[Page], None]) -> None:
    """Print a page that `fill` writes on: as wide as the terminal, and coloured if there is one."""
    colour = _wants_colour(sys.stdout)
    page = Page(_width(sys.stdout), colour=colour)
    fill(page)
    _print(str(page), color=colour)


def echo_result(result: Result, *, as_json: bool, indent: int | None = 2) -> None:
    """Print a result as JSON (without an indent in one line) or as a page; its remarks go to stderr."""
    for remark in result.remarks:
        say(remark)
    if as_json:
        echo_text(json.dumps(result.as_dict(), indent=indent) + "\n")
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
    """Give what says on a terminal which run is collected, None where there is none.

    The notes of an error are printed: what could not be collected before it.
    """
    describe = describer()
    with say_notes():
        yield describe and (lambda number, total: describe(f"collecting run {number:,} of {total:,}"))
        if describe:
            describe("")


def choose_latest(ids: Sequence[str], beginning: str | None) -> str:
    """Return the first id, the latest of those that begin so; say it if there are others."""
    if len(ids) > 1:
        say(f"{ids[0]}: the latest of {len(ids):,} runs that begin with {beginning!r}")
    return ids[0]


def say(text: str, label: str = "") -> None:
    """Print a note or an error on stderr, after a red label: wrapped on a terminal, one line in a file or a pipe."""
    columns, whole = _width(sys.stderr), show_controls(f"{label} {text}" if label else text)
    lines = wrap(whole, columns) if columns else [whole]
    message = "\n".join(lines)
    if label:
        message = click.style(label, fg="red", bold=True) + message[len(label) :]
    _print(f"{message}\n", err=True)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
