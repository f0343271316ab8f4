"""Hide secrets in what a run keeps: its command, its environment, its job file.  Pure, in linear time."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .names import is_secret
from .programs import secret_words
from .text import HIDDEN, redact_text

_LABEL = re.compile(r"[-+~]*(?P<name>[\w./@-]{1,256})")
_OPTION = re.compile(r"--?[A-Za-z]")
_SHELL_TEXT = re.compile(r"[a-z]{0,5}c")  # bash -c, bash -lc: the next word is a text of commands


def redact_arguments(arguments: Iterable[str]) -> list[str]:
    """Return the words of a command with the secrets in them hidden.

    >>> redact_arguments(["train.py", "--api-key", "abc", "--hf_token=x", "--tokenizer", "bert", "WANDB_API_KEY=1x"])
    ['train.py', '--api-key', '[redacted]', '--hf_token=[redacted]', '--tokenizer', 'bert', 'WANDB_API_KEY=[redacted]']
    >>> redact_arguments(["+logger.token=abc", "model.tokens=512", "export HF_TOKEN=abc; train --password abc"])
    ['+logger.token=[redacted]', 'model.tokens=512', 'export HF_TOKEN=[redacted]; train --password [redacted]']
    >>> redact_arguments(["bash", "-c", "COMET_API_KEY=abc python train.py"])
    ['bash', '-c', 'COMET_API_KEY=[redacted] python train.py']
    >>> redact_arguments(["--proxy=http://me:abc@host:80/x", "ssh://git@host/a.git", "https://host?token=abc&x=1"])
    ['--proxy=http://me:[redacted]@host:80/x', 'ssh://git@host/a.git', 'https://host?token=[redacted]&x=1']
    """
    words = list(arguments)
    places = secret_words(words)
    shown, option = list[str](), ""
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        label = _LABEL.fullmatch(name)
        if at in places:
            shown.append(word[: places[at]] + HIDDEN)
        elif option and not _OPTION.match(word) and is_secret(option, word):
            shown.append(HIDDEN)
        elif equals and label and not _SHELL_TEXT.fullmatch(option) and is_secret(label["name"], value):
            shown.append(f"{name}={HIDDEN}")
        else:
            shown.append(redact_text(word))
        option = label["name"] if label and not equals and word.startswith("-") else ""
    return shown


def redact_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables without the secrets among them, and with those in the others' values hidden.

    >>> redact_environment({"CONDA_TOKEN": "abc", "TOKENIZERS_PARALLELISM": "false", "HF_ENDPOINT": "https://a:b@c"})
    {'TOKENIZERS_PARALLELISM': 'false', 'HF_ENDPOINT': 'https://a:[redacted]@c'}
    """
    return {name: redact_text(value) for name, value in variables.items() if not is_secret(name, value)}


def redact_values(values: Any, name: str = "") -> Any:
    """Return the content of a JSON or TOML file with the secrets in it hidden; a list of words is a command.

    >>> redact_values({"run": {"command": ["train", "--token", "abc"]}, "password": "a", "steps": 3})
    {'run': {'command': ['train', '--token', '[redacted]']}, 'password': '[redacted]', 'steps': 3}
    """
    if isinstance(values, str):
        return HIDDEN if is_secret(name, values) else redact_text(values)
    if isinstance(values, Mapping):
        return {key: redact_values(value, str(key)) for key, value in values.items()}
    if isinstance(values, Sequence):
        if all(isinstance(value, str) for value in values):
            return redact_arguments(values)
        return [redact_values(value, name) for value in values]
    return values
