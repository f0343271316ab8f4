"""Lengths and batches as people state them: steps of the run, a global batch, each from a public case."""

import json
from typing import Any

import pytest
from conftest import SCALE, Command
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_steps import walk_rampup

from clusterplan.errors import WorkloadError
from clusterplan.estimator.estimate.estimate import Estimate, estimate_workload
from clusterplan.estimator.estimate.rampup import count_rampup
from clusterplan.estimator.estimate.shapes import Keep, vary_shapes
from clusterplan.estimator.estimate.steps import count
from clusterplan.estimator.job.framework import Framework
from clusterplan.estimator.job.workload import Workload

# nanoGPT's GPT-2: config/train_gpt2.py (batch 12, block 1,024, accumulation 5 x 8 GPUs, max_iters 600,000), and the
# 9,035,582,198 tokens of data/openwebtext/readme.md, https://github.com/karpathy/nanoGPT; its README says "about 4 days".
NANOGPT = {"tokens": 9_035_582_198, "seq_len": 1024, "batch_size": 12, "accumulation": 5, "gpus": 8}
NANOGPT |= {"max_steps": 600_000}
REPEATING = ("hf", "hf-4.51", "megatron", "floor")
ENDING = ("torch", "lightning", "deepspeed", "accelerate")
# Stanford Alpaca's README, https://github.com/tatsu-lab/stanford_alpaca: 52,002 samples, 4 GPUs, batch size 128, 3 epochs.
ALPACA = {"samples": 52_002, "batch_size": 4, "gpus": 4, "global_batch": 128, "epochs": 3}
# Megatron-LM's examples state micro-batch and global batch only: `--global-batch-size` in
# https://github.com/NVIDIA/Megatron-LM/blob/main/examples/gpt3/train_gpt3_175b_distributed.sh
MEGATRON: dict[str, Any] = {
    "tokens": 1e11,
    "seq_len": 4096,
    "batch_size": 2,
    "gpus": 64,
    "tensor_parallel": 8,
}
MEGATRON |= {"framework": "megatron"}


def estimate(**values: Any) -> Estimate:
    return estimate_workload(Workload.of(**values))


def advice(answer: Estimate) -> dict[str, str]:
    return {line.code: line.text for line in answer.warnings}


@pytest.mark.parametrize("framework", list(Framework))
def test_max_steps_are_enough_without_the_size_of_the_data(framework: str) -> None:
    steps = estimate(batch_size=2, gpus=32, accumulation=8, max_steps=2000, framework=framework).steps
    assert (steps.total, steps.full, steps.samples) == (2000, 2000, 1_024_000)
    assert (steps.batches, steps.dropped_samples, steps.micro_batches) == (None, None, 16_000)


def test_a_job_file_without_data_is_estimated_and_explained(in_process: Command, tmp_path: Any) -> None:
    job = tmp_path / "job.toml"
    job.write_text("[training]\nbatch_size = 2\ngpus = 32\naccumulation = 8\nmax_steps = 2000\n")
    done = in_process("estimate", str(job), "--explain", "--step-time", "2", "--parameters", "7e9")
    assert done.returncode == 0
    assert "2,000 full, 1,024,000 samples (Hugging Face Trainer >= 4.52)" in done.stdout
    assert "samples = 2,000 steps x 512 = 1,024,000" in done.stdout
    known = json.loads(in_process("estimate", str(job), "--json").stdout)["steps"]
    assert (known["total"], known["samples"], known["batches_per_epoch"]) == (2000, 1_024_000, None)


def test_a_length_in_flags_completes_the_shape_of_a_files_rate(in_process: Command, tmp_path: Any) -> None:
    job = tmp_path / "job.toml"
    job.write_text("[training]\nbatch_size = 2\ngpus = 8\n[throughput]\nsamples_per_s = 16\n")
    done = in_process("estimate", str(job), "--max-steps", "3600", "--gpus", "16", "--json")
    assert json.loads(done.stdout)["steps"]["samples"] == 115_200


def test_the_length_of_a_run_can_stay_unknown_in_no_other_way(in_process: Command) -> None:
    done = in_process("estimate", "--batch-size", "2", "--gpus", "8", "--seq-len", "1024")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "give samples, or tokens and seq_len, or the steps of the run as max_steps" in done.stderr


