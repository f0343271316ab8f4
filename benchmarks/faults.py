"""Whether anything that one run, one neighbour or one clock does reaches anything else.

    python benchmarks/faults.py [--cases 1000] [--runs 60] [--seed 1] [--kinds json,spool]
                                [--only commands,kills,flips,clocks,secrets,silence]

Commands run over damaged files (benchmarks/fault_cases.py), each with at most 5 s of computing and 500 MiB more than at
its start, 4 per case; writers, importers and rebuilds are killed (benchmarks/fault_kills.py); bits of a spool's header
are flipped (benchmarks/fault_flips.py); clocks are stepped while runs are sampled (benchmarks/fault_clocks.py); runs
are submitted with secrets (benchmarks/fault_secrets.py); and Slurm's controller does not answer
(benchmarks/fault_silence.py).  Exit code 1 if there is a fault.  A case is the same for the same seed: `--case N` runs
that one, and shows its last command.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from fault_cases import KINDS, Cases
from fault_clocks import LENGTHS_S, run_clocks
from fault_flips import flip_headers
from fault_kills import run_kills
from fault_silence import MOST_S, time_in_silence

MOST_SHOWN = 20
MEMORY_DISK = Path("/dev/shm")  # noqa: S108  only its folder of this run is used


def try_commands(scratch: Path, given: argparse.Namespace) -> bool:
    """Run the cases; print what they showed, and return whether there was no fault."""
    cases = Cases(scratch, given.seed, lambda text: print(text, flush=True))
    end_s = time.monotonic() + given.seconds
    for number in range(given.cases) if given.case is None else [given.case]:
        outcomes = cases.run(number, given.kinds)
        if time.monotonic() > end_s:
            break
    if given.case is not None:
        print(outcomes[-1].stdout[-3000:], outcomes[-1].stderr[-5000:], sep="\n")
    tally = cases.tally
    print(
        f"{tally.commands:,} commands over {sum(tally.cases.values()):,} damaged worlds: {len(tally.faults)} distinct faults"
    )
    print(f"longest {tally.longest_s:.1f} s, most memory {tally.peak_bytes / 2**20:,.0f} MiB")
    print(", ".join(f"{kind} {count:,}" for kind, count in tally.cases.most_common()))
    for fault, lines in sorted(tally.faults.items(), key=lambda item: -len(item[1])):
        print(f"{len(lines):6,} {fault}\n       {lines[0]}")
    return not tally.faults


def try_kills(scratch: Path, given: argparse.Namespace) -> bool:
    """Kill writers, importers and rebuilds; print what was lost, and return whether nothing was."""
    tally = run_kills(scratch, given.runs, random.Random(given.seed))
    for line in tally.lines():
        print(line)
    return tally.is_whole


def try_flips(scratch: Path, given: argparse.Namespace) -> bool:
    """Flip bits of a spool's header; print what that costs, and return whether it cost no reading."""
    tally = flip_headers(scratch, random.Random(given.seed))
    print(
        f"{tally.flips} flips in the header of a spool: {tally.lost} cost a reading, {tally.without_gpu} the name of a GPU"
    )
    return not tally.lost


def try_clocks(scratch: Path, given: argparse.Namespace) -> bool:
    """Step clocks; print what that costs, and return whether no row is lost and no length is wrong."""
    tally = run_clocks(scratch, random.Random(given.seed), given.lengths)
    if tally is None:
        print("clocks were not tried: there is no C compiler")
        return True
    print(f"{tally.runs} runs under clocks that step: {tally.lost} of {tally.rows:,} rows lost")
    print(
        f"{tally.lengths} lengths: {len(tally.wrong)} wrong, {tally.unknown} unknown",
        *tally.wrong,
        sep="\n  ",
    )
    return not (tally.lost or tally.wrong)


def try_secrets(scratch: Path, given: argparse.Namespace) -> bool:  # noqa: ARG001  as the others
    """Submit runs with secrets; print what was kept and what was hidden for nothing, and return whether nothing was."""
    from fault_secrets import run_secrets  # noqa: PLC0415  pytest

    tally = run_secrets(scratch)
    print(f"{tally.secrets:,} secrets: {len(tally.kept)} kept", *tally.kept[:MOST_SHOWN], sep="\n  ")
    print(
        f"{tally.harmless:,} harmless words: {len(tally.hidden)} hidden",
        *tally.hidden[:MOST_SHOWN],
        sep="\n  ",
    )
    ratio = tally.diff_s / tally.floor_s
    print(
        f"a diff of 1 MB takes {tally.diff_s:.2f} s, {ratio:.0f} times as long as one expression on each of its lines"
    )
    return not (tally.kept or tally.hidden)


def try_silence(scratch: Path, given: argparse.Namespace) -> bool:  # noqa: ARG001  as the others
    """Time commands while Slurm's controller is down; print it, and return whether all are fast."""
    took = time_in_silence(scratch)
    for words, (seconds, least_s) in took.items():
        print(
            f"{words} takes {seconds:.1f} s while the controller is down, and {least_s:.1f} s without Slurm"
        )
    return all(seconds < MOST_S for words, (seconds, _) in took.items() if words.startswith("status"))


PARTS = {
    "commands": try_commands,
    "kills": try_kills,
    "flips": try_flips,
    "clocks": try_clocks,
    "secrets": try_secrets,
    "silence": try_silence,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1000, help="damaged worlds")
    parser.add_argument("--runs", type=int, default=60, help="runs whose writers are killed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list(PARTS), metavar=",".join(PARTS)
    )
    parser.add_argument(
        "--kinds", type=lambda text: text.split(","), default=list(KINDS), metavar=",".join(KINDS)
    )
    parser.add_argument(
        "--lengths",
        type=lambda text: [float(word) for word in text.split(",")],
        default=LENGTHS_S,
        metavar="S,S",
        help="seconds of runs under clocks that step",
    )
    parser.add_argument("--case", type=int, help="only this case, and what its last command printed")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no case after that")
    given = parser.parse_args()
    print(f"seed {given.seed}")
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None) as scratch:
        for part in given.only:
            (Path(scratch) / part).mkdir()
        is_whole = [PARTS[part](Path(scratch) / part, given) for part in given.only]
    sys.exit(not all(is_whole))


if __name__ == "__main__":
    main()
