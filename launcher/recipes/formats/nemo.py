"""The `model` table of NeMo, whose Trainer is Lightning's and whose batches are Megatron's.  Pure.

Names are those of https://github.com/NVIDIA/NeMo, examples/nlp/language_modeling/conf/megatron_gpt_config.yaml.
"""

from ..arguments import Arguments, find_number
from ..recipe import Recipe, Setting

_KEYS = {
    "model.micro_batch_size": "training.batch_size",
    "model.global_batch_size": "training.global_batch",
    "model.encoder_seq_length": "data.seq_len",
    "model.tensor_model_parallel_size": "training.tensor_parallel",
    "model.pipeline_model_parallel_size": "training.pipeline_parallel",
}


def has_nemo_batches(arguments: Arguments) -> bool:
    """Return whether the model has both batch sizes of Megatron."""
    return {"model.micro_batch_size", "model.global_batch_size"} <= arguments.keys()


def read_nemo(arguments: Arguments) -> Recipe:
    """Return the batches, the length and the parallel sizes."""
    settings = [(key, find_number(arguments, name)) for name, key in _KEYS.items()]
    return Recipe.of(
        *(
            Setting(key, *stated)
            for key, stated in settings
            if stated and not (key.endswith("_parallel") and stated[0] == 1)
        )
    )