@pytest.mark.parametrize("framework", [*REPEATING, *ENDING])
def test_nanogpt_takes_600_000_steps_and_4_days(framework: str) -> None:
    answer = estimate(**NANOGPT, framework=framework, step_time="562ms")
    training = answer.clock.parts["training"].seconds
    assert answer.steps.total == 600_000
    assert training
    assert training.p50 == pytest.approx((3 * 24 + 21) * 3600 + 40 * 60, rel=0.001)


@pytest.mark.parametrize("framework", ENDING)
def test_a_loop_that_may_end_with_its_data_is_told_where(framework: str) -> None:
    text = advice(estimate(**NANOGPT, framework=framework))["data-end-first"]
    assert text.startswith(
        "the data end at step 18,383, before max_steps 600,000: counted as a loop that begins"
    )


@pytest.mark.parametrize("framework", REPEATING)
def test_a_trainer_that_begins_its_data_again_is_not_warned(framework: str) -> None:
    assert "data-end-first" not in advice(estimate(**NANOGPT, framework=framework))


@pytest.mark.parametrize("framework", ENDING)
def test_where_epochs_are_stated_too_the_first_of_both_ends_the_run(framework: str) -> None:
    # Lightning's Trainer: "training will stop if max_steps or max_epochs have reached (earliest)",
    # https://lightning.ai/docs/pytorch/stable/common/trainer.html
    answer = estimate(**NANOGPT, epochs=2, framework=framework)
    assert answer.steps.total == pytest.approx(36_766, abs=1)
    assert advice(answer)["data-end-first"].endswith("state epochs = 33, or leave epochs out")
    assert "data-end-first" not in advice(estimate(**NANOGPT, epochs=33, framework=framework))
    assert estimate(**NANOGPT, epochs=33, framework=framework).steps.total == 600_000


@pytest.mark.parametrize("framework", REPEATING)
def test_a_trainer_whose_max_steps_win_disregards_epochs(framework: str) -> None:
    # transformers, TrainingArguments: a positive max_steps overrides num_train_epochs.
    assert estimate(**NANOGPT, epochs=2, framework=framework).steps.total == 600_000


def test_fewer_steps_than_the_data_hold_end_the_run() -> None:
    answer = estimate(samples=10_000, batch_size=2, gpus=8, max_steps=100, framework="lightning")
    assert (answer.steps.total, answer.steps.samples) == (100, 1600)
    assert "data-end-first" not in advice(answer)


def test_max_steps_is_a_flag(in_process: Command) -> None:
    flags = ("--max-steps", "2000", "--samples", "10000", "--batch-size", "2", "--gpus", "8")
    assert json.loads(in_process("estimate", *flags, "--json").stdout)["steps"]["total"] == 2000


@pytest.mark.parametrize(
    ("job", "accumulation", "steps"),
    [
        ({**ALPACA, "framework": "hf-4.51"}, 8, 1218),
        ({**MEGATRON, "global_batch": 1024}, 64, 23_841),
    ],
)
def test_the_accumulation_follows_from_the_global_batch(
    job: dict[str, Any], accumulation: int, steps: int
) -> None:
    answer = estimate(**job)
    assert (answer.workload.training.accumulation, answer.steps.total) == (accumulation, steps)
    assert "batch-identity" not in advice(answer)


