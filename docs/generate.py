"""The parts of the pages that are made from the code; `make docs-pages` writes them, lint checks them."""

import contextlib
import io
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from code_tables import advice, api_routes, frameworks, preflight, waiting
from key_tables import campaign, entered, job_file, profile
from log_format_tables import log_formats
from machine_tables import catalogue, history_schema, report_metrics, spool_fields, tick_calls

from clusterplan.cli import clusterplan, main

__all__ = [
    "advice",
    "api_routes",
    "blocks_not_run",
    "campaign",
    "catalogue",
    "commands",
    "entered",
    "frameworks",
    "history_schema",
    "job_file",
    "log_formats",
    "preflight",
    "profile",
    "published_trainings",
    "report_metrics",
    "shown",
    "shown_after",
    "spool_fields",
    "tick_calls",
    "waiting",
]

os.environ["CLUSTERPLAN_HISTORY"] = (
    "/nonexistent/history.db"  # what the writer has run is not for these pages
)
_HELP_WIDTH = 100


def commands() -> str:
    """The help of every command."""
    settings = {**clusterplan.context_settings, "max_content_width": _HELP_WIDTH}
    context = click.Context(clusterplan, info_name="clusterplan", terminal_width=_HELP_WIDTH, **settings)
    return "\n".join(_help(clusterplan, context))


def _help(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"\n## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner:
                yield from _help(inner, click.Context(inner, info_name=name, parent=context))


def blocks_not_run() -> str:
    """Return how many blocks of commands of the pages nothing runs, and why."""
    sys.path.append(str(Path(__file__).parent.parent / "tests"))
    from page_blocks import count_blocks  # noqa: PLC0415  the tests' module, which is no package

    counts = {kind: count for kind, count in sorted(count_blocks().items()) if kind.startswith("not run: ")}
    rows = (f"| {kind.removeprefix('not run: ')} | {count} |\n" for kind, count in counts.items())
    return f"\n| blocks of commands in these pages that no test runs | |\n|---|---|\n{''.join(rows)}"


def published_trainings() -> str:
    """Return what was published of trainings beside the estimates of the same jobs."""
    program = str(Path(__file__).parent.parent / "benchmarks/published_trainings.py")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)  # noqa: S603  our own program
    return f"\n{done.stdout}"


def shown_after(entered: str, arguments: str) -> str:
    """The same, where the history has what a CSV file of measurements says, and nothing else."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"CLUSTERPLAN_HISTORY": f"{folder}/history.db", "CLUSTERPLAN_RUNS": f"{folder}/runs"}
        path = Path(folder, "measured.csv")
        path.write_text(entered, encoding="utf-8")
        done = shown(f"history add --csv {path}")
        if "entered" not in done:
            raise ValueError(f"not what a page can show: {done}")
        try:
            return shown(arguments)
        finally:
            os.environ.clear()
            os.environ |= before


def shown(arguments: str) -> str:
    """A command as typed from the root of the repository, and what it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main(shlex.split(arguments))
    return f"\n```console\n$ clusterplan {arguments}\n{out.getvalue()}```\n"
