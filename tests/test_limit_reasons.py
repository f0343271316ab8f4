"""Slurm's words for limits of a QOS or an account.  Names: https://slurm.schedmd.com/job_reason_codes.html."""

import pytest

from clusterplan.launcher.runs.waiting.limit_reasons import NEVER, explain_limit


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("QOSMaxWallDurationPerJobLimit", "it asks for more time than its QOS allows"),
        ("AssocMaxWallDurationPerJobLimit", "it asks for more time than its account allows"),
        ("QOSMaxGRESPerJob", "it asks for more GPUs than its QOS allows"),
        ("QOSMaxGRESPerNode", "it asks for more GPUs per node than its QOS allows"),
        ("AssocMaxNodePerJobLimit", "it asks for more nodes than its account allows"),
        ("AssocMaxGRESMinutesPerJob", "it asks for more GPUs x time than its account allows"),
        ("QOSMinCpuNotSatisfied", "it asks for fewer CPUs than its QOS requires"),
    ],
)
def test_a_limit_of_one_job_is_for_ever(reason: str, words: str) -> None:
    assert explain_limit(reason) == f"{words}: {NEVER}"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("QOSMaxJobsPerUserLimit", "you already run as many jobs as its QOS allows"),
        ("AssocGrpJobsLimit", "its account already runs as many jobs as it may"),
        ("AssocMaxSubmitJobLimit", "you already have as many jobs in the queue as its account allows"),
        (
            "AssocGrpGRESMinutes",
            "its account has used up its time on GPUs: it starts when the budget is renewed",
        ),
    ],
)
def test_a_limit_of_all_jobs_together_is_waited_for(reason: str, words: str) -> None:
    assert explain_limit(reason) == words


def test_a_limit_of_all_gpus_of_a_user_may_be_for_ever() -> None:
    words = explain_limit("QOSMaxGRESPerUser")
    assert words == (
        "you may use no more GPUs at once under its QOS: it starts after jobs of yours, or never if it alone asks for more"
    )


def test_what_is_no_limit_is_left_to_others() -> None:
    assert explain_limit("Priority") is None
