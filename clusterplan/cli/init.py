"""`clusterplan init`."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from ..api.scripts.init import JobFile
from ..api.scripts.init import init as read_job_file
from ..cluster_profiles.visible_text import show_controls
from ..errors import InputError
from ..render.layout import Page
from .completion import complete_file
from .options import echo_page, echo_text, json_option, say
from .working import leave_terminal
from .workload_options import WorkloadCommand, one_shape

_ASKED = (
    "data.samples",
    "training.gpus",
    "cluster.nodes",
    "training.batch_size",
    "training.epochs",
    "training.accumulation",
)


_IS_COMMAND = "clusterplan.init.is_command"


class _Init(WorkloadCommand):
    """Takes a workload's flags, one value of each; words after two dashes are a command."""

    tables = False
    common = ("samples", "gpus", "epochs", "profile", "output")
    title = "Job file"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, and note whether a command is among them."""
        ctx.meta[_IS_COMMAND] = "--" in args
        return super().parse_args(ctx, args)


@click.command(cls=_Init)
@click.argument("source", required=False, shell_complete=complete_file)
@click.argument("words", nargs=-1, metavar="[ARGUMENT]...", type=click.UNPROCESSED)
@click.option(
    "-o",
    "--output",
    default="job.toml",
    show_default=True,
    metavar="FILE",
    help="The job file; `-` prints it. A file that exists is not replaced.",
)
@click.option("--force", is_flag=True, help="Replace a job file that exists.")
@json_option
def init(
    source: str | None,
    words: tuple[str, ...],
    output: str,
    force: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **flags: Any,
) -> None:
    """Write a commented job file from a batch script, a shell script, a launch line or a config.

    SOURCE is read and never run; what it does not say is asked on a terminal, or marked in the file:

        clusterplan init run.sh

        clusterplan init finetune.sh --samples 1_000_000 --gpus 8 -o finetune.toml

        clusterplan init -- torchrun --nproc_per_node 8 train.py --bf16

    It takes #SBATCH lines, the variables of the script, torchrun, accelerate, deepspeed and srun, the arguments and
    configs of Hugging Face's Trainer, LLaMA-Factory, axolotl, ms-swift, Lightning, hydra, litgpt, llm-foundry, Megatron-LM,
    torchtitan and nanoGPT.
    """
    values = one_shape(flags)
    file = _read(source, words, values)
    file = _ask(file, source, words, values)
    if as_json:
        echo_text(json.dumps(file.as_dict(), indent=2) + "\n")
        return
    if output == "-":
        echo_text(file.text)
        for question in file.recipe.questions:
            say(f"to fill in: {question.key}: {question.why}")
        return
    _write(Path(output), file.text, force=force)
    echo_page(lambda page: _write_page(page, file, output))


def _read(source: str | None, words: tuple[str, ...], values: dict[str, Any]) -> JobFile:
    if source is not None and click.get_current_context().meta[_IS_COMMAND]:
        return read_job_file(command=(source, *words), **values)
    return read_job_file(source, words, **values)


def _ask(file: JobFile, source: str | None, words: tuple[str, ...], values: dict[str, Any]) -> JobFile:
    """Ask on a terminal what only a person knows; an empty answer leaves it to the file."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
        return file
    leave_terminal()
    for key in _ASKED:
        question = next((question for question in file.recipe.questions if question.key == key), None)
        if question is None:
            continue
        proposal = "" if question.proposal is None else show_controls(str(question.proposal))
        answer = click.prompt(
            f"{show_controls(f'{key}: {question.why}')}\n  (empty: later)",
            default=proposal,
            show_default=bool(proposal),
            err=True,
        )
        if str(answer).strip():
            values[key.partition(".")[2]] = str(answer).strip()
            file = _read(source, words, values)
    return file


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(
            f"{path}: is there already: give another one by -o, or --force to replace it"
        ) from None


def _write_page(page: Page, file: JobFile, output: str) -> None:
    file.write(page)
    page.line()
    if file.recipe.questions:
        page.sentence(f"wrote {output}; fill in the lines that begin with FILL IN. Then:")
    else:
        page.sentence(f"wrote {output}. Next:")
    page.line(f"  clusterplan estimate {output}")
    page.line(f"  clusterplan submit {output} --dry-run")
