"""The folder of a new run: everything that is written before its job is queued."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ...errors import ClusterplanError, InputError
from ...estimator.job.placement import Placement
from ...estimator.job.workload import Workload
from ..run_folder.folder import (
    DEEPSPEED_FILE,
    DIFF_FILE,
    ESTIMATE_FILE,
    JOB_FILE,
    REQUEST_FILE,
    create_run_folder,
    json_text,
    register_run,
    write_text,
)
from .plan import Plan
from .snapshot import redact, take_snapshot


def describe_run(
    workload: Workload,
    placement: Placement,
    command: Sequence[str],
    steps: int | None,
    executor: str,
    cwd: Path,
    environment: Mapping[str, str],
    python: str | None,
) -> dict[str, Any]:
    """What run.json says of a submitted run: what it was made from, and the shape that a measurement of it has."""
    training = workload.training
    return {
        "kind": "submit",
        "model": workload.model,
        "command": redact(command),
        "host": socket.gethostname(),
        "executor": executor,
        "cwd": str(cwd),
        "steps": steps,
        "shape": {
            "model": workload.model,
            "gpu": placement.gpu.key if placement.gpu else None,
            "nodes": placement.nodes,
            "gpus": placement.gpus,
            "gpus_per_node": placement.gpus_per_node,
            "batch_size": training.batch_size,
            "accumulation": training.accumulation,
            "model_parallel": training.model_parallel,
            "precision": placement.precision,
            "seq_len": workload.data.seq_len,
        },
        **take_snapshot(cwd, environment, python),
    }


def make_folders(
    name: str, root: Path, now: datetime, facts: Mapping[str, Any], swept: Sequence[Mapping[str, str]]
) -> Iterator[Path]:
    """A folder for the run of each combination of a sweep, as it is made.  Raises RunFolderError, OSError."""
    known = {**facts, "began_s": now.timestamp()}
    diff = known.pop("diff")  # in a file of its own: run.json is read by every command
    for values in swept:
        folder = create_run_folder(name, root, now, {**known, "sweep": dict(values) or None})
        yield folder
        if diff:
            write_text(folder / DIFF_FILE, diff)


def fill_folders(
    folders: Sequence[Path],
    plan: Plan,
    workload: Workload,
    estimate: Mapping[str, Any] | None,
    local_gpus: tuple[str, ...] | None,
    limit_s: float | None,
    history: Path,
) -> None:
    """What each run's tasks need, and the run's place in the list of runs; `limit_s` is that of a run on this machine.

    Raises OSError, RunFolderError."""
    common = {
        REQUEST_FILE: asdict(plan.request),
        JOB_FILE: workload.model_dump(mode="json", exclude={"run"}),
        ESTIMATE_FILE: estimate or None,
        DEEPSPEED_FILE: plan.deepspeed_config,
    }
    texts = {name: json_text(values) for name, values in common.items() if values is not None}
    for folder, launch in zip(folders, plan.launches, strict=True):
        replace(launch, local_gpus=local_gpus, limit_s=limit_s).write(folder)
        for name, text in texts.items():
            write_text(folder / name, text)
        if launch.output:
            Path(launch.output).mkdir(mode=0o700, parents=True, exist_ok=True)
        register_run(folder, history)


def local_gpus(wanted: int, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The GPUs of this machine that a run may wait for; none where there are none.  Raises InputError if too few."""
    from ..sampler import nvml  # noqa: PLC0415  pynvml, for a run on this machine only
    from ..sampler.visible_gpus import select_visible  # noqa: PLC0415  likewise

    try:
        with nvml.open_library() as library:
            found = select_visible(library.devices()[0], environment)[0]
    except ClusterplanError:
        return ()
    whole = tuple(device.identity.uuid for device in found if not device.identity.mig_parent)
    if whole and wanted > len(whole):
        raise InputError(f"--gpus: {wanted} are wanted, and this machine has {len(whole)}")
    return whole
