"""Advice: each code is given where it should be, and not where it should not."""

import re
from typing import Any

import pytest

from clusterplan import Measurement, Precision
from clusterplan.cluster_profiles.profile import ClusterProfile
from clusterplan.estimator.estimate.advice import ADVICE_CODES
from clusterplan.estimator.estimate.estimate import estimate_workload
from clusterplan.estimator.job.given import Evaluation
from clusterplan.estimator.job.workload import Workload

GOOD: dict[str, dict[str, Any]] = {
    "data": {"samples": 1_024_000, "seq_len": 2048},
    "training": {"batch_size": 32, "gpus": 16, "precision": "bf16"},
    "architecture": {"parameters": 1e9},
    "throughput": {"samples_per_s": 88},
    "evaluation": {"every_steps": 500, "time_s": 60},
    "checkpoint": {"every_steps": 500, "time_s": 30},
}


def profile(**changes: Any) -> ClusterProfile:
    partition = {
        "name": "gpu",
        "nodes": 100,
        "gpus_per_node": 8,
        "gpu": "a100-sxm4-80gb",
        "time_limit": "2d",
        "inter_node": {"kind": "infiniband", "gb_per_s": 25},
    }
    return ClusterProfile.model_validate({"name": "test", "partitions": [{**partition, **changes}]})


def advice(cluster: ClusterProfile | None = None, /, **changes: Any) -> dict[str, str]:
    values = {table: {**GOOD.get(table, {}), **changes.get(table, {})} for table in {**GOOD, **changes}}
    answer = estimate_workload(Workload.model_validate(values), cluster)
    return {a.code: a.text for a in answer.warnings}


def test_a_good_job_only_hears_the_best_checkpoint_interval() -> None:
    assert set(advice(profile())) == {"checkpoint-interval"}


V100 = profile(gpu="v100-sxm2-32gb")
CASES: dict[str, tuple[dict[str, Any], ClusterProfile | None]] = {
    "throughput-unknown": (
        {"throughput": {"samples_per_s": None}, "architecture": {"parameters": None}},
        profile(),
    ),
    "try-small-first": ({"data": {"samples": 30_720_000}}, profile()),
    "no-profile": ({}, None),
    "gpu-unknown": ({}, profile(gpu="mygpu")),
    "above-peak": ({"throughput": {"samples_per_s": 88_000}}, profile()),
    "far-below-peak": ({"throughput": {"samples_per_s": 0.0443}}, profile()),
    "pauses-in-rate": ({"evaluation": {"time_s": 600}}, profile()),
    "mean-tokens": ({"throughput": {"samples_per_s": None}}, profile()),
    "trainer-steps": ({"training": {"trainer_steps": 16_000}}, profile()),
    "batch-identity": ({"training": {"accumulation": 1, "global_batch": 1000}}, profile()),
    "below-one-batch": ({"data": {"samples": 100}}, profile()),
    "data-end-first": ({"training": {"max_steps": 4000, "framework": "torch"}}, profile()),
    "token-budget": ({"training": {"batch_size": None, "batch_tokens": 65_536}}, profile()),
    "partial-batch": ({"data": {"samples": 1_024_001}}, profile()),
    "ends-early": (
        {"data": {"samples": 1_024_001}, "training": {"framework": "hf-4.51", "accumulation": 4}},
        profile(),
    ),
    "precision-emulated": ({}, V100),
    "precision-missing": ({"training": {"precision": "fp8"}}, profile()),
    "memory": ({"architecture": {"parameters": 70e9}}, profile()),
    "fp32-slow": ({"training": {"precision": "fp32"}}, profile()),
    "checkpoint-beyond-end": ({"checkpoint": {"every_steps": 24_000}}, profile()),
    "checkpoint-beyond-limit": ({"checkpoint": {"every_steps": 1500}}, profile(time_limit="2h")),
    "no-checkpoint": ({"checkpoint": {"every_steps": 0}}, profile()),
    "checkpoint-interval": ({}, profile()),
    "no-evaluation": ({"evaluation": {"every_steps": 0}}, profile()),
    "evaluation-length": ({"evaluation": {"time_s": None}}, profile()),
    "evaluation-beyond-end": ({"evaluation": {"every_steps": 10_000}}, profile()),
    "beyond-limit": ({}, profile(time_limit="2h")),
    "limit-tight": ({"data": {"samples": 10_240}}, profile(time_limit="8m")),
    "limit-too-short": ({"checkpoint": {"every_steps": 0}}, profile(time_limit="1h")),
    "uneven-nodes": ({"training": {"gpus": 9}}, profile()),
    "gpu-choice": ({}, profile(other_gpus=[{"nodes": 1, "gpus_per_node": 2, "gpu": "l40s"}])),
    "slow-network": ({}, profile(inter_node={"kind": "ethernet", "gb_per_s": 1.25})),
}


