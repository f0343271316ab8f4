"""What a submission is held against before it is made."""

import os

from ..errors import InputError
from ..estimator.estimate.estimate import Estimate
from ..estimator.job.run import Bootstrap
from ..estimator.job.workload import Workload
from ..launcher.command.launchers import alone_on_its_node
from ..launcher.submission.machine import Machine, lacks_torch, with_real_names
from ..launcher.submission.plan import Plan
from ..launcher.submission.preflight import Job, Problem, find_problems
from .destination import Destination
from .options import say


def check(
    shown: Plan,
    workload: Workload,
    estimate: Estimate | None,
    looked: Machine,
    to: Destination,
    *,
    force: bool,
) -> None:
    """Say what warns of the submission; what refuses it is said too if it is forced, else raised as InputError."""
    found = _found(shown, workload, estimate, looked, to)
    for finding in found:
        if force or not finding.refuses:
            say(finding.text)
    refused = [finding.text for finding in found if finding.refuses]
    if refused and not force:
        raise InputError(f"{'; '.join(refused)}; --force submits all the same")


def _found(
    shown: Plan, workload: Workload, estimate: Estimate | None, looked: Machine, to: Destination
) -> list[Problem]:
    step = estimate.step_time.seconds if estimate else None
    every = workload.checkpoint.every_steps
    job = Job(
        shown.request,
        precision=to.placement.precision,
        gpu=to.placement.gpu,
        checkpoint_s=every * step.p50 if every and step else None,
        p95_s=estimate.clock.p95 if estimate else None,
        segments=estimate.clock.segments if estimate else None,
        runs=len(shown.launches),
        lacks_torch=bool(
            looked.python
            and shown.launches[0].bootstrap is Bootstrap.TORCHRUN
            and lacks_torch(looked.python, os.environ)
        ),
        alone_on_its_node=alone_on_its_node(shown.launches[0].command, os.environ),
    )
    shared = with_real_names(to.profile.shared_folders if to.profile else ())
    return find_problems(job, looked, to.cluster, shared)
