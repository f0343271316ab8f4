"""The flags of a training command: `--name value`, `--name=value`, with dashes or underscores inside."""

import shlex

from .processes.program import find_program

_CONFIGS = (".json", ".yaml", ".yml", ".toml")
_QUOTES = "'\""
_VERBS = ("train", "sft", "pt", "rlhf", "dpo", "rm")  # of LLaMA-Factory, axolotl and ms-swift


def option_words(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words in which the flags of a command stand: its own, or those of the program in the text of its shell.

    >>> option_words(("bash", "-c", "cd x && exec python t.py --lr '1' $*", "bash", "--bf16"))
    ('python', 't.py', '--lr', '1', '$*', '--bf16')
    """
    program = find_program(command)
    if program.text is None:
        return command
    return (*map(_unquoted, program.words), *program.after[1:])  # the first is the shell's own name


def takes_no_flags(command: tuple[str, ...]) -> str | None:
    """Return why nothing can be added to the arguments of `command`; None if it can.

    >>> takes_no_flags(("bash", "train.sh")), takes_no_flags(("bash", "-c", "python train.py"))
    ('a shell script may not hand its arguments on', None)
    >>> takes_no_flags(("llamafactory-cli", "train", "sft.yaml", "output_dir=out"))
    'the arguments are those in sft.yaml'
    """
    if find_program(command).is_shell:
        return "a shell script may not hand its arguments on"
    words = option_words(command)
    last = len(words) - 1
    for at, word in enumerate(words[1:], 1):
        before = words[at - 1]
        is_first = before.endswith(".py") or before in _VERBS or words[at - 2 : at - 1] == ("-m",)
        if word.endswith(_CONFIGS) and (is_first or (at == last and not before.startswith("-"))):
            return f"the arguments are those in {word}"
    return None


def flag_value(command: tuple[str, ...], flag: str) -> str | None:
    """Return the value of the last `flag` of `command`; "" if it has none, None if the flag is missing.

    >>> flag_value(("train", "--bf16", "--mixed-precision=fp16"), "--mixed_precision")
    'fp16'
    >>> flag_value(("bash", "-c", "train --bf16 --lr 1"), "--bf16")
    ''
    """
    words = option_words(command)
    at = _at(words, flag)
    if at is None:
        return None
    _, equals, value = words[at].partition("=")
    following = words[at + 1 : at + 2]
    return value if equals else following[0] if following and not following[0].startswith("-") else ""


def with_flag_value(command: tuple[str, ...], flag: str, value: str) -> tuple[str, ...]:
    """Return `command` with the value of its last `flag` replaced; the flag must be present, with a value.

    >>> with_flag_value(("train", "--config", "a.json", "x"), "--config", "/a b.json")
    ('train', '--config', '/a b.json', 'x')
    >>> with_flag_value(("bash", "-c", "train --config a.json > log"), "--config", "/a b.json")
    ('bash', '-c', "train --config '/a b.json' > log")
    """
    program = find_program(command)
    if program.text is None:
        return _with_value(command, flag, value)
    if _at(program.after, flag) is not None:
        return (*program.before, program.text, *_with_value(program.after, flag, value))
    return program.with_words(_with_value(program.words, flag, shlex.quote(value)))


def _with_value(words: tuple[str, ...], flag: str, value: str) -> tuple[str, ...]:
    at = _at(words, flag)
    if at is None:
        return words
    name, equals, _ = words[at].partition("=")
    if equals:
        return (*words[:at], f"{name.lstrip(_QUOTES)}={value}", *words[at + 1 :])
    return (*words[: at + 1], value, *words[at + 2 :])


def _at(words: tuple[str, ...], flag: str) -> int | None:
    places = [at for at, word in enumerate(words) if _name(word) == flag]
    return places[-1] if places else None


def _unquoted(word: str) -> str:
    try:
        return "".join(shlex.split(word))
    except ValueError:
        return word


def _name(word: str) -> str:
    name = word.strip(_QUOTES).partition("=")[0]
    return name[:2] + name[2:].replace("-", "_")