def test_every_code_has_a_case() -> None:
    assert {*CASES, *OF_RUNS, "runs-differ"} == set(ADVICE_CODES)


def run(**changes: Any) -> Measurement:
    values = {
        "model": "m",
        "gpu": "a100-sxm4-80gb",
        "nodes": 1,
        "gpus": 8,
        "gpus_per_node": 8,
        "batch_size": 32,
    }
    values |= {"accumulation": 1, "precision": Precision.BF16, "seq_len": 2048, "step_time_s": 5.0}
    return Measurement(**{**values, **changes})


WAITING = {"samples": 10**6, "batch_size": 32, "gpus": 8, "seq_len": 2048, "model": "m"}
OF_RUNS = {
    "measure-next": [run()],
    "input-bound": [run(gpus=2, gpus_per_node=2, data_wait_share=0.4)],
    "suspect-measurement": [run(), run(batch_size=16, step_time_s=2.7), run(batch_size=8, step_time_s=1400)],
}


@pytest.mark.parametrize(("step_time", "said"), [(2.0, True), (5.1, False)])
def test_a_rate_that_runs_contradict_is_said(step_time: float, said: bool) -> None:
    job = Workload.of(**WAITING, step_time=step_time)
    texts = [a.text for a in estimate_workload(job, profile(), [run()]).warnings if a.code == "runs-differ"]
    assert bool(texts) == said
    if said:
        assert (
            "means 2s per step, but runs took 4.74s to 5.28s (from 1 run of m on 8 a100-sxm4-80gb" in texts[0]
        )


@pytest.mark.parametrize("code", OF_RUNS)
def test_the_code_is_given_where_runs_call_for_it(code: str) -> None:
    asked = {"model": "m", "throughput": {}, "architecture": {}}
    job = Workload.model_validate({**GOOD, **asked})
    assert code in {a.code for a in estimate_workload(job, profile(), OF_RUNS[code]).warnings}


def test_the_next_run_is_no_larger_than_the_job() -> None:
    job = Workload.of(samples=10**6, batch_size=32, gpus=2, seq_len=2048, model="m")
    (text,) = [
        a.text for a in estimate_workload(job, profile(), [run()]).warnings if a.code == "measure-next"
    ]
    assert re.search(r"on [12] GPUs? with a micro-batch of \d+ would narrow it most", text)


def test_the_next_run_names_the_gpu_and_precision_that_no_run_had() -> None:
    job = Workload.of(samples=10**6, batch_size=32, gpus=2, seq_len=2048, model="m", gpu="h100-sxm")
    (text,) = [a.text for a in estimate_workload(job, None, [run()]).warnings if a.code == "measure-next"]
    assert re.search(r"on [12] GPUs?, h100-sxm in bf16, with a micro-batch of \d+ would narrow it most", text)


def test_a_measured_shape_says_that_it_waits_for_input() -> None:
    (text,) = [
        a.text
        for a in estimate_workload(Workload.of(**WAITING), profile(), [run(data_wait_share=0.4)]).warnings
        if a.code == "input-bound"
    ]
    assert text.startswith("40% of a step waits for input")


