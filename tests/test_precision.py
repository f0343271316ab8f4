"""Precision: how it reaches the command of each framework, and what stays as the user wrote it."""

from typing import Any

import pytest

from clusterplan.cluster_profiles.gpu import match_gpus, read_gpus
from clusterplan.cluster_profiles.precision import Precision
from clusterplan.errors import InputError
from clusterplan.estimator.job.framework import Framework
from clusterplan.launcher.command.deepspeed import find_config, with_config
from clusterplan.launcher.command.precision import precision_settings

A100, V100, H100, P100 = (
    read_gpus()[key] for key in ("a100-sxm4-80gb", "v100-sxm2-16gb", "h100-sxm", "p100-pcie-16gb")
)
HF, ACCELERATE, LIGHTNING, DEEPSPEED = (
    Framework.HF,
    Framework.ACCELERATE,
    Framework.LIGHTNING,
    Framework.DEEPSPEED,
)
DS = "train.py --deepspeed_config ds.json"


def settings(
    precision: str | None, framework: Any, command: str = "train.py", gpu: Any = A100, config: Any = None
) -> Any:
    possible_gpus = (gpu,) if gpu else ()
    stated = Precision(precision) if precision else None
    return precision_settings(stated, framework, possible_gpus, ("python", *command.split()), config)


def added(*args: Any, **kwargs: Any) -> Any:
    """The words after `python train.py`."""
    return " ".join(settings(*args, **kwargs).command[2:])


@pytest.mark.parametrize(
    ("gpu", "expected"), [(A100, "bf16"), (H100, "bf16"), (V100, "fp16"), (P100, "fp32"), (None, "auto")]
)
def test_auto_is_what_the_gpu_does_best(gpu: Any, expected: str) -> None:
    assert settings("auto", None, gpu=gpu).environment["CLUSTERPLAN_PRECISION"] == expected


def test_auto_needs_only_what_the_gpus_that_it_may_be_share() -> None:
    made = precision_settings(Precision.AUTO, HF, match_gpus("a100"), ("python", "train.py"))
    assert made.note == "precision bf16 (auto on A100): --bf16 added to the command"
    assert len(match_gpus("a100")) > 1
    unlike = precision_settings(Precision.AUTO, HF, (A100, V100), ("python", "train.py"))
    assert unlike.environment["CLUSTERPLAN_PRECISION"] == "auto"


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("bf16", "--bf16"),
        ("fp16", "--fp16"),
        ("tf32", "--tf32 True"),
        ("fp32", ""),
        ("fp8", ""),
        ("auto", "--bf16"),
    ],
)
@pytest.mark.parametrize("framework", [HF, Framework.HF_4_51])
def test_trainer_gets_its_flags(framework: Any, precision: str, expected: str) -> None:
    assert added(precision, framework, gpu=H100) == expected


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("bf16", "bf16"), ("fp16", "fp16"), ("fp8", "fp8"), ("fp32", "no"), ("tf32", "no")],
)
@pytest.mark.parametrize(
    "launch", [("/env/bin/accelerate", "launch"), ("python", "-m", "accelerate.commands.launch")]
)
def test_accelerate_launch_gets_its_flag_before_the_script(
    launch: tuple[Any, ...], precision: str, expected: str
) -> None:
    made = precision_settings(Precision(precision), ACCELERATE, [H100], (*launch, "train.py", "x"))
    assert made.command == (*launch, "--mixed_precision", expected, "train.py", "x")


def test_a_script_of_accelerate_gets_the_variable() -> None:
    made = settings("bf16", ACCELERATE)
    assert made.environment["ACCELERATE_MIXED_PRECISION"] == "bf16"
    assert "no `accelerate launch`" in made.note


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("bf16", "bf16-mixed"),
        ("fp16", "16-mixed"),
        ("fp32", "32-true"),
        ("tf32", "32-true"),
        ("fp8", "transformer-engine"),
    ],
)
def test_lightning_gets_the_flag_of_its_command_line_or_the_variable(precision: str, expected: str) -> None:
    assert added(precision, LIGHTNING, "train.py fit", gpu=H100) == f"fit --trainer.precision {expected}"
    assert settings(precision, LIGHTNING, gpu=H100).environment["PL_TRAINER_PRECISION"] == expected


