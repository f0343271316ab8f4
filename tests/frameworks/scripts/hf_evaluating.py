"""A Hugging Face Trainer script that evaluates; `--callback` adds ours.

python hf_evaluating.py [--callback] TRAINING_ARGUMENTS
"""

import sys

import torch
from transformers import GPT2Config, GPT2LMHeadModel, HfArgumentParser, Trainer, TrainingArguments


class Tokens(torch.utils.data.Dataset):
    """4,096 sequences of 32 tokens."""

    def __len__(self) -> int:
        return 4096

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        tokens = torch.randint(0, 100, (32,), generator=torch.Generator().manual_seed(index))
        return {"input_ids": tokens, "labels": tokens}


with_callback = "--callback" in sys.argv and not sys.argv.remove("--callback")
(arguments,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()
model = GPT2LMHeadModel(GPT2Config(vocab_size=100, n_positions=32, n_embd=32, n_layer=2, n_head=2))
callbacks = []
if with_callback:
    from clusterplan import trainer_callback

    callbacks.append(trainer_callback())
some = torch.utils.data.Subset(Tokens(), range(64))
trainer = Trainer(model, arguments, train_dataset=Tokens(), eval_dataset=some, callbacks=callbacks)
trainer.train(resume_from_checkpoint=arguments.resume_from_checkpoint)