@pytest.mark.parametrize("code", CASES)
def test_the_code_is_given_where_it_applies(code: str) -> None:
    changes, cluster = CASES[code]
    assert code in advice(cluster, **changes)


def test_half_a_million_steps_for_30_million_samples_mean_a_batch_of_60() -> None:
    text = advice(profile(), data={"samples": 30_000_000}, training={"gpus": 8, "trainer_steps": 500_000})
    assert text["trainer-steps"].startswith("your trainer reports 500,000 steps, your numbers give 117,188")
    assert "global batch of 60, not 256" in text["trainer-steps"]


def test_a_single_gpu_is_not_asked_for_its_process_group() -> None:
    text = advice(profile(), data={"samples": 1_000_000}, training={"gpus": 1, "trainer_steps": 500_000})
    assert text["trainer-steps"].endswith("does it have this batch size and accumulation?")


def test_deepspeeds_batch_identity_shows_the_product() -> None:
    text = advice(
        profile(), training={"gpus": 8, "accumulation": 3, "global_batch": 1000, "framework": "deepspeed"}
    )
    assert (
        "1,000 is not micro-batch x data parallel x accumulation = 32 x 8 x 3 = 768" in text["batch-identity"]
    )


def test_the_checkpoint_interval_shows_the_numbers_used() -> None:
    text = advice(profile())["checkpoint-interval"]
    assert "a save of 30s" in text
    assert "one interruption in 76d 22h" in text  # 1 / (2 nodes x 6.5 per 1,000 days)


def test_evaluations_of_unknown_length_say_what_a_minute_of_one_costs() -> None:
    # whisper: 15,000 steps, an evaluation every 1,000 steps that took 86,000 s each.
    whisper = {"data": {"samples": 15_000 * 512}, "evaluation": {"every_steps": 1000, "time_s": None}}
    assert (
        "15 evaluations of unknown length: each minute of one adds 15m"
        in advice(**whisper)["evaluation-length"]
    )
    timed: list[dict[str, Any]] = [
        {"time_s": 86_000},
        {"samples": 10_000},
        {"every_steps": 0},
        {"every_steps": 20_000},
    ]
    for known in timed:
        evaluation = whisper["evaluation"] | known
        assert "evaluation-length" not in advice(data=whisper["data"], evaluation=evaluation)


def test_runs_that_were_evaluated_give_the_length() -> None:
    job = Workload.of(**WAITING, step_time=5).model_copy(update={"evaluation": Evaluation(every_steps=100)})
    assert "evaluation-length" in {a.code for a in estimate_workload(job, profile(), [run()]).warnings}
    assert "evaluation-length" not in {
        a.code for a in estimate_workload(job, profile(), [run(evaluation_s=40)]).warnings
    }


def test_advice_on_checkpoints_never_contradicts_itself() -> None:
    # 2,000 steps in 3 h under a limit of 2 d: the end is enough.  A limit of 2 h needs checkpoints before.
    late = {"checkpoint": {"every_steps": 24_000}}
    enough, cut = advice(profile(), **late), advice(profile(time_limit="2h"), **late)
    assert "which is enough here (Young/Daly: a save of 30s" in enough["checkpoint-beyond-end"]
    assert "checkpoint-interval" not in enough
    assert cut["checkpoint-beyond-end"].endswith("so that a time limit loses all work")
    assert "loses least" in cut["checkpoint-interval"]


def test_unknown_time_says_how_to_measure_it() -> None:
    text = advice(profile(), **CASES["throughput-unknown"][0])["throughput-unknown"]
    assert "--max_steps 50" in text
    assert "--samples-per-s" in text


def test_where_a_rate_is_given_nobody_is_told_to_measure_it() -> None:
    text = advice(profile(), throughput={"samples_per_s": 44.3, "gpu": "v100-sxm2-16gb"})[
        "throughput-unknown"
    ]
    assert text.endswith("the speed of a100-sxm4-80gb: give a rate measured on it")


