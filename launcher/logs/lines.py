"""The lines of a log without what launchers put in front of them: pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# [rank3]: of torch, [1,3]<stderr>: of mpirun --tag-output, 3: of srun --label, (RayTrainWorker pid=7) of Ray,
# [default0]: and [trainer0]: of torchrun --tee, gpu1: of pdsh.  The spaces after one are those of a traceback's frames.
_RANK_PREFIX = re.compile(r"(?:\[rank(\d+)\]:|\[1,(\d+)\](?:<std\w+>)?:?|(\d+):) ?(?!\d)")
_PREFIX = re.compile(
    r"(?:\[(?:default|trainer)\d+\]:|\(\w+ pid=\d+[^)]*\)|(?=[A-Za-z-]*\d)[A-Za-z][\w-]*:(?= )) ?"
)
_GROUP_BARS = re.compile(r" *[|+](?:-\+)? ")  # Python draws them in front of the parts of an ExceptionGroup
_BOX = re.compile(r"[─-╿│❱└├]")


@dataclass(frozen=True)
class LogLine:
    """One line: its words, the rank that a launcher wrote in front, and whether it is a part of an ExceptionGroup."""

    words: str
    rank: int | None
    in_group: bool

    @property
    def is_frame(self) -> bool:
        """Return whether the line may belong to a traceback's frames: it is indented, or drawn in a box."""
        return self.words[:1].isspace() or bool(_BOX.match(self.words))


def split_prefix(line: str) -> tuple[str, int | None]:
    """Return a line without what launchers put in front of it, and the rank that one of them wrote there.

    >>> split_prefix("gpu1: [rank3]: step 7")
    ('step 7', 3)
    """
    rank = None
    while match := _RANK_PREFIX.match(line) or _PREFIX.match(line):
        line = line[match.end() :]
        if match.re is _RANK_PREFIX:
            rank = int(next(group for group in match.groups() if group))
    return line, rank


def read_lines(text: str) -> Iterator[LogLine]:
    """Yield the lines that hold words, without colours and prefixes.

    >>> [(line.rank, line.words) for line in read_lines("[rank3]: ValueError: no\\ngpu1: 2: step 7\\n")]
    [(3, 'ValueError: no'), (2, 'step 7')]
    """
    for raw in text.splitlines():
        words, rank = split_prefix(_ESCAPES.sub("", raw).rstrip())
        in_group = False
        while bars := _GROUP_BARS.match(words):
            words, in_group = words[bars.end() :], True
        if words.strip():
            yield LogLine(words, rank, in_group)
