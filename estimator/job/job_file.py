"""A workload from a job file and flags; a flag wins over the file."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...cluster_profiles.catalog import load_profile
from ...cluster_profiles.files.toml_file import locate, parse_toml, read_toml, table_of, validate
from ...errors import WorkloadError
from .given import STATED_RATES
from .placement import place
from .training import Training
from .workload import Workload, list_flags, nest_values

# Only one key of each may be set, so that a flag that sets one removes the others of the file.
_ALTERNATIVES = {
    "data": (("samples", "tokens"),),
    "training": (("global_batch", "global_batch_tokens"), ("batch_size", "batch_tokens")),
    "throughput": (STATED_RATES,),
}
# These are removed with it: they said how it is made up.
_DEPENDENTS = {"tokens": ("packing",), "global_batch": ("accumulation",)}
_RUN_FLAGS = {
    "bootstrap": "--bootstrap",
    "resume": "--resume-args",
    "container": "--container",
}  # of `submit`
_FLAG_AT = {place: flag for flag, place, _ in list_flags()} | {("slurm",): "--slurm"}
SIZES = (("data", "samples"), ("data", "tokens"), ("training", "max_steps"))
BATCHES = (("training", "batch_size"), ("training", "batch_tokens"))
_FLAG_AT |= {("run", key): flag for key, flag in _RUN_FLAGS.items()}
# The names of keys in trainers' own settings: Hugging Face's TrainingArguments, Megatron-LM's arguments, DeepSpeed's
# configuration, Lightning's Trainer, torchtitan, LLaMA-Factory, torchrun, Slurm; dashes and underscores are the same.
_NAMES = {
    "data.samples": "num_samples n_samples dataset_size num_examples train_samples max_samples num_train_samples "
    "max_train_samples train_size",
    "data.tokens": "num_tokens total_tokens train_tokens max_tokens n_tokens token_budget",
    "data.seq_len": "seq_length sequence_length max_seq_length max_seq_len max_length cutoff_len block_size context_length "
    "sequence_len model_max_length encoder_seq_length ctx_len seqlen",
    "data.packing": "sample_packing neat_packing pack_sequences sample_packing_eff_est",
    "data.validation_share": "val_set_size val_size validation_split split_dataset_ratio dataset_test_ratio test_size",
    "training.batch_size": "per_device_train_batch_size per_device_batch_size per_gpu_train_batch_size micro_batch_size "
    "micro_batch micro_batch_size_per_gpu train_micro_batch_size_per_gpu device_train_microbatch_size local_batch_size mbs "
    "train_batch_size_per_gpu batch bs",
    "training.accumulation": "gradient_accumulation_steps gradient_accumulation accumulate_grad_batches grad_accum accum "
    "grad_accum_steps accumulation_steps gas update_freq",
    "training.global_batch": "global_batch_size train_batch_size global_train_batch_size total_batch_size gbs "
    "effective_batch_size",
    "training.batch_tokens": "max_tokens",
    "training.global_batch_tokens": "tokens_per_step tokens_per_batch",
    "training.batch_rampup": "rampup_batch_size batch_size_rampup",
    "training.generations": "num_generations n_generations",
    "training.epochs": "num_train_epochs max_epochs num_epochs n_epochs train_epochs epoch",
    "training.max_steps": "train_iters max_iters max_train_steps train_steps training_steps num_steps num_train_steps steps "
    "total_steps iterations max_duration max_update max_updates total_num_update num_iters",
    "training.gpus": "num_gpus n_gpus ngpus gpu_count world_size num_processes nproc_per_node nproc devices gpus_per_node "
    "n_gpus_per_node num_devices",
    "training.precision": "bf16 fp16 fp8 tf32 fp32 mixed_precision torch_dtype dtype amp half bfloat16 float16",
    "training.drop_last": "dataloader_drop_last",
    "training.tensor_parallel": "tensor_model_parallel_size tensor_parallel_size tensor_parallel_degree tp tp_size tp_degree",
    "training.pipeline_parallel": "pipeline_model_parallel_size pipeline_parallel_size pipeline_parallel_degree pp pp_size "
    "pp_degree",
    "training.context_parallel": "context_parallel_size context_parallel_degree cp cp_size cp_degree",
    "training.sequence_parallel": "sequence_parallel_size ulysses_sequence_parallel_size ulysses_degree sp sp_size",
    "training.expert_parallel": "expert_model_parallel_size expert_parallel_size expert_parallel_degree ep ep_size",
    "training.zero_stage": "zero stage zero_optimization_stage deepspeed_stage zero_2 zero_3 zero1 zero2 zero3 fsdp",
    "training.optimizer": "optim optimizer_name",
    "training.offload": "cpu_offload offload_optimizer optimizer_cpu_offload offload_param fsdp_offload_params",
    "training.master_weights": "pure_bf16",
    "training.recompute": "gradient_checkpointing activation_checkpointing recompute_activations recompute_granularity "
    "activation_recompute grad_checkpointing use_gradient_checkpointing",
    "training.framework": "trainer backend",
    "architecture.parameters": "num_parameters num_params n_params params model_size",
    "architecture.active_parameters": "active_params num_active_parameters",
    "architecture.trainable_parameters": "trainable_params lora lora_parameters lora_rank lora_r",
    "architecture.base_bits": "load_in_4bit load_in_8bit quantization_bit qlora",
    "architecture.vocabulary": "vocab_size",
    "architecture.layers": "num_layers n_layers num_hidden_layers n_layer",
    "architecture.hidden": "hidden_size d_model n_embd hidden_dim",
    "evaluation.every_steps": "eval_steps eval_interval val_check_interval evaluation_steps eval_every eval_strategy",
    "evaluation.every_epochs": "check_val_every_n_epoch val_check_interval eval_strategy",
    "evaluation.samples": "eval_samples num_eval_samples max_eval_samples",
    "evaluation.time_s": "eval_time evaluation_time",
    "checkpoint.every_steps": "save_steps save_interval ckpt_interval checkpoint_interval save_every checkpointing_steps "
    "checkpoint_steps save_strategy",
    "checkpoint.every_epochs": "save_strategy",
    "checkpoint.folder": "output_dir save_dir checkpoint_dir",
    "throughput.samples_per_s": "train_samples_per_second samples_per_second throughput samples_per_sec",
    "throughput.samples_per_s_per_gpu": "samples_per_second_per_gpu samples_per_sec_per_gpu",
    "throughput.tokens_per_s": "tokens_per_second tokens_per_sec tps wps",
    "throughput.tokens_per_s_per_gpu": "tokens_per_second_per_gpu tokens_per_sec_per_gpu tokens_per_gpu_per_s tgs tps wps",
    "throughput.step_time": "step_time_s seconds_per_step time_per_step iteration_time step_time_ms ms_per_step iter_time "
    "sec_per_it s_per_it it_per_s its_per_s steps_per_s steps_per_second train_steps_per_second ups train_step_timing",
    "throughput.tflops_per_gpu": "tflops tflops_per_device",
    "cluster.gpu": "gpu_type gpu_name gpu_model accelerator",
    "cluster.nodes": "num_nodes n_nodes nnodes",
    "cluster.partition": "queue",
    "slurm.account": "account",
    "slurm.qos": "qos",
    "slurm.mem": "mem mem_per_gpu",
    "slurm.cpus-per-task": "cpus_per_task cpus_per_gpu",
    "slurm.constraint": "constraint",
    "slurm.exclusive": "exclusive",
    "slurm.reservation": "reservation",
    "slurm.nodelist": "nodelist",
    "slurm.exclude": "exclude",
}
_KEYS: dict[str, list[str]] = {}
for _key, _names in _NAMES.items():
    for _name in _names.split():
        _KEYS.setdefault(_name, []).append(_key)
KEYS_BY_OTHER_NAME: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: tuple(keys) for name, keys in _KEYS.items()}
)


def load_workload(
    path: Path | None,
    flags: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    *,
    tables: Mapping[str, Any] | None = None,
    run_tables: Mapping[str, Any] | None = None,
) -> Workload:
    """Return the workload in the file at `path`, or in its `tables`, with the values of `flags` on top.

    `run_tables`, of [run] and [slurm], lie on top too.  `defaults` hold where neither sets a value; both are named as
    flags are.  A rate is tied to the shape beside it.  Raises WorkloadError that names flag, or line and key.
    """
    above = _merge(nest_values(flags or {}), run_tables or {})
    below = nest_values(defaults or {})
    text = read_toml(path) if path else ""
    in_file = parse_toml(text, path) if path else dict(tables or {})
    in_flags = _merge(below, above)
    values = _merge(_merge(below, in_file), above)

    def place_of(location: tuple[int | str, ...]) -> str:
        flag = _FLAG_AT.get(tuple(str(part) for part in location[:2]))
        wins = _has(above, location) or not _has(in_file, location)
        if flag and wins and (path is None or _has(in_flags, location)):
            return f"{flag}: "
        key = f"{'.'.join(map(str, location))}: " if tables and location else ""
        return locate(text, path, location) if path else key

    workload = validate(Workload, values, place_of, WorkloadError, keys_called)
    has_rate = any(getattr(workload.throughput, rate) is not None for rate in STATED_RATES)
    if not (in_file and (flags or defaults) and has_rate):
        return workload  # the rate belongs to this shape
    rate_in_flags = any(rate in above.get("throughput", {}) for rate in STATED_RATES)
    of_rate = _merge(in_file, in_flags) if rate_in_flags else _merge(_required(in_flags), in_file)
    rate_workload = _placed(validate(Workload, of_rate, place_of, WorkloadError, keys_called), workload)
    return workload.model_copy(update={"throughput": rate_workload.with_rate_tied().throughput})


def states(path: Path | None, flags: Mapping[str, Any], *keys: tuple[str, str]) -> bool:
    """Return whether the file or the flags state a value of one of these keys, such as `SIZES`: how much is trained."""
    values = _merge(parse_toml(read_toml(path), path) if path else {}, nest_values(flags))
    return any(_has(values, key) for key in keys)


def _required(in_flags: Mapping[str, Any]) -> dict[str, Any]:
    """The values of flags that may complete the shape of a file's rate: only those without a default, and the length."""
    training = {
        key: value
        for key, value in in_flags["training"].items()
        if Training.model_fields[key].is_required() or key == "max_steps"
    }
    return {
        **{table: in_flags[table] for table in ("data", "architecture") if table in in_flags},
        "training": training,
    }