@pytest.mark.parametrize(
    ("batch", "fault"),
    [
        (
            1000,
            "global_batch 1,000 is not a multiple of batch_size 2 x 8 data parallel = 16: give 992 or 1,008",
        ),
        (8, "global_batch 8 is not a multiple of batch_size 2 x 8 data parallel = 16: give 16"),
    ],
)
def test_a_global_batch_that_does_not_divide_is_refused(in_process: Command, batch: int, fault: str) -> None:
    flags = [word for key, value in MEGATRON.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    done = in_process("estimate", *flags, "--global-batch", str(batch))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert fault in done.stderr


def test_a_global_batch_that_contradicts_the_accumulation_is_said() -> None:
    answer = estimate(**ALPACA, accumulation=4)
    assert answer.workload.training.step_samples == 64
    assert (
        "global batch 128 is not micro-batch x data parallel x accumulation"
        in advice(answer)["batch-identity"]
    )


@pytest.mark.parametrize("keep", list(Keep))
def test_a_stated_global_batch_stays_on_other_gpus(keep: Keep) -> None:
    shapes = vary_shapes(Workload.of(**ALPACA), [1, 4, 8, 32], ["auto"], keep)
    assert [shape.training.accumulation for shape in shapes] == [32, 8, 4, 1]
    assert {shape.training.step_samples for shape in shapes} == {128}


def test_only_the_kept_global_batch_makes_the_micro_batch_smaller() -> None:
    (shape,) = vary_shapes(Workload.of(**ALPACA), [64], ["auto"], Keep.GLOBAL_BATCH)
    assert (shape.training.batch_size, shape.training.accumulation) == (2, 1)
    with pytest.raises(WorkloadError, match="batch_size 4 x 64 data parallel = 256: give 256"):
        vary_shapes(Workload.of(**ALPACA), [64], ["auto"])


def test_a_table_says_that_the_stated_global_batch_stays(in_process: Command) -> None:
    flags = ("--samples", "52002", "--batch-size", "4", "--global-batch", "128")
    done = in_process("estimate", *flags, "--gpus", "4,8")
    assert "the global batch stays 128, and each GPU does less of a step" in done.stdout


def test_a_global_batch_in_flags_replaces_the_accumulation_of_the_file(
    in_process: Command, tmp_path: Any
) -> None:
    job = tmp_path / "job.toml"
    job.write_text(
        "[data]\nsamples = 52_002\n[training]\nbatch_size = 4\ngpus = 4\naccumulation = 2\n[throughput]\nstep_time = 1\n"
    )
    shape = json.loads(in_process("estimate", str(job), "--global-batch", "128", "--json").stdout)
    assert (shape["shape"]["accumulation"], shape["shape"]["global_batch"]) == (8, 128)
    assert shape["step_time_s"]["p50"] == pytest.approx(
        4, rel=0.1
    )  # the file's rate is that of 2 micro-batches


def test_a_job_learns_the_accumulation_that_follows(in_process: Command) -> None:
    flags = ("--samples", "52002", "--batch-size", "4", "--gpus", "4", "--global-batch", "128")
    command = ("--", "python", "train.py", "--gradient-accumulation", "{accumulation}")
    done = in_process("submit", "--executor", "local", "--dry-run", *flags, *command)
    assert "--gradient-accumulation 8" in done.stdout


def test_an_interval_by_epochs_needs_the_size_of_the_data() -> None:
    with pytest.raises(WorkloadError, match="every_epochs needs the size of the data"):
        estimate_workload(
            Workload.model_validate(
                {
                    "training": {"batch_size": 2, "gpus": 8, "max_steps": 100},
                    "evaluation": {"every_epochs": 1},
                }
            )
        )


TRAINERS: dict[str, tuple[dict[str, Any], int, str]] = {
    # open-instruct-like SFT: 396,746 samples, 3 epochs by default of transformers' num_train_epochs.
    "epochs": (
        {"samples": 396_746, "batch_size": 4, "accumulation": 4, "gpus": 8, "framework": "hf-4.51"},
        9297,
        "does it train for 3 epochs (epochs 3)?",
    ),
    # TRL's GRPO: num_generations 8 by default, https://huggingface.co/docs/trl/grpo_trainer
    "generations": (
        {"samples": 5498, "batch_size": 8, "accumulation": 4, "gpus": 7, "framework": "hf-4.51"},
        196,
        "does it make 8 completions per prompt (generations 8)?",
    ),
    "packing": (
        {"samples": 7144, "batch_size": 1, "gpus": 8, "tensor_parallel": 8, "global_batch": 64}
        | {"framework": "megatron"},
        26,
        "your numbers give 111; are its samples packed (packing)?",
    ),
    # BLOOM: https://github.com/bigscience-workshop/bigscience/blob/master/train/tr11-176B-ml/tr11-176B-ml.slurm
    "batch ramp-up": (
        {"samples": 220_000_000, "batch_size": 2, "gpus": 384, "tensor_parallel": 4, "pipeline_parallel": 12}
        | {"global_batch": 2048, "framework": "megatron"},
        115_311,
        "explains 1.07 times as many: has it a batch ramp-up (batch_rampup)?",
    ),
    "process group": (
        {"samples": 1_000_000, "batch_size": 32, "gpus": 8},
        31_250,
        "are all 8 GPUs in one process group, or does it make 8 completions per prompt",
    ),
    "process group per node": (
        {"samples": 1_000_000, "batch_size": 32, "gpus": 16},
        3907,
        "are all 16 GPUs in one process group",
    ),
    "accumulation": (
        {"samples": 1_000_000, "batch_size": 32, "gpus": 8, "accumulation": 4},
        3907,
        "it counts micro-batches: does it have accumulation 4?",
    ),
    # Alpaca with `val_set_size: 0.05`, as axolotl's examples have it.
    "validation": (
        {**ALPACA, "framework": "hf-4.51"},
        1158,
        "does it hold out 5 % for validation (validation_share 0.05)?",
    ),
    # https://github.com/modelscope/ms-swift/issues/1671: two GPUs hold one copy of the model, and 1 % is held out unasked.
    "process group and validation": (
        {"samples": 3200, "batch_size": 1, "accumulation": 16, "gpus": 2},
        198,
        "make 2 completions per prompt (generations 2), and does it hold out 1 % for validation (validation_share 0.01)?",
    ),
    # https://github.com/modelscope/ms-swift/issues/808: it accumulates to a batch of 16 unasked, and holds out 1 %.
    "accumulation and validation": (
        {"samples": 29_450, "batch_size": 1, "gpus": 1},
        1823,
        "does it accumulate 16 micro-batches (accumulation 16), and does it hold out 1 % for validation",
    ),
    # https://github.com/modelscope/ms-swift/issues/1067: "more than 1,800" samples.
    "accumulation and validation of a few steps": (
        {"samples": 1890, "batch_size": 1, "gpus": 1, "epochs": 3},
        351,
        "does it accumulate 16 micro-batches (accumulation 16), and does it hold out 1 % for validation",
    ),
    # https://github.com/modelscope/ms-swift/issues/5145: `--sequence_parallel_size 8`.
    "copies of the model": (
        {"samples": 12_000, "batch_size": 1, "accumulation": 2, "gpus": 8, "epochs": 3},
        18_000,
        "or do 8 GPUs hold one copy of the model (tensor_parallel, sequence_parallel)",
    ),
    # https://github.com/huggingface/optimum-neuron/issues/198
    "every process trains on all": (
        {"samples": 287_113, "batch_size": 1, "gpus": 32},
        287_113,
        "are all 32 GPUs in one process group",
    ),
    # https://github.com/huggingface/trl/issues/3204: 8,000 prompts, "a total of 4k steps".
    "generations in two epochs": (
        {"samples": 8000, "batch_size": 4, "accumulation": 2, "gpus": 3, "epochs": 2},
        4000,
        "your numbers give 668; does it make 6 completions per prompt (generations 6)",
    ),
    # https://github.com/RapidFireAI/rapidfireai/pull/44
    "generations before epochs": (
        {"samples": 128, "batch_size": 8, "gpus": 1, "epochs": 3},
        384,
        "your numbers give 48; does it make 8 completions per prompt (generations 8), or does it train for 24 epochs",
    ),
    # https://github.com/hiyouga/LlamaFactory/issues/4783, in 2024
    "an older Trainer": (
        {"samples": 900, "batch_size": 1, "gpus": 2, "global_batch": 16, "epochs": 10},
        560,
        "it rounds in another way, as --framework hf-4.51 does",
    ),
    "max_steps": ({"samples": 30_000_000, "batch_size": 32, "gpus": 8}, 500_000, "has it max_steps 500,000?"),
    "none": (
        {"samples": 30_000_000, "batch_size": 32, "gpus": 8},
        500_001,
        "no whole number of epochs, generations or GPUs explains 4.27 times as many: it runs a global batch of 60, not 256",
    ),
}


@pytest.mark.parametrize("reason", TRAINERS)
def test_a_trainers_other_steps_are_explained_by_what_fits_the_ratio(reason: str) -> None:
    job, reported, words = TRAINERS[reason]
    assert words in advice(estimate(**job, trainer_steps=reported))["trainer-steps"]


@pytest.mark.parametrize("reason", ["epochs", "generations", "packing", "batch ramp-up", "none", "max_steps"])
def test_nobody_is_asked_for_a_process_group_that_does_not_fit(reason: str) -> None:
    job, reported, _ = TRAINERS[reason]
    assert "process group" not in advice(estimate(**job, trainer_steps=reported))["trainer-steps"]


def job_of(data: dict[str, Any], training: dict[str, Any]) -> Workload:
    return Workload.model_validate({"data": data, "training": training})


@pytest.mark.parametrize(
    ("framework", "samples", "steps"),
    [
        ("hf-4.51", 5498, 196),
        ("hf", 5498, 196),  # TRL's RepeatSampler drops the 10 prompts beyond 196 batches of 28
        ("floor", 5498, 196),
        ("hf", 28, 1),
    ],
)
def test_batches_hold_the_completions_of_each_prompt(framework: str, samples: int, steps: int) -> None:
    training = {"batch_size": 8, "accumulation": 4, "gpus": 7, "framework": framework, "generations": 8}
    answer = estimate_workload(job_of({"samples": samples}, training))
    assert answer.steps.total == steps


@pytest.mark.parametrize(
    ("samples", "batch_size", "fault"),
    [
        (27, 8, "27 prompts x 8 generations do not fill one global batch of 224"),
        (5498, 3, "a global batch of 84 completions is not a multiple of generations 8"),
    ],
)
def test_generations_that_trl_refuses_are_refused(samples: int, batch_size: int, fault: str) -> None:
    training = {"batch_size": batch_size, "accumulation": 4, "gpus": 7, "generations": 8}
    with pytest.raises(ValueError, match=fault):
        job_of({"samples": samples}, training)


def test_samples_held_out_for_validation_are_not_trained_on() -> None:
    # datasets.train_test_split, which axolotl's val_set_size uses, rounds the held-out samples up: ceil(0.05 x 52,002) =
    # 2,601, https://github.com/huggingface/datasets/blob/main/src/datasets/arrow_dataset.py
    answer = estimate_workload(
        job_of(
            {"samples": 52_002, "validation_share": 0.05},
            {"batch_size": 4, "gpus": 4, "global_batch": 128, "epochs": 3, "framework": "hf-4.51"},
        )
    )
    assert (answer.workload.epoch_samples, answer.steps.total) == (49_401, 1158)


def test_a_validation_share_of_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="of 1 samples leaves none for training"):
        job_of({"samples": 1, "validation_share": 0.9}, {"batch_size": 4, "gpus": 4})