def test_deepspeed_gets_its_blocks_beside_what_the_file_says() -> None:
    text = '{"zero_optimization": {"stage": 2}, "bf16": {"enabled": "auto"}, "fp16": {"hysteresis": 4}}'
    made = settings("fp16", DEEPSPEED, DS, config=text).config
    assert (made["zero_optimization"], made["bf16"]) == ({"stage": 2}, {"enabled": False})
    assert {k: made["fp16"][k] for k in ("enabled", "hysteresis", "loss_scale")} == {
        "enabled": True,
        "hysteresis": 4,
        "loss_scale": 0,
    }


@pytest.mark.parametrize(
    ("command", "text", "why"),
    [
        ("train.py --deepspeed", None, "the command names no --deepspeed_config FILE.json"),
        (DS, None, "ds.json cannot be read as JSON"),
        (DS, "{oops", "ds.json cannot be read as JSON"),
        (DS, "[1]", "ds.json cannot be read as JSON"),
    ],
)
def test_without_a_readable_config_deepspeed_is_left_alone(command: Any, text: str | None, why: str) -> None:
    made = settings("bf16", DEEPSPEED, command, config=text)
    assert (made.config, made.note) == (
        None,
        f"precision bf16: the command is unchanged ({why}); the script can read CLUSTERPLAN_PRECISION=bf16",
    )


@pytest.mark.parametrize(
    "command",
    [
        ("deepspeed", "t.py", "--deepspeed", "--deepspeed_config", "ds.json"),
        ("python", "t.py", "--deepspeed-config=ds.json"),
        ("python", "t.py", "--deepspeed", "ds.json", "--x", "ds.json"),
    ],
)
def test_the_config_of_deepspeed_is_found_and_replaced(command: tuple[Any, ...]) -> None:
    assert find_config(command) == "ds.json"
    assert find_config(with_config(command, "/runs/it's 1.json")) == "/runs/it's 1.json"
    assert len(with_config(command, "/runs/it's 1.json")) == len(command)


@pytest.mark.parametrize(
    ("framework", "why"),
    [
        (None, "no framework is stated"),
        (Framework.TORCH, 'framework "torch" has no option for it'),
        (Framework.MEGATRON, 'framework "megatron" has no option for it'),
    ],
)
def test_where_no_flag_is_known_the_variable_is_exported_and_that_is_said(framework: Any, why: str) -> None:
    made = settings("bf16", framework)
    assert made.command == ("python", "train.py")
    assert dict(made.environment) == {"CLUSTERPLAN_PRECISION": "bf16"}
    assert made.note == (
        f"precision bf16: the command is unchanged ({why}); the script can read CLUSTERPLAN_PRECISION=bf16, "
        "as clusterplan.mixed_precision() does"
    )


def test_tf32_is_exported_for_torch_too() -> None:
    assert settings("tf32", None).environment["TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"] == "1"


@pytest.mark.parametrize(
    ("framework", "command", "stated"),
    [
        (HF, "train.py --bf16", "bf16"),
        (HF, "train.py --bf16 True --tf32 True", "bf16"),
        (HF, "train.py --bf16 False --fp16=true", "fp16"),
        (HF, "train.py --bf16 False", "fp32"),
        (HF, "train.py --mixed-precision fp16", "fp16"),
        (ACCELERATE, "-m accelerate.commands.launch --mixed_precision=no t.py", "fp32"),
        (ACCELERATE, "train.py --mixed_precision fp16", "fp16"),
        (LIGHTNING, "train.py fit --trainer.precision 16", "fp16"),
        (LIGHTNING, "train.py fit --trainer.precision=bf16-true", "bf16"),
        (LIGHTNING, "train.py fit --trainer.precision=64-true", "auto"),
    ],
)
def test_what_the_command_says_already_is_respected(framework: Any, command: str, stated: str) -> None:
    made = settings("auto", framework, command)
    assert made.command == ("python", *command.split())
    assert made.environment["CLUSTERPLAN_PRECISION"] == stated