@pytest.mark.parametrize(("gpu", "capability"), [("a100-sxm4-80gb", True), ("mi250x", False)])
def test_a_compute_capability_is_named_for_gpus_that_have_one(gpu: str, capability: bool) -> None:
    text = advice(profile(gpu=gpu), training={"precision": "fp8"})["precision-missing"]
    assert ("native from compute capability 8.9" in text) == capability
    assert text.endswith("use bf16")


def test_bf16_is_native_on_an_amd_gpu() -> None:
    assert "precision-emulated" not in advice(profile(gpu="mi300x"))


@pytest.mark.parametrize(
    ("gpus", "nodes", "nodes_of", "right"),
    [
        (9, None, 8, "2 nodes of 8: give 8, 10 or 16, or --nodes 3"),
        (11, None, 8, "2 nodes of 8: give 10, 12 or 16"),
        (17, None, 8, "3 nodes of 8: give 16, 18 or 24"),
        (6, 4, 8, "4 nodes of 8: give 4, 8 or 32, or --nodes 3"),
        (5, None, 4, "2 nodes of 4: give 4, 6 or 8"),
        (3, None, 2, "2 nodes of 2: give 2 or 4, or --nodes 3"),
    ],
)
def test_the_nearest_shapes_of_like_nodes_are_named(
    gpus: int, nodes: int | None, nodes_of: int, right: str
) -> None:
    text = advice(
        profile(gpus_per_node=nodes_of), training={"gpus": gpus}, cluster={"nodes": nodes} if nodes else {}
    )
    assert text["uneven-nodes"] == f"{gpus} GPUs do not divide over {right}"


def test_auto_precision_takes_the_gpus_own_best() -> None:
    job = Workload.of(samples=1000, batch_size=1, gpus=1)
    assert estimate_workload(job, profile()).placement.precision == "bf16"
    assert estimate_workload(job, V100).placement.precision == "fp16"
    assert estimate_workload(job, profile(gpu="p100-pcie-16gb")).placement.precision == "fp32"


def test_a_run_that_reaches_no_checkpoint_is_told_an_interval_that_helps() -> None:
    never = advice(profile(time_limit="1h"), checkpoint={"every_steps": 0})["limit-too-short"]
    every = int(never.split()[-1].replace(",", ""))
    assert "limit-too-short" not in advice(profile(time_limit="1h"), checkpoint={"every_steps": every})


@pytest.mark.parametrize(("told", "rule"), [(3906, "--framework hf --drop-last"), (3907, None)])
def test_a_trainer_that_rounds_otherwise_is_not_accused(told: int, rule: str | None) -> None:
    text = advice(profile(), data={"samples": 1_000_000}, training={"gpus": 8, "trainer_steps": told})
    assert ("trainer-steps" in text) == bool(rule)
    if rule:
        assert f"it rounds in another way, as {rule} does" in text["trainer-steps"]


@pytest.mark.parametrize(
    ("training", "reported", "flags"),
    [
        ({"framework": "hf-4.51", "accumulation": 4}, 977, "hf"),
        (
            {"sequence_parallel": 2, "accumulation": 5},
            1562,
            "deepspeed",
        ),  # as hf-4.51, which has no sequence parallelism
        (
            {"framework": "torch", "sampler_drop_last": True},
            3906,
            "torch --drop-last",
        ),  # as hf without the sampler's
    ],
)
def test_only_flags_that_the_command_takes_are_advised(
    training: dict[str, Any], reported: int, flags: str
) -> None:
    data, training = {"samples": 1_000_000}, {"gpus": 8, "trainer_steps": reported, **training}
    assert f"as --framework {flags} does" in advice(profile(), data=data, training=training)["trainer-steps"]
    framework, *drop_last = flags.split()
    training |= {"framework": framework, "drop_last": bool(drop_last)}
    assert "trainer-steps" not in advice(profile(), data=data, training=training)


