"""What the names of metrics and columns mean: the step, the loss, a validation, and whether more of it is better.  Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence

STEP, LOSS, EVAL_LOSS, LEARNING_RATE, TOTAL, SECONDS = (
    "step",
    "loss",
    "eval_loss",
    "learning_rate",
    "total_steps",
    "seconds",
)
# The names of each quantity, in small letters with _ for all other signs; the first that is there counts.
NAMES: Mapping[str, Sequence[str]] = {
    STEP: (
        "step",
        "global_step",
        "trainer_global_step",
        "steps",
        "iteration",
        "iter",
        "current_steps",
        "it",
        "epoch",
    ),
    LOSS: (
        *("reward", "train_reward", "rewards_mean"),  # of reinforcement learning, whose loss says nothing
        *("loss", "train_loss", "training_loss", "loss_train", "train_loss_step", "loss_step", "lm_loss"),
        *(
            "total_loss",
            "reduced_train_loss",
            "metrics_loss",
            "value",
            "nll",
            "train_nll",
            "bpb",
            "train_bpb",
        ),
    ),
    EVAL_LOSS: (
        *("eval_loss", "val_loss", "validation_loss", "valid_loss", "loss_val", "loss_eval", "dev_loss"),
        *("eval_nll", "val_nll", "val_bpb", "eval_bpb", "test_loss"),
    ),
    LEARNING_RATE: ("lr", "learning_rate", "train_lr", "train_learning_rate", "optimizer_lr"),
    TOTAL: ("max_steps", "total_steps", "train_iters"),
    SECONDS: ("time_s", "timestamp", "wall_time", "elapsed_s", "seconds", "train_time_ms"),
}
_OTHER = re.compile(r"[^a-z0-9]+")
_EVALUATION = re.compile(r"(?:eval|val|valid|validation|dev|test)_")
_NO_METRICS = ("runtime", "per_second", "samples", "steps", "epoch", "time", "step", "compilation")
_MORE_IS_BETTER = re.compile(
    r"(?:^|_)(acc|accuracy|f1|precision|recall|auc|auroc|map|ap|bleu|rouge\w*|matthews\w*|reward\w*|score|exact_match|em|"
    r"iou|miou|dice|pearson\w*|spearman\w*|r2|chrf\w*|meteor|cider|ndcg\w*|mrr|hits?|psnr|ssim|pass|win_rate|top\d*)(?:$|_)"
)
_LESS_IS_BETTER = re.compile(
    r"(?:^|_)(loss|perplexity|ppl|wer|cer|ter|error|err|mae|mse|rmse|nll|bpb|bpc|bits\w*|fid|kl|mape|brier|ece)(?:$|_)"
)


def plain_name(column: str) -> str:
    """Return a column's name in small letters, with _ for other signs, without the run that W&B puts before it.

    >>> plain_name("run-7 - train/loss"), plain_name("lr-AdamW"), plain_name("Metrics/loss")
    ('train_loss', 'lr_adamw', 'metrics_loss')
    """
    return _OTHER.sub("_", column.rpartition(" - ")[2].lower()).strip("_")


def find_column(columns: Iterable[str], quantity: str) -> str | None:
    """Return the column that holds a quantity, by its name; None if no name is one of its names.

    >>> find_column(["epoch", "trainer/global_step", "lr-SGD"], "step"), find_column(["lr-SGD"], "learning_rate")
    ('trainer/global_step', 'lr-SGD')
    """
    plain = {plain_name(column): column for column in reversed(list(columns))}
    for name in NAMES[quantity]:
        if name in plain:
            return plain[name]
    if quantity == LEARNING_RATE:  # Lightning adds the name of the optimizer
        return next((plain[name] for name in plain if name.startswith(("lr_", "learning_rate_"))), None)
    return None


def is_evaluation(name: str) -> bool:
    """Return whether a name is that of a metric on a validation set.

    >>> is_evaluation("eval_wer"), is_evaluation("eval_runtime"), is_evaluation("loss")
    (True, False, False)
    """
    plain = plain_name(name)
    return bool(_EVALUATION.match(plain)) and not plain.endswith(_NO_METRICS)


def is_more_better(name: str) -> bool | None:
    """Return whether more of a metric is better, by its name; None if the name does not tell.

    >>> is_more_better("eval_accuracy"), is_more_better("eval_wer"), is_more_better("eval_magic")
    (True, False, None)
    """
    plain = plain_name(name)
    if _LESS_IS_BETTER.search(plain):
        return False
    return True if _MORE_IS_BETTER.search(plain) else None