def test_the_samples_of_an_epoch_are_explained(in_process: Command, tmp_path: Any) -> None:
    (tmp_path / "job.toml").write_text(
        "[data]\nsamples = 5498\nvalidation_share = 0.1\n[training]\nbatch_size = 8\ngpus = 7\ngenerations = 8\n"
    )
    done = in_process("estimate", "job.toml", "--explain")
    assert (
        "samples of an epoch = (5,498 - ceil(0.1 x 5,498)) x 8 generations, in whole batches = 39,536"
        in done.stdout
    )


# BLOOM: 220 million samples of 2,048 tokens, micro-batch 2, TP 4 x PP 12 x DP 8 on 384 GPUs, global batch 2,048,
# --rampup-batch-size 192 16 9_765_625, in
# https://github.com/bigscience-workshop/bigscience/blob/master/train/tr11-176B-ml/tr11-176B-ml.slurm
BLOOM: dict[str, dict[str, Any]] = {
    "data": {"samples": 220_000_000, "seq_len": 2048},
    "training": {"batch_size": 2, "gpus": 384, "tensor_parallel": 4, "pipeline_parallel": 12}
    | {"global_batch": 2048, "batch_rampup": [192, 16, 9_765_625], "framework": "megatron"},
}


def test_blooms_ramp_up_takes_115_311_steps() -> None:
    steps = estimate_workload(Workload.model_validate(BLOOM)).steps
    walked, consumed = walk_rampup(192, 16, 9_765_625, 2048, 220_000_000, None)
    assert (steps.total, steps.samples) == (len(walked), consumed) == (115_311, 219_999_152)
    assert (steps.rampup, steps.full) == (12_658, 102_653)
    assert steps.micro_batches * 16 == consumed


