"""The config file of `accelerate launch`: on how many machines, with how many processes."""

from collections.abc import Mapping
from typing import Any

DEFAULT_CONFIG = "~/.cache/huggingface/accelerate/default_config.yaml"  # what `accelerate config` writes


def parse_accelerate_config(text: str) -> Mapping[str, Any] | None:
    """Return the keys of a config file, YAML or JSON; None if it is no table.

    >>> parse_accelerate_config("num_machines: 2\\nmachine_rank: 0\\n")
    {'num_machines': 2, 'machine_rank': 0}
    """
    import yaml  # noqa: PLC0415  PyYAML, for commands of accelerate only

    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return values if isinstance(values, dict) else None
