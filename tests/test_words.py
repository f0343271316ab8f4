"""Words that people bring from their trainers: flags, keys, precisions, frameworks and suffixes."""

from pathlib import Path

import pytest
from conftest import Command

from clusterplan import Precision
from clusterplan.cluster_profiles.files.toml_file import table_of
from clusterplan.estimator.job.framework import OTHER_NAMES, Framework
from clusterplan.estimator.job.job_file import KEYS_BY_OTHER_NAME, keys_called
from clusterplan.estimator.job.workload import Workload

JOB = "--samples 100000 --batch-size 4 --gpus 8".split()
KEYS = [
    f"{name}.{key}"
    for name, field in Workload.model_fields.items()
    if (table := table_of(field.annotation))
    for key in table.model_fields
]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--zero-stage", "a key of the job file: training.zero_stage"),
        ("--zero_stage", "a key of the job file: training.zero_stage"),
        ("--optimizer", "a key of the job file: training.optimizer"),
        ("--trainable-parameters", "a key of the job file: architecture.trainable_parameters"),
        ("--packing", "a key of the job file: data.packing"),
        ("--every-steps", "keys of the job file: evaluation.every_steps or checkpoint.every_steps"),
        ("--checkpoint-every-steps", "a key of the job file: checkpoint.every_steps"),
        ("--account", "a key of the job file: slurm.account"),
        ("--batch_size", "the flag is --batch-size"),
        # Hugging Face's TrainingArguments
        ("--per_device_train_batch_size", "the flag is --batch-size"),
        ("--gradient-accumulation-steps", "the flag is --accumulation"),
        ("--num-train-epochs", "the flag is --epochs"),
        ("--bf16", "the flag is --precision bf16"),
        ("--gradient_checkpointing", "the flag is --recompute"),
        ("--save-steps", "a key of the job file: checkpoint.every_steps"),
        ("--eval-steps", "a key of the job file: evaluation.every_steps"),
        # Megatron-LM's arguments
        ("--micro-batch-size", "the flag is --batch-size"),
        ("--global-batch-size", "the flag is --global-batch"),
        ("--train-iters", "the flag is --max-steps"),
        ("--seq-length", "the flag is --seq-len"),
        ("--tensor-model-parallel-size", "the flag is --tensor-parallel"),
        # TRL, Megatron-LM, axolotl, ms-swift, fairseq, bitsandbytes, Lightning, torchtitan
        ("--num_generations", "a key of the job file: training.generations"),
        ("--rampup-batch-size", "a key of the job file: training.batch_rampup"),
        ("--val_set_size", "a key of the job file: data.validation_share"),
        ("--split_dataset_ratio", "a key of the job file: data.validation_share"),
        ("--sample_packing", "a key of the job file: data.packing"),
        ("--update-freq", "the flag is --accumulation"),
        ("--max-update", "the flag is --max-steps"),
        ("--load_in_4bit", "a key of the job file: architecture.base_bits"),
        (
            "--val-check-interval",
            "keys of the job file: evaluation.every_steps or evaluation.every_epochs",
        ),
        ("--tps", "the flag is --tokens-per-s or --tokens-per-s-per-gpu"),  # of all GPUs, or torchtitan's
        # torchrun
        ("--nproc-per-node", "the flag is --gpus"),
        ("--nnodes", "the flag is --nodes"),
        ("--sample", "did you mean '--samples'?"),
    ],
)
def test_an_option_that_does_not_exist_says_where_it_goes(
    in_process: Command, option: str, said: str
) -> None:
    for command in (("estimate", *JOB, option, "3"), ("submit", option, "3", "--", "true")):
        done = in_process(*command)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert f"No such option '{option}'" in done.stderr
        assert said in done.stderr


@pytest.mark.parametrize("option", ["--temperature", "--learning-rate", "--warmup-ratio", "--seed"])
def test_an_option_without_a_place_gets_no_false_suggestion(in_process: Command, option: str) -> None:
    assert in_process("estimate", *JOB, option, "1").stderr == f"Error: No such option '{option}'\n"


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_known_with_and_without_its_table(key: str) -> None:
    table, name = key.split(".")
    assert keys_called(f"--{table}-{name}".replace("_", "-")) == (key,)
    if table != "throughput":
        assert key in keys_called(name)


