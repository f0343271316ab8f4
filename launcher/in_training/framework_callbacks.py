"""Callbacks that report the steps of Hugging Face's Trainer and of Lightning from inside their loops, as `track` does.

The framework's own base class is taken from the modules that the script has loaded: nothing else is imported.
"""

import sys
from contextlib import ExitStack
from typing import Any

from .tracker import Tracker, track

_LOGGED = ("loss", "learning_rate", "eval_loss")


class _Loop:
    """The steps of a framework's loop, and the pause that it is in; `may_end` lets it end at a confirmed plateau."""

    def __init__(self, *, may_end: bool = False) -> None:
        self.steps: Tracker[Any] | None = None
        self._may_end = may_end
        self._pause = ExitStack()

    def begin(self, step: int, total: int | None, batch_size: int | None = None) -> None:
        """Begin after `step` steps of `total`."""
        self.steps = track(start=step, total=total, batch_size=batch_size)

    def count_to(self, step: int) -> None:
        """Count the steps up to `step`."""
        while self.steps and self.steps.step < step:
            self.steps.advance()

    def pause(self, what: str | None) -> None:
        """End the pause, and begin one for an `evaluation` or a `checkpoint`; None goes on with the steps."""
        self._pause.close()
        if self.steps and what:
            self._pause.enter_context(getattr(self.steps, what)())

    def should_stop(self) -> bool:
        """Return whether the loop may end, and what was logged confirms that going on gains nothing."""
        return self._may_end and self.steps is not None and self.steps.should_stop()

    def end(self) -> None:
        """End the loop."""
        self.pause(None)
        if self.steps:
            self.steps.end()


class _TrainerEvents:
    """The events of Hugging Face's Trainer (transformers/trainer_callback.py)."""

    def __init__(self, *, stop: bool) -> None:
        self.loop = _Loop(may_end=stop)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.loop.begin(state.global_step, state.max_steps, args.per_device_train_batch_size)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.loop.count_to(state.global_step)
        self._pause_for(control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._pause_for(control)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if self.loop.steps and logs:
            self.loop.steps.log(**{name: logs[name] for name in _LOGGED if name in logs})
            # Trainer gathers its logs, so all ranks decide alike.
            if "eval_loss" in logs and self.loop.should_stop():
                control.should_training_stop = True

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.loop.pause("checkpoint" if control.should_save else None)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.loop.pause(None)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.loop.end()

    def _pause_for(self, control: Any) -> None:
        """Begin the pause that the Trainer makes next: it evaluates before it saves."""
        if control.should_evaluate or control.should_save:
            self.loop.pause("evaluation" if control.should_evaluate else "checkpoint")


class _LightningHooks:
    """The hooks of Lightning's Trainer (lightning/pytorch/callbacks/callback.py)."""

    def __init__(self, *, stop: bool) -> None:
        self.loop = _Loop(may_end=stop)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        total = trainer.estimated_stepping_batches  # infinite where nothing limits the run
        self.loop.begin(trainer.global_step, int(total) if 0 < total < sys.maxsize else None)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if self.loop.steps and loss is not None:
            self.loop.steps.loss(loss)
        if self.loop.steps and trainer.optimizers:
            self.loop.steps.log(learning_rate=trainer.optimizers[0].param_groups[0]["lr"])
        self.loop.count_to(trainer.global_step)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self.loop.pause("evaluation")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self.loop.pause(None)
        value = trainer.callback_metrics.get("val_loss")
        if self.loop.steps and value is not None and not trainer.sanity_checking:
            self.loop.steps.log(eval_loss=value)
            # Rank 0 decides for all: the others have other losses.
            if trainer.strategy.broadcast(self.loop.should_stop()):
                trainer.should_stop = True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.loop.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.loop.end()


def trainer_callback(*, stop: bool = False) -> Any:
    """Return a callback for Hugging Face's Trainer: `Trainer(..., callbacks=[trainer_callback()])`.

    It reports each step, the loss and the learning rate that are logged, and the time of evaluations and saves.  With
    `stop` it ends the training at a plateau that `eval_loss` confirms, by the rules of `clusterplan advise`.  Raises
    RuntimeError if transformers is not imported.
    """
    return type("TrainerProgress", (_TrainerEvents, _find_class("TrainerCallback", "transformers")), {})(
        stop=stop
    )


def lightning_callback(*, stop: bool = False) -> Any:
    """Return a callback for Lightning: `Trainer(..., callbacks=[lightning_callback()])`.

    It reports each optimizer step, the loss, the learning rate, `val_loss`, and the time of validations.  With `stop` it
    ends the training at a plateau that `val_loss` confirms, by the rules of `clusterplan advise`.  Raises RuntimeError
    if neither lightning nor pytorch_lightning is imported.
    """
    base = _find_class("Callback", "lightning.pytorch", "pytorch_lightning")
    return type("LightningProgress", (_LightningHooks, base), {})(stop=stop)


def _find_class(name: str, *modules: str) -> type[Any]:
    """Return the class of that name from the first of the modules that is loaded."""
    for module in modules:
        if module in sys.modules:
            loaded: type[Any] = getattr(sys.modules[module], name)
            return loaded
    raise RuntimeError(f"import {' or '.join(modules)} first: the callback is for its Trainer")
