"""The flags of a training command: `--name value`, `--name=value`, with dashes or underscores inside."""

from .processes.program import programs_in

_CONFIGS = (".json", ".yaml", ".yml", ".toml")
_VERBS = ("train", "sft", "pt", "rlhf", "dpo", "rm")  # of LLaMA-Factory, axolotl and ms-swift


def takes_no_flags(command: tuple[str, ...]) -> str | None:
    """Return why nothing can be added to the arguments of `command`; None if it can.

    >>> takes_no_flags(("bash", "train.sh")), takes_no_flags(("python", "train.py"))
    ('a shell script may not hand its arguments on', None)
    >>> takes_no_flags(("llamafactory-cli", "train", "sft.yaml", "output_dir=out"))
    'the arguments are those in sft.yaml'
    """
    if programs_in(command, {})[0].is_shell:
        return "a shell script may not hand its arguments on"
    last = len(command) - 1
    for at, word in enumerate(command[1:], 1):
        before = command[at - 1]
        is_first = before.endswith(".py") or before in _VERBS or command[at - 2 : at - 1] == ("-m",)
        if word.endswith(_CONFIGS) and (is_first or (at == last and not before.startswith("-"))):
            return f"the arguments are those in {word}"
    return None


def flag_value(command: tuple[str, ...], flag: str) -> str | None:
    """Return the value of the last `flag` of `command`; "" if it has none, None if the flag is missing.

    >>> flag_value(("train", "--bf16", "--mixed-precision=fp16"), "--mixed_precision")
    'fp16'
    >>> flag_value(("train", "--bf16", "--lr", "1"), "--bf16")
    ''
    """
    at = _at(command, flag)
    if at is None:
        return None
    _, equals, value = command[at].partition("=")
    following = command[at + 1 : at + 2]
    return value if equals else following[0] if following and not following[0].startswith("-") else ""


def with_flag_value(command: tuple[str, ...], flag: str, value: str) -> tuple[str, ...]:
    """Return `command` with the value of its last `flag` replaced; the flag must be present, with a value.

    >>> with_flag_value(("train", "--config", "a.json", "x"), "--config", "/a b.json")
    ('train', '--config', '/a b.json', 'x')
    """
    at = _at(command, flag)
    if at is None:
        return command
    name, equals, _ = command[at].partition("=")
    if equals:
        return (*command[:at], f"{name}={value}", *command[at + 1 :])
    return (*command[: at + 1], value, *command[at + 2 :])


def _at(command: tuple[str, ...], flag: str) -> int | None:
    places = [at for at, word in enumerate(command) if _name(word) == flag]
    return places[-1] if places else None


def _name(word: str) -> str:
    name = word.partition("=")[0]
    return name[:2] + name[2:].replace("-", "_")
