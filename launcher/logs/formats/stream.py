"""The output of a command as it arrives, read into records: pure, and in constant memory."""

import re
from collections.abc import Iterator, Sequence

from ..lines import split_prefix
from .bars import Bars
from .epochs import EpochClock
from .frameworks.catalogue import FORMATS
from .job_length import JobLength
from .log_format import LogFormat, Source
from .read_line import read_line
from .record import LogRecord

MOST_LINE_BYTES = 1 << 14  # a dict with all metrics of GRPO has 3,000
_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
_CURSOR = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")  # a bar below another one ends with it


class StreamReader:
    """Read what a command prints, in pieces that may end anywhere.

    `formats` are tried in their order, and the first that fits a line counts, but for bars, which may share the line
    of another one.  `length` is what is known of the job beside its log.  A line that no format marks as its own costs
    a search for a few words.  At most one unfinished line is kept, of at most 16 KiB.

    >>> reader = StreamReader()
    >>> [record.step for record in reader.feed(b"iter 9: loss 2.1, time 99.1ms, mfu 3.1%\\niter 1", 0.0, 0.0)]
    [10]
    >>> [record.step for record in reader.feed(b"9: loss 2.0, time 98.7ms, mfu 3.1%\\n", 1.0, 1.0)]
    [20]
    """

    def __init__(self, formats: Sequence[LogFormat] = FORMATS, length: JobLength | None = None) -> None:
        length = length or JobLength()
        self._formats = [form for form in formats if form.marker != b"\0"]
        self._bars = Bars(length)
        self._epochs = EpochClock(length)
        self._rest = b""
        self._rest_arrival: tuple[float | None, float | None] = (None, None)
        self._ranks: dict[str, int | None] = {}  # the rank that is listened to, by format

    def feed(self, data: bytes, time_s: float | None, monotonic_s: float | None) -> list[LogRecord]:
        """Return the records of the lines that end in `data`, which arrived at these Unix and monotonic times.

        A bar counts as soon as it is whole, because its line ends only when the next one overwrites it.
        """
        arrival = (time_s, monotonic_s)
        records = list[LogRecord]()
        end = max(data.rfind(b"\n"), data.rfind(b"\r"))
        if end >= 0:
            block = self._rest + data[:end]
            marked = [form for form in self._formats if form.marker in block]
            if marked:
                first, *lines = block.replace(b"\r", b"\n").split(b"\n")
                is_older = data[:1] in (b"\n", b"\r")
                records += self._read(first, marked, self._rest_arrival if is_older else arrival)
                for line in lines:
                    if line:
                        records += self._read(line, marked, arrival)
            self._rest = b""
            data = data[end + 1 :]
        if data:
            self._rest = (self._rest + data)[:MOST_LINE_BYTES]
            self._rest_arrival = arrival
            if self._rest.rstrip().endswith((b"]", b"\x1b[A")):
                bars = [
                    form for form in self._formats if form.source is Source.BAR and form.marker in self._rest
                ]
                early = list(self._read(self._rest, bars, arrival)) if bars else []
                self._rest = b"" if early else self._rest
                records += early
        return records

    def finish(self) -> list[LogRecord]:
        """Return the record of a last line without an end."""
        return self.feed(b"\n", *self._rest_arrival) if self._rest else []

    def _read(
        self, line: bytes, formats: Sequence[LogFormat], arrival: tuple[float | None, float | None]
    ) -> Iterator[LogRecord]:
        marked = [form for form in formats if form.marker in line]
        if not marked:
            return
        parts = [line[:MOST_LINE_BYTES]]
        if b"\x1b" in line:
            parts = _CURSOR.split(_COLOUR.sub(b"", parts[0]))
        for part in parts:
            words, rank = split_prefix(part.decode(errors="replace"))
            yield from self._read_words(words, rank, marked, arrival)

    def _read_words(
        self,
        words: str,
        rank: int | None,
        formats: Sequence[LogFormat],
        arrival: tuple[float | None, float | None],
    ) -> Iterator[LogRecord]:
        origin = {"arrival_s": arrival[0], "monotonic_s": arrival[1], "rank": rank}
        is_line_read = False
        for form in formats:
            if form.is_bar:
                record = self._bars.read_line(form, words, **origin)
            elif is_line_read:
                continue
            else:
                record = read_line(form, words, **origin)
                is_line_read = record is not None
            if record is None or self._ranks.setdefault(form.name, record.rank) != record.rank:
                continue
            yield self._epochs.with_step(record, words)