def test_steps_of_a_ramp_up_take_time_by_their_samples() -> None:
    with_rampup = estimate_workload(Workload.model_validate({**BLOOM, "throughput": {"step_time": 105}}))
    plain = {
        **BLOOM,
        "training": {**BLOOM["training"], "batch_rampup": None},
        "throughput": {"step_time": 105},
    }
    times = [
        answer.clock.parts["training"].seconds
        for answer in (with_rampup, estimate_workload(Workload.model_validate(plain)))
    ]
    assert times[0]
    assert times[1]
    assert times[0].p50 == pytest.approx(times[1].p50, rel=1e-5)


def test_max_steps_are_the_length_of_a_run_with_a_ramp_up() -> None:
    # NeMo states trainer.max_steps beside rampup_batch_size,
    # https://github.com/NVIDIA/NeMo/blob/main/docs/source/nlp/nemo_megatron/rampup_batch_size.rst
    training = {"batch_size": 4, "gpus": 32, "framework": "megatron", "global_batch": 1024}
    training |= {"batch_rampup": [256, 128, 50_000_000], "max_steps": 100_000}
    steps = estimate_workload(Workload.model_validate({"training": training})).steps
    walked, consumed = walk_rampup(256, 128, 50_000_000, 1024, None, 100_000)
    assert (steps.total, steps.samples, steps.full) == (100_000, consumed, walked.count(1024))


