"""A Lightning script with the bar of tqdm, which it has where rich is not installed; `--callback` adds ours.

python lightning_bar.py OUTPUT [--callback | --files]

With `--files` it has no bar, and Lightning's own logger.
"""

import sys

import lightning
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.demos.boring_classes import BoringModel, RandomDataset
from lightning.pytorch.loggers import CSVLogger


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
    with_files = "--files" in sys.argv
    callbacks = [] if with_files else [TQDMProgressBar()]
    if "--callback" in sys.argv:
        from clusterplan import lightning_callback

        callbacks.append(lightning_callback())
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=3,
        default_root_dir=sys.argv[1],
        logger=CSVLogger(sys.argv[1], flush_logs_every_n_steps=10) if with_files else False,
        log_every_n_steps=10,
        enable_progress_bar=not with_files,
        callbacks=callbacks,
    )
    trainer.fit(Model())
