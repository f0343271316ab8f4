"""The names of checkpoints, as frameworks write them: pure.

number after a word   checkpoint-500, step_500, epoch=3-step=500.ckpt, iter_0000500, ep1-ba500-rank0.pt, epoch_3.pth
number before it      rl_model_500_steps.zip, 3epoch.pth
number alone          500/ (Orbax), 0000500.pt, model_0000499.pth
no number             ckpt.pt, last.ckpt, checkpoint_last.pt, latest/: overwritten by each save
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from pathlib import PurePath

WEIGHT_SUFFIXES = {
    *(".pt", ".pth", ".ckpt", ".chkpt", ".checkpoint", ".bin", ".safetensors", ".tar", ".gz", ".zst", ".zip"),
    *(".npz", ".npy", ".h5", ".hdf5", ".keras", ".index", ".pkl", ".pickle", ".msgpack", ".distcp", ".nemo"),
    *(".eqx", ".pdparams", ".params", ".weights", ".t7", ".joblib", ".model"),
}


class Family(IntEnum):
    """What the number in a checkpoint's name counts: numbers of two families cannot be compared."""

    STEP = 0
    EPOCH = 1
    SAVE = 2  # a number after the word checkpoint, or alone: mostly steps, sometimes epochs
    OTHER = 3  # a number after any other word
    OVERWRITTEN = 4  # no number


@dataclass(frozen=True)
class CheckpointName:
    """What the name of a checkpoint says.  Numbers are compared where `family` and `stem` are the same.

    `stem` is empty where the number's word says what it counts.  `step` is None where the name does not tell it.
    """

    family: Family
    number: tuple[int, ...] = ()
    stem: str = ""
    step: int | None = None


_STEP = re.compile(r"(?:(?:global[-_]?)?(?:steps?|iter(?:ation)?s?)|(?<![a-z])(?:ba|updates?))[-_=]?(\d+)")
_STEP_BEHIND = re.compile(r"(?<!\d)(\d+)[-_]?(?:steps?|iter(?:ation)?s?)(?![a-z])")
_EPOCH = re.compile(r"(?:epochs?|(?<![a-z])ep)[-_=]?(\d+)")
_EPOCH_BEHIND = re.compile(r"(?<!\d)(\d+)[-_]?epochs?(?![a-z])")
_SAVE = re.compile(r"(?:checkpoint|ckpt|chkpnt|chkpt|snapshot)[-_=+.]?\d")
_SAVE_AT_STEP = re.compile(r"(?:(?:checkpoint|ckpt)-)?(\d+)")  # of a folder: Hugging Face's Trainer, Orbax
# model_0000499, model000500 (guided-diffusion), weights.05-0.23 (Keras: the second is a loss)
_OTHER = re.compile(r"[a-z].*?[-_.]\d+(?:-\d+\.\d+)*|[a-z]*model\d+")
_OVERWRITTEN = re.compile(
    r"(?:^|[-_.])(?:last|latest|newest|current|ckpt|checkpoint|chkpnt|chkpt|snapshot|resume|autosave|train(?:ing)?_?state)"
    r"(?:$|[-_.])"
)
_CHOSEN = re.compile(r"(?:^|[-_.])(?:best|final)(?:$|[-_.])")  # kept for what it scores, not to go on from
_FIRST_RANK = re.compile(r"[-_.](?:mp_)?rank[-_]?0+(?!\d)")
_UNFINISHED = re.compile(
    r"(?:^|[-_.])(?:tmp|temp|part|partial|incomplete|unfinished|in[-_]?progress|orbax-checkpoint-tmp|bak|backup|old|"
    r"corrupt(?:ed)?)(?:[-_.]|\d|$)|^\.|~$"
)
# Numbered, but one of several that make a checkpoint, or a folder in which there are some.
_PART = re.compile(
    r"-of-\d|rank[-_]?0*[1-9]|^opt\d"
    r"|(?:^|[-_.])(?:optim(?:izer)?s?|scheduler|scaler|rng|rng_states?|random_states?|ema)(?:[-_.]|\d|$)"
    r"|(?:rank|shard|part|worker|node|gpu|fold|run|trial|seed|stage|exp|phase|version|job|task)[-_]?\d+$"
)
_BESIDE = re.compile(
    r"(?:^|[-_.])(?:eval\w*?|val(?:id\w*?)?|samples?|pred\w*?|generat\w*?|outputs?|results?|metrics?|logs?|images?|imgs?|"
    r"videos?|media|plots?|figures?|traces?|prof\w*?|events?|data(?:set)?|cache|loss(?:es)?|acc(?:uracy)?|grads?|labels?|"
    r"features?)[-_.]?(?:\d|(?:at_)?(?:global|step|iter|epoch|ep_?\d|checkpoint|ckpt))|^events\.out"
)
_FOLDERS_BESIDE = {
    *(
        "wandb",
        "mlruns",
        "mlflow",
        "tensorboard",
        "tb",
        "tb_logs",
        "tblogs",
        "events",
        "samples",
        "images",
        "media",
    ),
    *(
        "videos",
        "plots",
        "figures",
        "eval",
        "evals",
        "evaluation",
        "predictions",
        "profiler",
        "traces",
        "cache",
    ),
    *("__pycache__", "node_modules", "code", "src"),
}