def _placed(rate_workload: Workload, workload: Workload) -> Workload:
    """`rate_workload` with its GPU type and nodes written out, if `workload` may run on others."""
    cluster = rate_workload.cluster
    if cluster == workload.cluster or cluster.profile is None:
        return rate_workload
    placement = place(rate_workload, load_profile(cluster.profile))
    machines = {"gpu": placement.gpu_type, "nodes": placement.nodes}
    return rate_workload.model_copy(update={"cluster": cluster.model_copy(update=machines)})


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` on top of `below`, table by table; neither is changed."""
    values = copy.deepcopy(dict(below))
    for table, content in above.items():
        if table in values and isinstance(content, Mapping) and not content:
            continue
        inner = values.get(table)
        if not isinstance(content, Mapping) or not isinstance(inner, dict):
            values[table] = copy.deepcopy(content)  # a value where a table belongs: validation says so
            continue
        for alternatives in _ALTERNATIVES.get(table, ()):
            if not any(name in content for name in alternatives):
                continue
            if table == "throughput":
                inner.clear()  # its shape and spread belonged to the rate that is replaced
            for name in alternatives:
                for key in (name, *_DEPENDENTS.get(name, ())):
                    inner.pop(key, None)
        inner.update(copy.deepcopy(content))
    return values


def _has(values: Mapping[str, Any], location: tuple[int | str, ...]) -> bool:
    inner: Any = values
    for part in location:
        if not isinstance(inner, Mapping) or part not in inner:
            return False
        inner = inner[part]
    return True


def _keys() -> Iterator[tuple[str, ...]]:
    for name, field in Workload.model_fields.items():
        table = table_of(field.annotation)
        yield from ((name, key) for key in table.model_fields) if table else ((name,),)


def keys_called(name: str) -> tuple[str, ...]:
    """Return the keys of the job file, with their tables, that `name` means; dashes and underscores are the same.

    A key may be named with or without its table.

    >>> keys_called("zero-stage"), keys_called("per_device_train_batch_size"), keys_called("every-steps")
    (('training.zero_stage',), ('training.batch_size',), ('evaluation.every_steps', 'checkpoint.every_steps'))
    """
    wanted = _plain(name)
    keys = [key for key in _keys() if wanted in {_plain(key[-1]), _plain("_".join(key))}]
    # `batch_size` is the job's; the same key of [throughput] says where a rate was measured.
    keys = [key for key in keys if key[0] != "throughput"] or keys
    if keys:
        return tuple(".".join(key) for key in keys)
    return KEYS_BY_OTHER_NAME.get(wanted, ())


def flag_of(key: str) -> str | None:
    """Return the flag that sets a key; None if none does.

    >>> flag_of("training.batch_size"), flag_of("training.zero_stage")
    ('--batch-size', None)
    """
    return _FLAG_AT.get(tuple(key.split(".")))


def _plain(name: str) -> str:
    return name.strip("-").lower().replace("-", "_").replace(".", "_")
