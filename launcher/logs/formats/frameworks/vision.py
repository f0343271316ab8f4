"""Frameworks for vision: detectron2 and mmengine."""

from ..log_format import LogFormat, StepTime
from ..record import RecordKind

_TIMES = {"lr": "learning_rate", "time": "step_time_s", "data_time": "wait_s"}

VISION = (
    LogFormat(
        name="detectron2",
        framework="detectron2",
        marker=b"total_loss: ",
        pattern=r"iter: (?P<step>\d++)  .*total_loss: ",
        values={"total_loss": "loss", **_TIMES},
        first_step=0,
        step_time=StepTime.SINCE_START,
        versions="detectron2 0.6",
        reference="detectron2/utils/events.py, CommonMetricPrinter",
    ),
    LogFormat(
        name="detectron2-json",
        framework="detectron2, metrics.json",
        marker=b'"total_loss": ',
        pattern=r'\{[^{}]*"iteration": (?P<step>\d++)[^{}]*\}',
        values={"total_loss": "loss", **_TIMES},
        first_step=0,
        step_time=StepTime.MEDIAN,
        where="metrics.json",
        versions="detectron2 0.6",
        reference="detectron2/utils/events.py, JSONWriter",
    ),
    LogFormat(
        name="mmengine-epoch",
        framework="mmengine",
        marker=b"Epoch(train)",
        pattern=r"(?:(?P<date>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - .*)?Epoch\(train\) +\[ *(?P<epoch_number>\d+)\]\[ *(?P<epoch_step>\d+)/(?P<epoch_length>\d+)\] ",
        values={"loss": "loss", **_TIMES},
        step_time=StepTime.MEAN,
        versions="mmengine 0.10",
        reference="mmengine/runner/log_processor.py, get_log_after_iter",
    ),
    LogFormat(
        name="mmengine-iteration",
        framework="mmengine",
        marker=b"Iter(train)",
        pattern=r"(?:(?P<date>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - .*)?Iter\(train\) +\[ *(?P<step>\d+)/ *(?P<total_steps>\d+)\] ",
        values={"loss": "loss", **_TIMES},
        step_time=StepTime.MEAN,
        versions="mmengine 0.10",
        reference="mmengine/runner/log_processor.py, get_log_after_iter",
    ),
    LogFormat(
        name="mmengine-json",
        framework="mmengine, vis_data/scalars.json",
        marker=b'"data_time": ',
        pattern=r'\{[^{}]*"step": (?P<step>\d++)[^{}]*\}',
        values={"loss": "loss", **_TIMES},
        step_time=StepTime.MEAN,
        where="scalars.json",
        versions="mmengine 0.10",
        reference="mmengine/hooks/logger_hook.py",
    ),
    LogFormat(
        name="mmengine-evaluation",
        framework="mmengine",
        marker=b"(val) ",
        pattern=r"(?:Epoch|Iter)\(val\) +(?:\[ *\d+\])?\[ *(?P<length>\d+)/(?P=length)\] .*\btime: ",
        kind=RecordKind.EVALUATION,
        versions="mmengine 0.10",
        reference="mmengine/runner/log_processor.py, get_log_after_epoch",
    ),
    LogFormat(
        name="mmengine-save",
        framework="mmengine",
        marker=b"Saving checkpoint at ",
        pattern=r"Saving checkpoint at \d+ (?:epochs|iterations)",
        kind=RecordKind.SAVE,
        versions="mmengine 0.10",
        reference="mmengine/hooks/checkpoint_hook.py",
    ),
)