def parse_name(name: str, *, is_folder: bool = False) -> CheckpointName | None:
    """Return what a file's or folder's name says of a checkpoint; None for other names and for unfinished saves.

    >>> [parse_name(n).step for n in ("epoch=3-step=40.ckpt", "global_step7", "rl_model_90_steps.zip")]
    [40, 7, 90]
    >>> parse_name("checkpoint-500", is_folder=True).step
    500
    >>> parse_name("checkpoint_epoch12.pt").family.name, parse_name("last.ckpt").family.name
    ('EPOCH', 'OVERWRITTEN')
    >>> [parse_name(n) for n in ("step_9.tmp", "eval_step_20000", "model-00001-of-00002.safetensors", "step_9.png")]
    [None, None, None, None]
    """
    name = name.lower()
    stem = _FIRST_RANK.sub("", name if is_folder else _without_suffix(name))
    is_file_of_weights = has_weight_suffix(name)
    if is_unfinished(name) or _PART.search(stem) or _BESIDE.search(stem):
        return None
    if not (is_folder or is_file_of_weights or _has_no_suffix(name)):
        return None
    for family, after, behind in ((Family.STEP, _STEP, _STEP_BEHIND), (Family.EPOCH, _EPOCH, _EPOCH_BEHIND)):
        if counts := after.findall(stem) or behind.findall(stem):
            count = int(counts[-1])
            return CheckpointName(family, (count,), step=count if family is Family.STEP else None)
    return _parse_other(stem, is_folder=is_folder, is_plain=not (is_folder or is_file_of_weights))


def _parse_other(stem: str, *, is_folder: bool, is_plain: bool) -> CheckpointName | None:
    """Parse a name that says neither step nor epoch; `is_plain` is a file without the suffix of weights."""
    numbers, words = tuple(map(int, re.findall(r"\d+", stem))), re.sub(r"\d+", "#", stem)
    is_number = stem.isdecimal()
    if _SAVE.search(stem) or (is_number and not is_plain):
        at_step = _SAVE_AT_STEP.fullmatch(stem) if is_folder or is_number else None
        return CheckpointName(Family.SAVE, numbers, words, int(at_step[1]) if at_step else None)
    if not is_plain and _OVERWRITTEN.search(stem) and not _CHOSEN.search(stem):
        return CheckpointName(Family.OVERWRITTEN, stem=words)
    return CheckpointName(Family.OTHER, numbers, words) if not is_plain and _OTHER.fullmatch(stem) else None


def may_hold_checkpoints(folder_name: str) -> bool:
    """Return whether a folder of this name is searched: not one of a logger, of samples or of evaluations.

    >>> [may_hold_checkpoints(n) for n in ("lightning_logs", "weights", "wandb", "eval_step_20000", "step_9.tmp")]
    [True, True, False, False, False]
    """
    name = folder_name.lower()
    return not (is_unfinished(name) or name in _FOLDERS_BESIDE or _BESIDE.search(name))


def match_pattern(pattern: re.Pattern[str], path: str) -> CheckpointName | None:
    """Return what `checkpoint.pattern` finds in a path relative to the output folder; None where it does not match.

    Its group may match nothing: then the file is overwritten by each save.

    >>> match_pattern(re.compile(r"nets/gen-([0-9]+)\\.bin"), "nets/gen-0070.bin").number
    (70,)
    """
    match = pattern.fullmatch(path)
    if match is None or is_unfinished(PurePath(path).name):
        return None
    digits = re.findall(r"\d+", match[1] or "")
    if not digits:
        return CheckpointName(Family.OVERWRITTEN)
    return CheckpointName(Family.SAVE, tuple(map(int, digits)))


def is_unfinished(name: str) -> bool:
    """Return whether a name says that its file or folder is still being written, or was put aside."""
    return bool(_UNFINISHED.search(name.lower()))


def has_weight_suffix(name: str) -> bool:
    """Return whether a file's name ends as files of weights do."""
    return PurePath(name).suffix.lower() in WEIGHT_SUFFIXES and not name.startswith("events.out")


def _has_no_suffix(name: str) -> bool:
    suffix = PurePath(name).suffix
    return not suffix or suffix[1:].isdecimal()  # the .12 of epoch=3-step=40-loss=0.12


def _without_suffix(name: str) -> str:
    path = PurePath(name)
    while path.suffix in WEIGHT_SUFFIXES:
        path = path.with_suffix("")
    return path.name
