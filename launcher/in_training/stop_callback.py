"""Callbacks for frameworks that own the loop: the training ends by itself once `should_stop` says so.

Each is made on demand, from the framework that the script itself has installed.
"""

from typing import Any

from ...errors import InputError
from .loss_record import LossRecord


def stop_callback(
    framework: str,
    monitor: str | None = None,
    min_gain: float = 0.01,
    band: tuple[float, float] | None = None,
    *,
    constant_lr: bool = False,
) -> Any:
    """Return a callback of `hf` (Hugging Face Trainer) or `lightning` that ends the training at a confirmed plateau.

    The rules are those of `clusterplan advise`: without validations, and before the learning rate has decayed, it
    never ends it.  `monitor` is the validation loss, by default `eval_loss` or `val_loss`.

        trainer.add_callback(clusterplan.stop_callback("hf"))
        lightning.Trainer(callbacks=[clusterplan.stop_callback("lightning")])

    Raises InputError for another framework, and ImportError if it is not installed.

    >>> stop_callback("jax")
    Traceback (most recent call last):
    clusterplan.errors.InputError: framework 'jax' has no callback here: use hf or lightning, or track(...).should_stop()
    """
    rules = {"min_gain": min_gain, "band": band, "constant_lr": constant_lr}
    if framework == "hf":
        return _trainer_callback(monitor or "eval_loss", rules)
    if framework == "lightning":
        return _lightning_callback(monitor or "val_loss", rules)
    raise InputError(
        f"framework {framework!r} has no callback here: use hf or lightning, or track(...).should_stop()"
    )


def _trainer_callback(monitor: str, rules: dict[str, Any]) -> Any:
    """All ranks see the same logs, because Trainer gathers them, so all give the same answer."""
    from transformers import TrainerCallback  # noqa: PLC0415  which the script has, and clusterplan does not install

    record = LossRecord()

    class StopAtPlateau(TrainerCallback):  # type: ignore[misc]  # it has no types here
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
            logs = logs or {}
            record.total = state.max_steps if state.max_steps > 0 else None
            record.log(
                state.global_step,
                loss=logs.get("loss"),
                learning_rate=logs.get("learning_rate"),
                evaluation=logs.get(monitor),
            )
            if monitor in logs and record.may_stop(**rules):
                control.should_training_stop = True

    return StopAtPlateau()


def _lightning_callback(monitor: str, rules: dict[str, Any]) -> Any:
    """Rank 0 decides for all: the others have other losses."""
    try:
        from lightning.pytorch import Callback  # noqa: PLC0415  which the script has
    except ImportError:
        from pytorch_lightning import Callback  # noqa: PLC0415  its older name

    record = LossRecord()

    class StopAtPlateau(Callback):  # type: ignore[misc]  # it has no types here
        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:  # noqa: ARG002
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
            rate = trainer.optimizers[0].param_groups[0]["lr"] if trainer.optimizers else None
            record.log(trainer.global_step, loss=loss, learning_rate=rate)

        def on_validation_end(self, trainer: Any, module: Any) -> None:  # noqa: ARG002
            value = trainer.callback_metrics.get(monitor)
            if trainer.sanity_checking or value is None:
                return
            total = trainer.estimated_stepping_batches
            record.total = int(total) if 0 < total < float("inf") else None
            record.log(trainer.global_step, evaluation=value)
            if trainer.strategy.broadcast(record.may_stop(**rules)):
                trainer.should_stop = True

    return StopAtPlateau()