def test_drop_last_is_only_advised_where_it_helps() -> None:
    one = advice(profile(), data={"samples": 1_000_000}, training={"gpus": 8})["partial-batch"]
    four = advice(profile(), data={"samples": 1_000_000 - 256}, training={"gpus": 8, "accumulation": 4})[
        "partial-batch"
    ]
    assert "drop_last leaves it out" in one
    assert "drop_last" not in four


@pytest.mark.parametrize(("gb_per_s", "warned"), [(3.1, False), (0.4, True)])
def test_a_link_is_slow_by_what_each_gpu_gets_of_it(gb_per_s: float, warned: bool) -> None:
    link = {"kind": "infiniband", "gb_per_s": gb_per_s}  # 200 Gb/s shared by 8 GPUs; 25 Gb/s so
    assert ("slow-network" in advice(profile(inter_node=link))) == warned


def test_a_trainer_that_counts_micro_batches_is_told_so() -> None:
    text = advice(
        profile(), data={"samples": 1_000_000}, training={"gpus": 8, "accumulation": 4, "trainer_steps": 3907}
    )
    assert text["trainer-steps"].endswith("it counts micro-batches: does it have accumulation 4?")


def test_fewer_steps_than_expected_are_no_fault_of_lone_gpus() -> None:
    text = advice(profile(), data={"samples": 1_000_000}, training={"gpus": 8, "trainer_steps": 488})
    assert text["trainer-steps"].endswith("does it have this batch size and accumulation?")


@pytest.mark.parametrize(("accumulation", "missed"), [(1, None), (4, 192)])
def test_what_drop_last_leaves_out_is_no_early_end(accumulation: int, missed: int | None) -> None:
    shape = {"batch_size": 32 // accumulation, "gpus": 8, "accumulation": accumulation}
    training = {"framework": "hf-4.51", "drop_last": True, **shape}
    said = advice(profile(), data={"samples": 1000}, training=training).get("ends-early")
    assert said is None if missed is None else said.startswith(f"{missed} of 1,000 samples are left out")


def test_jobs_in_a_row_do_not_resume_where_no_checkpoint_is_written() -> None:
    saving = advice(profile(time_limit="2h"))["beyond-limit"]
    assert saving.endswith("each of which resumes the one before")
    # Most draws end in one job; a failure costs a second one, which has nothing to resume.
    texts = [
        advice(profile(time_limit=limit), checkpoint={"every_steps": 0})
        for limit in ("3h 40m", "3h 45m", "3h 50m", "3h 55m", "4h", "4h 10m")
    ]
    for text in texts:
        assert not text.get("beyond-limit", "").endswith("resumes the one before")


@pytest.mark.parametrize(("samples_in_last", "advised"), [(256, True), (288, False)])
def test_a_last_step_of_more_than_half_a_batch_is_no_news(samples_in_last: int, advised: bool) -> None:
    answer = advice(profile(), data={"samples": 1_024_000 + samples_in_last})
    assert ("partial-batch" in answer) == advised


def test_plain_advice_fits_its_line() -> None:
    # A newcomer reads one line for each piece: 120 columns less the longest code here.
    texts = advice(None, data={"samples": 1_024_001}, evaluation={"every_steps": 0})
    assert {len(text) <= 98 for text in texts.values()} == {True}
    assert set(texts) == {"partial-batch", "checkpoint-interval", "no-evaluation", "no-profile"}


def test_a_large_job_is_tried_small_first_and_a_small_one_is_not() -> None:
    """PKU-YuanGroup/MoE-LLaVA#28: 30 million samples on 8 GPUs, of which a million are enough for a first stage."""
    job = {"batch_size": 32, "gpus": 8, "samples_per_s": 44.3}
    large, small = (
        [advice.code for advice in estimate_workload(Workload.of(samples=n, **job)).warnings]
        for n in (30_000_000, 1_000_000)
    )
    assert "try-small-first" in large
    assert "try-small-first" not in small
