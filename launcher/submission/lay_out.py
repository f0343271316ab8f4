"""From what is decided to the launch of one run: the placeholders that depend on its folder and its values.  Pure."""

from collections.abc import Mapping
from pathlib import PurePath

from ..command.deepspeed import with_config
from ..command.placeholders import LATEST, OUTPUT, fill_placeholders
from ..run_folder.folder import DEEPSPEED_FILE
from ..run_folder.launch import Launch
from .decide import Decision


def lay_out(
    decision: Decision,
    folder: str,
    values: Mapping[str, str],
    cwd: str,
    local_gpus: tuple[str, ...] | None = None,
) -> Launch:
    """Return the launch of the run in `folder`, with these values of the sweep, whose command runs in `cwd`.

    `local_gpus` are the UUIDs of the GPUs that a run on this machine may wait for.
    """
    output = _output(decision.checkpoint.folder, folder, cwd, alone=not values)
    values_of_run = {OUTPUT: output, **values}
    command = fill_placeholders(decision.command, values_of_run)
    if decision.deepspeed_config is not None:
        command = with_config(command, f"{folder}/{DEEPSPEED_FILE}")
    return Launch(
        command=command,
        resume=fill_placeholders(decision.resume, values_of_run, later=[LATEST]),
        cwd=cwd,
        environment=decision.environment,
        bootstrap=decision.bootstrap,
        one_task=decision.one_task,
        nodes=decision.request.nodes,
        gpus=decision.request.gpus,
        output=output,
        stop_signal=decision.stop_signal,
        grace_s=decision.grace_s,
        max_restarts=decision.max_restarts,
        log_pattern=decision.log_pattern,
        stall_command=decision.stall_command,
        local_gpus=local_gpus,
        limit_s=decision.limit_s,
        checkpoint_pattern=decision.checkpoint.pattern,
        container=decision.container,
        umask=decision.umask,
    )


def _output(stated: str | None, folder: str, cwd: str, *, alone: bool) -> str:
    """Return the folder of a run's checkpoints; runs of a sweep must not resume from one another's."""
    if stated is None:
        return f"{folder}/output"
    return str(PurePath(cwd, stated) if alone else PurePath(cwd, stated, PurePath(folder).name))
