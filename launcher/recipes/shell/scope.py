"""What the words of a script may hold: variables, arguments, and the environment."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .word import Word

Value = Word | tuple[Word, ...]  # of a variable, or of an array

_OF_THE_RUN = re.compile(
    r"SLURM|RANDOM|HOSTNAME|SECONDS|PBS|OMPI_|PMI|CUDA_|LOCAL_RANK|RANK|WORLD_SIZE|MASTER_"
)


@dataclass
class Scope:
    """What a word may hold: variables, the arguments of the script ($1 is the first), and the environment.

    `substitute` returns the output of a command; None if only the run knows it.  `read` returns the text of a file that
    the script sources; None if it is not to be followed.
    """

    variables: dict[str, Value] = field(default_factory=dict)
    arguments: tuple[Word, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    script: str = "script"
    folder: str | None = None  # in which the commands run, as far as it is known
    substitute: Callable[[str, "Scope"], Word | None] = lambda _text, _scope: None
    read: Callable[[str], str | None] = lambda _name: None
    undefined_is_empty: bool = False  # as bash has it; otherwise it is what only the run knows

    def value(self, name: str) -> Value | None:
        """Return the value of a variable or parameter; None if it has none here."""
        if name in ("@", "*"):
            return self.arguments
        if name in ("0", "BASH_SOURCE"):
            return Word.of(self.script)
        if name == "#":
            return Word.of(str(len(self.arguments)))
        if name.isdecimal():
            missing = Word() if self.arguments else None  # whoever gives arguments gives all of them
            return self.arguments[int(name) - 1] if int(name) <= len(self.arguments) else missing
        return self.variables.get(name, self._outer_value(name))

    def _outer_value(self, name: str) -> Word | None:
        if name in self.environment:
            return Word.of(self.environment[name])
        return Word() if self.undefined_is_empty and not _OF_THE_RUN.match(name) else None

    def text(self, name: str) -> str | None:
        """Return the text of a variable that is known; None of any other."""
        value = self.value(name)
        first = value[0] if isinstance(value, tuple) and value else value
        return first.text if isinstance(first, Word) and first.is_known else None


def fill_in(raw: str, scope: Scope) -> str:
    """Return a command that only the run can start, with the script's own variables, which the run does not have."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        # In what is quoted for another program, as awk's '{print $0}', it is not the script.
        is_script = name == "BASH_SOURCE" or (name == "0" and "'" not in raw)
        own = scope.value(name) if is_script else scope.variables.get(name)
        is_plain = isinstance(own, Word) and own.is_known and re.fullmatch(r"[\w./:@%+=,-]+", own.text)
        return own.text if is_plain and isinstance(own, Word) else match[0]

    return re.sub(r"\$(?:([A-Za-z_]\w*|0)|\{([A-Za-z_]\w*|0)(?:\[0\])?\})", value, raw)