def test_other_names_lead_to_keys_that_exist() -> None:
    keys = {key for keys in KEYS_BY_OTHER_NAME.values() for key in keys}
    assert {key for key in keys if not key.startswith("slurm.")} <= set(KEYS)
    names = {name.rpartition(".")[2] for name in KEYS}
    assert not names & set(KEYS_BY_OTHER_NAME), "a key of ours has its own meaning"


def test_a_name_of_a_trainer_in_the_job_file_says_what_it_is_here(
    in_process: Command, tmp_path: Path
) -> None:
    text = "[data]\nsamples = 100\n[training]\nper_device_train_batch_size = 1\ngpus = 1\n"
    (tmp_path / "job.toml").write_text(text, encoding="utf-8")
    line = "Error: job.toml:4: training.per_device_train_batch_size: unknown key; here it is training.batch_size\n"
    assert in_process("estimate", "job.toml").stderr == line


@pytest.mark.parametrize(
    ("seq_len", "tokens"), [("8k", 8192), ("32K", 32_768), ("128k", 131_072), ("1M", 2**20), ("2048", 2048)]
)
def test_k_is_1024_in_a_length_and_the_number_is_shown(
    in_process: Command, seq_len: str, tokens: int
) -> None:
    shown = in_process("estimate", *JOB, "--seq-len", seq_len).stdout
    assert f"samples of {tokens:,} tokens" in shown


@pytest.mark.parametrize(
    ("samples", "number"), [("10k", 10_000), ("1.5M", 1_500_000), ("1,000,000", 10**6), ("1e6", 10**6)]
)
def test_k_is_1000_in_a_count(samples: str, number: int) -> None:
    assert Workload.of(samples=samples, batch_size=1, gpus=1).data.sequences == number


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("bfloat16", Precision.BF16),  # torch
        ("torch.bfloat16", Precision.BF16),
        ("bf16-mixed", Precision.BF16),  # Lightning
        ("16-mixed", Precision.FP16),
        ("fp16-mixed", Precision.FP16),
        ("32-true", Precision.FP32),
        ("half", Precision.FP16),
        ("float32", Precision.FP32),
        ("BF16", Precision.BF16),
    ],
)
def test_precisions_have_the_names_of_torch_and_lightning(name: str, precision: Precision) -> None:
    assert Workload.of(samples=1, batch_size=1, gpus=1, precision=name).training.precision is precision


@pytest.mark.parametrize(
    ("name", "framework"),
    [
        ("transformers", Framework.HF),
        ("TRL", Framework.HF),
        ("axolotl", Framework.HF),
        ("LLaMA-Factory", Framework.HF),
        ("nemo", Framework.MEGATRON),
        ("Megatron-LM", Framework.MEGATRON),
        ("torchtitan", Framework.MEGATRON),
        ("nanoGPT", Framework.MEGATRON),
        ("pytorch", Framework.TORCH),
        ("ddp", Framework.TORCH),
        ("FSDP", Framework.TORCH),
        ("composer", Framework.TORCH),
        ("pytorch_lightning", Framework.LIGHTNING),
        ("diffusers", Framework.ACCELERATE),
    ],
)
def test_libraries_count_as_what_they_are_built_on(name: str, framework: Framework) -> None:
    assert Workload.of(samples=1, batch_size=1, gpus=1, framework=name).training.framework is framework


def test_no_library_counts_in_two_ways() -> None:
    names = [name for names in OTHER_NAMES.values() for name in names.split()]
    assert len({*names, *Framework}) == len(names) + len(Framework)


@pytest.mark.parametrize(("packing", "said"), [("0.9", "packing belongs to tokens"), ("true", "is no share")])
def test_packing_beside_samples_says_what_to_do(
    in_process: Command, tmp_path: Path, packing: str, said: str
) -> None:
    text = (
        f"[data]\nsamples = 100\nseq_len = 2048\npacking = {packing}\n[training]\nbatch_size = 1\ngpus = 1\n"
    )
    (tmp_path / "job.toml").write_text(text, encoding="utf-8")
    stderr = in_process("estimate", "job.toml").stderr
    assert said in stderr
    assert "samples" in stderr
