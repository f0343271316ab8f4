"""Files that frameworks keep of the training, other than lines of text: their fields are those of a format all the same."""

from ..log_format import LogFormat, Source, StepTime

_ANY = r"(?!)"  # no line of text is of these formats

TENSORBOARD = LogFormat(
    name="tensorboard",
    framework="TensorBoard: HF Trainer, Lightning, Megatron-LM, NeMo, torchtitan, torch",
    marker=b"\0",
    pattern=_ANY,
    values={
        "train/loss": "loss",
        "train_loss": "loss",
        "loss": "loss",
        "lm loss": "loss",
        "reduced_train_loss": "loss",
        "loss_metrics/global_avg_loss": "loss",
        "train/learning_rate": "learning_rate",
        "learning-rate": "learning_rate",
        "eval/loss": "evaluation_loss",
        "val_loss": "evaluation_loss",
        "lm loss validation": "evaluation_loss",
        "validation_metrics/loss": "evaluation_loss",
        "eval/runtime": "seconds",
        "time_metrics/data_loading(%)": "wait_percent",
        "batch-size": "global_batch_size",
    },
    source=Source.CLOCKED_FILE,
    where="events.out.tfevents.*",
    resume="goes on in a second file",
    versions="tensorboardX 2.6, torch 2.8",
    reference="tensorboard/compat/proto/event.proto, summary.proto; torch/utils/tensorboard/writer.py",
)
TRAINER_STATE = LogFormat(
    name="trainer-state",
    framework="HF Trainer",
    marker=b"\0",
    pattern=_ANY,
    values={
        "step": "step",
        "loss": "loss",
        "learning_rate": "learning_rate",
        "epoch": "epoch",
        "eval_loss": "evaluation_loss",
        "eval_runtime": "seconds",
    },
    source=Source.STATE_FILE,
    where="checkpoint-N/trainer_state.json",
    resume="goes on; no clock: the times are those of the files of successive checkpoints",
    versions="transformers 4 and 5.24",
    reference="transformers/trainer_callback.py, TrainerState",
)
LIGHTNING_CSV = LogFormat(
    name="lightning-csv",
    framework="Lightning, CSVLogger",
    marker=b"\0",
    pattern=_ANY,
    values={
        "step": "step",
        "epoch": "epoch",
        "train_loss": "loss",
        "train_loss_step": "loss",
        "train/loss": "loss",
        "loss": "loss",
        "val_loss": "evaluation_loss",
        "val/loss": "evaluation_loss",
    },
    source=Source.STATE_FILE,
    where="metrics.csv",
    first_step=0,
    step_time=StepTime.NONE,
    resume="a file in the same folder is deleted at the start; no clock",
    versions="lightning 2.5",
    reference="lightning/fabric/loggers/csv_logs.py",
)
FILES = (TENSORBOARD, TRAINER_STATE, LIGHTNING_CSV)
