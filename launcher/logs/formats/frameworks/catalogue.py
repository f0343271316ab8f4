"""All formats, in the order in which a line is tried: one line is of the first format of its kind that fits."""

from ..log_format import LogFormat
from .bars import BARS
from .files import FILES
from .finetuning import FINETUNING
from .pretraining import DEEPSPEED, MEGATRON, PRETRAINING
from .vision import VISION

FORMATS: tuple[LogFormat, ...] = (
    *FINETUNING,
    *MEGATRON,
    *DEEPSPEED,
    *PRETRAINING,
    *VISION,
    *BARS,
    *FILES,
)


def find_format(name: str) -> LogFormat:
    """Return the format of that name.  Raises KeyError."""
    return {form.name: form for form in FORMATS}[name]