rampups = st.fixed_dictionaries(
    {
        "smallest": st.integers(1, 6),
        "start": st.integers(1, 8),
        "increment": st.integers(1, 5),
        "levels": st.integers(1, 12),
        "over": st.integers(1, 4000),
        "samples": st.integers(0, 20_000),
        "max_steps": st.none() | st.integers(1, 800),
    }
)


@settings(max_examples=500 * SCALE, deadline=None)
@given(rampups)
def test_ramp_ups_agree_with_the_walk(case: Any) -> None:
    start, increment = case["start"] * case["smallest"], case["increment"] * case["smallest"]
    global_batch = start + increment * case["levels"]
    rampup, max_steps = (start, increment, case["over"]), case["max_steps"]
    samples = case["samples"] if max_steps is None else None
    walked, consumed = walk_rampup(*rampup, global_batch, samples, max_steps)
    steps = count(
        Framework.MEGATRON,
        samples=samples,
        batch_size=case["smallest"],
        world=1,
        accumulation=global_batch // case["smallest"],
        max_steps=max_steps,
        repeats_data=max_steps is not None,
        batch_rampup=rampup,
    )
    smaller = [batch for batch in walked if batch < global_batch]
    assert (steps.total, steps.samples, steps.rampup) == (len(walked), consumed, len(smaller))
    assert steps.micro_batches == consumed // case["smallest"]


def test_a_ramp_up_of_many_increments_is_counted_at_once() -> None:
    assert count_rampup((1, 1, 10**15), 10_001, 10**17, None)[1] == pytest.approx(10**15, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"framework": "torch"}, "batch_rampup belongs to framework floor or megatron; torch has none"),
        ({"batch_rampup": [200, 16, 10]}, "starts at 200 and grows by 16: both must be multiples of"),
        ({"batch_rampup": [192, 64, 0]}, "must hold numbers above 0: start, increment and samples"),
        ({"batch_rampup": [2048, 16, 10]}, "which is not below the global batch of 2,048"),
        ({"batch_rampup": [192, 48, 10]}, "is not a whole number of increments of 48"),
        (
            {"batch_size": 1, "gpus": 48, "global_batch": 30_001, "batch_rampup": [1, 1, 10]},
            "more than 10,000 increments",
        ),
    ],
)
def test_a_ramp_up_that_megatron_refuses_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Workload.model_validate({**BLOOM, "training": {**BLOOM["training"], **changes}})


