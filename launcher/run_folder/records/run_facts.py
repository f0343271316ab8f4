"""What runs, and on what: `run.json`, which the command that makes a run writes once.

It is an open table: `clusterplan resume` writes it again, with the keys of newer versions that it does not know.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict

from ....cluster_profiles.files.bounded_file import Opener, open_regular
from ....errors import UnreadableFile
from ..folder import RUN_FILE
from .files import read_record
from .values import Count, Seconds


class RunShape(TypedDict, total=False):
    """The configuration of a submitted run, as it was planned."""

    model: str | None
    gpu: str | None
    nodes: Count
    gpus: Count
    gpus_per_node: Count
    batch_size: Count
    accumulation: Count
    model_parallel: Count
    precision: str | None
    seq_len: Count | None
    tensor_parallel: Count | None
    pipeline_parallel: Count | None
    zero_stage: Count | None
    cluster: str | None
    parameters: Count | None
    active_parameters: Count | None
    trainable_parameters: Count | None


class StageFacts(TypedDict, total=False):
    """A run as a stage of a job: its share in words, the folder of the stage before, and what its check asks."""

    share: str
    before: str | None
    check: Mapping[str, float | None] | None


class OrderFacts(TypedDict, total=False):
    """What a run of a campaign waits for: folders of runs that must complete, of runs that must end, and a Unix time."""

    completed: tuple[str, ...] | None
    ended: tuple[str, ...] | None
    begin_s: Seconds | None


class CampaignFacts(TypedDict, total=False):
    """The campaign that a run is of, and its job there."""

    campaign: str
    job: str


class GitFacts(TypedDict, total=False):
    """The commit of a run's code, and whether files had changed."""

    commit: str | None
    dirty: bool


class RunFacts(TypedDict, total=False):
    """The values of run.json; docs/reference/run-folder.md describes them."""

    format: Count
    run: str
    name: str
    kind: str | None
    model: str | None
    command: tuple[str, ...] | None
    host: str | None
    user: str | None
    began_s: Seconds | None
    pid: Count
    birth: str
    executor: str
    cwd: str
    steps: Count | None
    precision_is_stated: bool
    sweep: Mapping[str, str] | None
    shape: RunShape | None
    shape_since_s: Seconds | None
    git: GitFacts | None
    environment: Mapping[str, str] | None
    packages: tuple[str, ...] | None
    probe: bool
    stage: StageFacts | None
    order: OrderFacts | None
    campaign: CampaignFacts | None
    resumes: str | None
    measurements: tuple[Mapping[str, Any], ...] | None


def read_run_facts(folder: Path, opener: Opener = open_regular) -> RunFacts:
    """Return the values of run.json.  Raises UnreadableFile, also where the file is missing or the folder is gone."""
    facts = read_record(RunFacts, folder / RUN_FILE, opener)
    if facts is None:
        raise UnreadableFile(folder / RUN_FILE, "is missing")
    return facts


def waits_for_runs(folder: Path) -> bool:
    """Return whether a run begins after other runs; False where its run.json cannot be read: the run goes on."""
    with suppress(UnreadableFile):
        facts = read_run_facts(folder)
        return bool(facts.get("stage") or facts.get("order"))
    return False


def is_stage(folder: Path) -> bool:
    """Return whether a run is a stage of a job; False where its run.json cannot be read: the run goes on."""
    with suppress(UnreadableFile):
        return bool(read_run_facts(folder).get("stage"))
    return False
