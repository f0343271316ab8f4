"""What a format may need beside the arguments."""

from dataclasses import dataclass, field

from ..files import Files


@dataclass(frozen=True)
class Surroundings:
    """The program, the files that its arguments name, the GPUs if they are known.

    `on_line` is whether more arguments can be added on the command line; `config` is the name of the config file that
    some come from, "" without one.  `place` is where the launch line stands, and `launcher` what starts the program.
    """

    program: str = ""
    files: Files = field(default_factory=Files)
    gpus: int | None = None
    on_line: bool = True
    config: str = ""
    place: str = ""
    launcher: str = ""
