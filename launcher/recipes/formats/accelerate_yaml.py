"""The YAML config of `accelerate launch`: GPUs, precision, DeepSpeed and FSDP.  Pure.

Keys and defaults are those of accelerate at 16cb6eb (https://github.com/huggingface/accelerate:
commands/config/config_args.py, utils/dataclasses.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..recipe import Recipe, Setting

_SHARDING = {"FULL_SHARD": 3, "SHARD_GRAD_OP": 2, "NO_SHARD": 0, "HYBRID_SHARD": 3, "HYBRID_SHARD_ZERO2": 2}
_BY_NUMBER = {
    "1": "FULL_SHARD",
    "2": "SHARD_GRAD_OP",
    "3": "NO_SHARD",
    "4": "HYBRID_SHARD",
    "5": "HYBRID_SHARD_ZERO2",
}
_DEFAULT_STAGE = 2  # of DeepSpeed, in accelerate


@dataclass(frozen=True)
class AccelerateConfig:
    """What the config says of the job; `gpus` are those of all `nodes`, `config_file` is DeepSpeed's own."""

    recipe: Recipe
    gpus: int | None = None
    nodes: int | None = None
    config_file: str | None = None


def is_accelerate_yaml(values: Mapping[str, Any]) -> bool:
    """Return whether a table of YAML is such a config."""
    return "compute_environment" in values or "distributed_type" in values


def read_accelerate_config(values: Mapping[str, Any], name: str) -> AccelerateConfig:
    """Return what the config says.

    >>> fsdp = {"fsdp_sharding_strategy": "FULL_SHARD", "fsdp_activation_checkpointing": True}
    >>> config = read_accelerate_config({"distributed_type": "FSDP", "fsdp_config": fsdp, "num_processes": 8}, "fsdp.yaml")
    >>> [(key, setting.value) for key, setting in config.recipe.settings.items()], config.gpus
    ([('training.zero_stage', 3), ('training.recompute', True)], 8)
    """
    kind = str(values.get("distributed_type", "")).upper()
    settings = [*_precision(values, name)]
    deepspeed = _table(values, "deepspeed_config") if kind == "DEEPSPEED" else {}
    if kind == "DEEPSPEED":
        settings += _deepspeed(deepspeed, name)
    if kind == "FSDP":
        settings += read_fsdp_config(_table(values, "fsdp_config"), name)
    settings += _parallelism(_table(values, "parallelism_config"), name)
    file = deepspeed.get("deepspeed_config_file")
    processes, machines = values.get("num_processes"), values.get("num_machines", 1)
    gpus = processes if isinstance(processes, int) and processes > 0 else None
    if gpus is None and isinstance(ids := values.get("gpu_ids"), str) and ids.lower() != "all":
        gpus = len([part for part in ids.split(",") if part.strip()])
    rank = values.get("machine_rank")
    remarks = (f"{name}: machine_rank {rank} trains one node alone",) if rank and machines != 1 else ()
    return AccelerateConfig(
        Recipe.of(*settings, remarks=remarks),
        gpus,
        machines if isinstance(machines, int) else None,
        file if isinstance(file, str) else None,
    )


def _table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = values.get(key)
    return inner if isinstance(inner, Mapping) else {}


def _precision(values: Mapping[str, Any], name: str) -> Iterator[Setting]:
    precision = str(values.get("mixed_precision", "no")).lower()
    if values.get("fp16") is True and "mixed_precision" not in values:  # before accelerate 0.6
        yield Setting("training.precision", "fp16", f"{name}: fp16")
    elif precision in ("bf16", "fp16", "fp8"):
        yield Setting("training.precision", precision, f"{name}: mixed_precision")


def _deepspeed(values: Mapping[str, Any], name: str) -> Iterator[Setting]:
    if values.get("deepspeed_config_file"):
        return  # it excludes the other keys
    stage = values.get("zero_stage", _DEFAULT_STAGE)
    if isinstance(stage, int):
        yield Setting("training.zero_stage", stage, f"{name}: deepspeed_config.zero_stage")
    accumulation = values.get("gradient_accumulation_steps")
    if isinstance(accumulation, int):
        source = f"{name}: deepspeed_config.gradient_accumulation_steps"
        yield Setting("training.accumulation", accumulation, source)
    parts = {"offload_optimizer_device": "optimizer", "offload_param_device": "parameters"}
    offload = tuple(what for key, what in parts.items() if values.get(key) in ("cpu", "nvme"))
    if offload:
        yield Setting("training.offload", offload, f"{name}: deepspeed_config.offload_..._device")


def read_fsdp_config(values: Mapping[str, Any], name: str) -> Iterator[Setting]:
    """Yield what a table `fsdp_config` says, whose keys may begin with `fsdp_`; `name` is that of its file."""
    plain = {str(key).removeprefix("fsdp_"): value for key, value in values.items()}
    source = f"{name}: fsdp_config"
    if str(plain.get("version", 1)) == "2":
        stage = 2 if str(plain.get("reshard_after_forward", True)).lower() in ("false", "no_shard") else 3
        yield Setting("training.zero_stage", stage, f"{source}.fsdp_reshard_after_forward")
    else:
        strategy = str(plain.get("sharding_strategy", "FULL_SHARD")).upper()
        stage = _SHARDING.get(_BY_NUMBER.get(strategy, strategy), 3)
        yield Setting("training.zero_stage", stage, f"{source}.fsdp_sharding_strategy")
    if plain.get("activation_checkpointing") is True:
        yield Setting("training.recompute", value=True, source=f"{source}.fsdp_activation_checkpointing")
    if plain.get("offload_params") is True or plain.get("cpu_offload") is True:
        yield Setting("training.offload", ("optimizer", "parameters"), f"{source}.fsdp_offload_params")


def _parallelism(values: Mapping[str, Any], name: str) -> Iterator[Setting]:
    keys = {"tp_size": "tensor_parallel", "cp_size": "context_parallel", "sp_size": "sequence_parallel"}
    plain = {str(key).removeprefix("parallelism_config_"): value for key, value in values.items()}
    for key, ours in keys.items():
        if isinstance(size := plain.get(key), int) and size > 1:
            yield Setting(f"training.{ours}", size, f"{name}: parallelism_config.{key}")
