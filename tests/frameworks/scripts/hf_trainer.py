"""A Hugging Face Trainer script: a tiny GPT-2 made from its configuration, on random tokens."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel, HfArgumentParser, Trainer, TrainingArguments


class Tokens(torch.utils.data.Dataset):
    """512 sequences of 16 tokens."""

    def __len__(self) -> int:
        return 512

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        tokens = torch.randint(0, 100, (16,), generator=torch.Generator().manual_seed(index))
        return {"input_ids": tokens, "labels": tokens}


(arguments,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()
model = GPT2LMHeadModel(GPT2Config(vocab_size=100, n_positions=16, n_embd=16, n_layer=1, n_head=2))
trainer = Trainer(model, arguments, train_dataset=Tokens())
trainer.train(resume_from_checkpoint=arguments.resume_from_checkpoint)
trainer.save_state()
if arguments.process_index == 0:
    print(f"bf16 {arguments.bf16}, world {arguments.world_size}, steps {trainer.state.global_step}")
