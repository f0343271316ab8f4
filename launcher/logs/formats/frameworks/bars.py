"""Progress bars that many scripts and frameworks show."""

from ..log_format import LogFormat, Source

BARS = (
    LogFormat(
        name="tqdm",
        framework="tqdm: HF Trainer, Accelerate scripts, Lightning",
        marker=b"<",
        pattern=r"(?P<done>\d[\d.]{0,15}[kMGT]?)/(?P<length>\d[\d.]{0,15}[kMGT]?|\?) \[(?P<elapsed>\d[\d:]{1,15})<[^\[\]]*/[^\]]*\]",
        source=Source.BAR,
        where="stderr",
        resume="HF Trainer: begins at 0 and jumps to the step; Lightning: goes on with the epoch",
        versions="tqdm 4.67, lightning 2.5",
        reference="tqdm/std.py, format_meter",
    ),
    LogFormat(
        name="rich-bar",
        framework="Lightning, RichProgressBar",
        marker="•".encode(),
        pattern=r"(?P<done>\d+)/(?P<length>\d+|\?|--) (?P<elapsed>\d+:\d\d:\d\d) • ",
        source=Source.BAR,
        resume="goes on with the epoch",
        versions="lightning 2.5",
        reference="lightning/pytorch/callbacks/progress/rich_progress.py",
    ),
)
