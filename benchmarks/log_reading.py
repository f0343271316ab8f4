"""Time the reading of a log as it arrives: in microseconds per line, and as a ratio to a plain loop over the lines.

    python benchmarks/log_reading.py [--lines 200000] [--rounds 5]

Each log arrives in pieces of 64 KiB.  `no format` is what libraries print; the others are lines of one framework, all
of which are read.  The last lines say what the reader keeps in memory, and the time of a log of 1 GB.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

from clusterplan.launcher.logs.formats.stream import StreamReader

LOGS = Path(__file__).parents[1] / "tests" / "logs"
PIECE_BYTES = 1 << 16
NOISE = (
    b"2026-08-22 10:00:00,123 - datasets - INFO - Loading cached processed dataset at /data/cache/00001.arrow\n"
    b"/opt/lib/python3.11/site-packages/torch/utils/checkpoint.py:295: FutureWarning: use_reentrant is deprecated\n"
    b"NCCL INFO Channel 00/0 : 0[1000] -> 1[2000] via P2P/IPC/read\n"
    b"(layers): ModuleList((0-31): 32 x LlamaDecoderLayer((self_attn): LlamaAttention()))\n"
)


def pieces(data: bytes) -> Iterator[bytes]:
    """Yield a log as it arrives."""
    for at in range(0, len(data), PIECE_BYTES):
        yield data[at : at + PIECE_BYTES]


def plain_s(data: bytes) -> float:
    """Return the seconds of a loop that splits a log into its lines, and does nothing."""
    begin, rest = time.process_time(), b""
    for piece in pieces(data):
        *lines, rest = (rest + piece).split(b"\n")
        for _ in lines:
            pass
    return time.process_time() - begin


def reading_s(data: bytes) -> float:
    """Return the seconds in which a log is read into records."""
    reader, begin = StreamReader(), time.process_time()
    for piece in pieces(data):
        reader.feed(piece, 0.0, 0.0)
    return time.process_time() - begin


def kept_bytes(data: bytes) -> int:
    """Return the most memory that reading takes beside the piece that arrives."""
    reader = StreamReader()
    reader.feed(next(pieces(data)), 0.0, 0.0)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for piece in pieces(data):
        reader.feed(piece, 0.0, 0.0)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return after - before


def repeated(text: bytes, lines: int) -> bytes:
    """Return a log of about so many lines."""
    return text * (lines // max(text.count(b"\n") + text.count(b"\r"), 1) + 1)


def least_s(once: Callable[[bytes], float], data: bytes, rounds: int) -> float:
    """Return the least of several rounds: others may use the machine too."""
    return min(once(data) for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print("log                     us per line  times a plain loop")
    for name in (
        "",
        "hf-trainer-4.log",
        "megatron-rampup.log",
        "nemo.log",
        "torchtitan.log",
        "ms-swift.jsonl",
    ):
        share = 1 if not name else 10  # a tenth of the lines is enough of those that are read
        data = repeated((LOGS / name).read_bytes() if name else NOISE, arguments.lines // share)
        read_s, bare_s = (least_s(once, data, arguments.rounds) for once in (reading_s, plain_s))
        lines = data.count(b"\n") + data.count(b"\r")
        print(f"{name or 'no format':24}{read_s / lines * 1e6:11.2f}  {read_s / bare_s:18.1f}")
    noise = repeated(NOISE, arguments.lines)
    gigabyte_s = least_s(reading_s, noise, arguments.rounds) / len(noise) * 1e9
    print(
        f"\n1 GB of lines of no format takes {gigabyte_s:.1f} s; the reader keeps {kept_bytes(noise):,} bytes"
    )


if __name__ == "__main__":
    main()