def test_a_ramp_up_is_explained(in_process: Command, tmp_path: Any) -> None:
    (tmp_path / "job.toml").write_text(
        "[data]\nsamples = 220_000_000\n[training]\nbatch_size = 2\ngpus = 8\nglobal_batch = 2048\n"
        'batch_rampup = [192, 16, 9_765_625]\nframework = "megatron"\n'
    )
    done = in_process("estimate", "job.toml", "--explain")
    assert "102,653 full + 12,658 in the batch ramp-up" in done.stdout
    assert "steps = 12,658 + 102,653 of 2,048 samples = 115,311" in done.stdout
    known = json.loads(in_process("estimate", "job.toml", "--json").stdout)["steps"]
    assert (known["rampup"], known["full"]) == (12_658, 102_653)


@pytest.mark.parametrize("rampup", ["[192, 16]", "[192, 16, 10, 3]", "192", '["a", 1, 2]'])
def test_a_ramp_up_of_another_form_gets_one_line(in_process: Command, tmp_path: Any, rampup: str) -> None:
    (tmp_path / "job.toml").write_text(
        "[data]\nsamples = 220_000_000\n[training]\nbatch_size = 2\ngpus = 8\nglobal_batch = 2048\n"
        f'framework = "megatron"\nbatch_rampup = {rampup}\n'
    )
    done = in_process("estimate", "job.toml")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "job.toml:8: training.batch_rampup" in done.stderr


