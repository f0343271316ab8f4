"""The flags of a training command: `--name value`, `--name=value`, with dashes or underscores inside."""

_SHELLS = {"bash", "sh", "dash", "zsh"}


def takes_no_flags(command: tuple[str, ...]) -> str | None:
    """Why nothing can be added to the arguments of `command`; None if it can.

    >>> takes_no_flags(("bash", "train.sh")), takes_no_flags(("python", "train.py"))
    ('a shell script may not hand its arguments on', None)
    """
    name = command[0].rsplit("/", 1)[-1]
    if name in _SHELLS or name.endswith(".sh"):
        return "a shell script may not hand its arguments on"
    if command[-1].endswith((".json", ".yaml", ".yml")) and not command[-2:][0].startswith("-"):
        return f"the arguments are those in {command[-1]}"
    return None


def flag_value(command: tuple[str, ...], flag: str) -> str | None:
    """What the last `flag` of `command` says; "" if it says nothing, None if it is not there.

    >>> flag_value(("train", "--bf16", "--mixed-precision=fp16"), "--mixed_precision")
    'fp16'
    >>> flag_value(("train", "--bf16", "--lr", "1"), "--bf16")
    ''
    """
    at = _at(command, flag)
    if at is None:
        return None
    _, given, value = command[at].partition("=")
    following = command[at + 1 : at + 2]
    return value if given else following[0] if following and not following[0].startswith("-") else ""


def with_flag_value(command: tuple[str, ...], flag: str, value: str) -> tuple[str, ...]:
    """`command` with what its last `flag` says replaced; the flag must be there, and say something.

    >>> with_flag_value(("train", "--config", "a.json", "x"), "--config", "/a b.json")
    ('train', '--config', '/a b.json', 'x')
    """
    at = _at(command, flag)
    if at is None:
        return command
    name, given, _ = command[at].partition("=")
    if given:
        return (*command[:at], f"{name}={value}", *command[at + 1 :])
    return (*command[: at + 1], value, *command[at + 2 :])


def _at(command: tuple[str, ...], flag: str) -> int | None:
    places = [at for at, word in enumerate(command) if _name(word) == flag]
    return places[-1] if places else None


def _name(word: str) -> str:
    name = word.partition("=")[0]
    return name[:2] + name[2:].replace("-", "_")
