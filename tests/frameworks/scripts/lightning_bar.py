"""A Lightning script as people have it: with its progress bar and a validation each epoch; `--callback` adds ours.

python lightning_bar.py OUTPUT [--callback]
"""

import sys

import lightning
import torch
from lightning.pytorch.demos.boring_classes import BoringModel, RandomDataset


class Model(BoringModel):
    """Batches that take a while."""

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> dict[str, torch.Tensor]:
        for _ in range(10):
            torch.randn(200, 200) @ torch.randn(200, 200)
        loss = super().training_step(batch, batch_idx)
        self.log("train_loss", loss["loss"], prog_bar=True)
        return loss

    def train_dataloader(self) -> torch.utils.data.DataLoader:
        return torch.utils.data.DataLoader(RandomDataset(32, 100))


if __name__ == "__main__":
    callbacks = []
    if "--callback" in sys.argv:
        from clusterplan import lightning_callback

        callbacks.append(lightning_callback())
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=3,
        default_root_dir=sys.argv[1],
        logger=False,
        callbacks=callbacks,
    )
    trainer.fit(Model())