@pytest.mark.parametrize(
    ("framework", "command", "config", "both"),
    [
        (HF, "train.py --bf16", None, "precision fp16 contradicts --bf16 in the command: give one of them"),
        (HF, "train.py --fp16 no", None, "precision fp16 contradicts --fp16 no in the command"),
        (
            ACCELERATE,
            "t.py --mixed_precision bf16",
            None,
            "contradicts --mixed_precision bf16 in the command",
        ),
        (
            LIGHTNING,
            "t.py fit --trainer.precision 64",
            None,
            "contradicts --trainer.precision 64 in the command",
        ),
        (DEEPSPEED, DS, '{"bf16": {"enabled": true}}', 'contradicts "bf16" enabled in ds.json'),
    ],
)
def test_two_precisions_are_refused_by_name(
    framework: Any, command: Any, config: str | None, both: str
) -> None:
    with pytest.raises(InputError, match=both):
        settings("fp16", framework, command, config=config)


def test_tf32_that_is_switched_off_is_refused_though_it_is_how_fp32_is_multiplied() -> None:
    with pytest.raises(InputError, match="precision tf32 contradicts --tf32 False in the command"):
        settings("tf32", HF, "train.py --tf32 False")


def test_a_precision_that_is_switched_off_leaves_the_others_to_choose_from() -> None:
    assert added("auto", HF, "train.py --bf16 False", gpu=V100) == "--bf16 False --fp16"


def test_tf32_goes_with_a_flag_that_says_no_mixed_precision() -> None:
    made = settings("tf32", ACCELERATE, "-m accelerate.commands.launch --mixed_precision no t.py")
    assert made.command.count("--mixed_precision") == 1
    assert made.environment["CLUSTERPLAN_PRECISION"] == "tf32"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("train.py {precision}", "the command takes {precision} itself"),
        ("train.py args.yaml", "the arguments are those in args.yaml"),
    ],
)
def test_nothing_is_added_where_it_could_not_be_read(command: str, why: str) -> None:
    made = settings("bf16", HF, command)
    assert (made.command, why in made.note) == (("python", *command.split()), True)


@pytest.mark.parametrize("before", [(), ("env", "A=1")])
def test_nothing_is_added_to_a_shell_script(before: tuple[str, ...]) -> None:
    command = (*before, "bash", "finetune.sh")
    assert precision_settings(Precision.BF16, HF, [A100], command).command == command


def test_a_file_that_is_a_flags_value_does_not_stop_the_flags() -> None:
    assert added("bf16", HF, "train.py --deepspeed zero2.json") == "--deepspeed zero2.json --bf16"


@pytest.mark.parametrize(
    ("precision", "gpu", "said"),
    [
        ("bf16", V100, "V100-SXM2-16GB emulates bf16: fp16 is native there"),
        ("fp8", A100, "A100-SXM4-80GB has no fp8 hardware: bf16 is native there"),
        ("tf32", V100, "V100-SXM2-16GB has no tf32 hardware: fp16 is native there"),
    ],
)
def test_a_precision_that_the_gpu_lacks_is_named(precision: str, gpu: Any, said: str) -> None:
    assert settings(precision, None, gpu=gpu).note.endswith(said)


@pytest.mark.parametrize(
    ("framework", "command", "config", "would"),
    [
        (HF, "train.py", None, "bf16 on A100-SXM4-80GB (--bf16 added to the command)"),
        (ACCELERATE, "-m accelerate.commands.launch t.py", None, "(--mixed_precision bf16 added"),
        (ACCELERATE, "t.py", None, "(ACCELERATE_MIXED_PRECISION=bf16 exported"),
        (LIGHTNING, "t.py", None, "(PL_TRAINER_PRECISION=bf16-mixed exported"),
        (DEEPSPEED, DS, "{}", "(set in a copy of ds.json)"),
        (None, "train.py", None, "--precision auto would choose bf16 on A100-SXM4-80GB"),
    ],
)
def test_without_a_stated_precision_nothing_is_changed_and_auto_is_offered(
    framework: Any, command: str, config: str | None, would: str
) -> None:
    """A command's numerics are its user's: nobody asked for bf16 here."""
    made = settings(None, framework, command, config=config)
    assert (made.command, made.config) == (("python", *command.split()), None)
    assert made.environment == {"CLUSTERPLAN_PRECISION": "bf16"}
    assert made.note.startswith("precision is not stated: the command stays as it is; --precision auto")
    assert would in made.note


def test_without_a_stated_precision_that_of_the_command_counts() -> None:
    made = settings(None, HF, "train.py --fp16")
    assert made.note == "precision fp16: as --fp16 in the command says"
    assert settings(None, HF, "train.py", gpu=None).environment == {"CLUSTERPLAN_PRECISION": "auto"}