# nanoGPT prints "tokens per iteration will be: 491,520", 5 x 8 micro-batches of 12 x 1,024 tokens; TinyLlama's README,
# https://github.com/jzhang38/TinyLlama: 2M tokens per step on 16 GPUs of micro-batch 8, accumulation 8.
@pytest.mark.parametrize(
    ("seq_len", "training", "accumulation"),
    [
        (1024, {"batch_size": 12, "gpus": 8, "global_batch_tokens": 491_520}, 5),
        (2048, {"batch_size": 8, "gpus": 16, "global_batch_tokens": 2_097_152}, 8),
    ],
)
def test_a_global_batch_may_be_stated_in_tokens(
    seq_len: int, training: dict[str, Any], accumulation: int
) -> None:
    job = job_of({"tokens": 9_035_582_198, "seq_len": seq_len}, {**training, "framework": "floor"})
    answer = estimate_workload(job)
    assert answer.workload.training.accumulation == accumulation
    assert answer.steps.total == 9_035_582_198 // training["global_batch_tokens"]
    assert "batch-identity" not in advice(answer)
    (half,) = vary_shapes(job, [training["gpus"] // 2], ["auto"])
    assert half.training.accumulation == 2 * accumulation


def test_a_global_batch_in_tokens_that_contradicts_the_accumulation_is_said() -> None:
    training = {"batch_size": 12, "gpus": 8, "accumulation": 4, "global_batch_tokens": 491_520}
    answer = estimate_workload(job_of({"samples": 10_000, "seq_len": 1024}, training))
    assert "global batch 480 is not" in advice(answer)["batch-identity"]


# fairseq's --max-tokens 3584 on 8 GPUs with --update-freq 16 (Ott et al. 2018, arXiv:1806.00187, and
# https://github.com/facebookresearch/fairseq/tree/main/examples/scaling_nmt), with 4.5 million pairs of 28 tokens.
FAIRSEQ = {"batch_tokens": 3584, "gpus": 8, "accumulation": 16, "framework": "torch"}


def test_a_budget_of_tokens_makes_steps_by_the_mean_length() -> None:
    answer = estimate_workload(job_of({"samples": 4_500_000, "mean_tokens": 28, "seq_len": 1024}, FAIRSEQ))
    assert (answer.workload.training.batch_size, answer.steps.total) == (128, 275)
    assert advice(answer)["token-budget"].startswith("3,584 tokens hold about 128 samples of 28 tokens")


def test_memory_goes_by_the_budget_and_not_by_as_many_of_the_longest_samples() -> None:
    size = {"architecture": {"parameters": 210e6}, "cluster": {"gpu": "v100-sxm2-16gb"}}
    data = {"samples": 4_500_000, "seq_len": 1024}
    peaks = [
        estimate_workload(Workload.model_validate({"data": d, "training": t, **size})).memory.peak_bytes
        for d, t in (
            ({**data, "mean_tokens": 28}, FAIRSEQ),
            ({**data, "seq_len": 28}, {**FAIRSEQ, "batch_tokens": None, "batch_size": 128}),
        )
    ]
    assert peaks[0] == peaks[1]


@pytest.mark.parametrize(
    ("data", "training", "fault"),
    [
        ({}, {"global_batch_tokens": 4_000_000}, "give 3,997,696 or 4,063,232"),
        ({}, {"global_batch_tokens": 4_096}, "tokens of a micro-batch on all GPUs = 65,536: give 65,536"),
        (
            {"seq_len": None},
            {"global_batch_tokens": 65_536},
            "needs the tokens of a sample: give data.mean_tokens or seq_len",
        ),
        ({}, {"batch_tokens": 4096}, "batch_size and batch_tokens are both given; give one of them"),
        ({}, {"batch_size": None, "batch_tokens": 512}, "batch_tokens 512 hold no sample of 2,048 tokens"),
        (
            {},
            {"global_batch_tokens": 65_536, "global_batch": 32},
            "global_batch counts samples, and global_batch_tokens",
        ),
        ({}, {"global_batch_tokens": 65_536, "generations": 2}, "generations need batches in samples"),
    ],
)
def test_batches_in_tokens_that_do_not_fit_are_refused(
    data: dict[str, Any], training: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        job_of({"samples": 10_000, "seq_len": 2048, **data}, {"batch_size": 4, "gpus": 8, **training})


def test_a_batch_size_in_flags_replaces_the_budget_of_the_file(in_process: Command, tmp_path: Any) -> None:
    (tmp_path / "job.toml").write_text(
        "[data]\nsamples = 10_000\nseq_len = 128\n[training]\nbatch_tokens = 4096\ngpus = 2\n[throughput]\nstep_time = 1\n"
    )
    shapes = [
        json.loads(in_process("estimate", "job.toml", *flags, "--json").stdout)["shape"]
        for flags in ((), ("--batch-size", "8"), ("--gpus", "4"))
    ]
    assert [shape["batch_size"] for shape in shapes] == [32, 8, 32]
    assert [shape["global_batch"] for shape in shapes] == [64, 16, 128]


def test_a_kept_global_batch_shares_the_budget_among_more_gpus() -> None:
    job = job_of({"samples": 4_500_000, "mean_tokens": 28}, {**FAIRSEQ, "accumulation": 1})
    (shape,) = vary_shapes(job, [16], ["auto"], Keep.GLOBAL_BATCH)
    assert (shape.training.batch_size, shape.training.step_samples) == (64, 1024)


@pytest.mark.parametrize("rampup", ["16 8 300000", [16, 8, 300_000], [16, 8, "300k"]])
def test_a_rampup_is_read_as_megatron_and_nemo_write_it(rampup: Any) -> None:
    # https://github.com/NVIDIA-NeMo/NeMo/pull/3947: 16 to 1,024 by 8 over 300,000 samples
    training = {"batch_size": 1, "gpus": 8, "global_batch": 1024, "max_steps": 1000, "framework": "nemo"}
    job = Workload.model_validate({"training": training | {"batch_rampup": rampup}})
    assert job.training.batch_rampup == (16, 8, 300_000)


@pytest.mark.parametrize("rampup", [[16, 8], "16,8", 16, []])
def test_a_rampup_has_three_numbers(rampup: Any) -> None:
    training = {"batch_size": 1, "gpus": 8, "global_batch": 1024, "max_steps": 1000, "framework": "nemo"}
    with pytest.raises(ValueError, match=r"must be start, increment and samples, such as \[16, 8, 300_000\]"):
        Workload.model_validate({"training": training | {"batch_rampup": rampup}})


def test_the_max_steps_that_trainers_have_by_default_is_no_limit(in_process: Command) -> None:
    # `max_steps: int = -1`, https://huggingface.co/docs/transformers/main_classes/trainer
    unset = "estimate --samples 52002 --batch-size 4 --gpus 4 --max-steps=-1 --json".split()
    assert json.loads(in_process(*unset).stdout)["steps"]["total"] == 3251
    no_length = in_process(*"estimate --batch-size 4 --gpus 4 --max-steps=-1".split())
    assert no_length.returncode == 2
    assert "the size of the data is missing" in no_length.stderr
