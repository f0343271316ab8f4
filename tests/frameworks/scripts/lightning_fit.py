"""A Lightning script: its Trainer, without a precision of its own.

python lightning_fit.py OUTPUT
"""

import sys

import lightning
import torch
from lightning.pytorch.demos.boring_classes import BoringModel

if __name__ == "__main__":
    torch.manual_seed(0)
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, max_steps=50, default_root_dir=sys.argv[1], enable_progress_bar=False
    )
    trainer.fit(BoringModel())
    print(
        f"precision {trainer.precision}, world {trainer.world_size}, steps {trainer.global_step}, "
        f"on {type(trainer._accelerator_connector.cluster_environment).__name__}"
    )
