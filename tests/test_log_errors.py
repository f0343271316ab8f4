"""The line of a log that says why a command failed, and the rank that failed first.

The logs are short forms of public ones: their kinds, not their words.
"""

import pytest

from clusterplan.launcher.logs.errors import ErrorKind, find_log_error
from clusterplan.launcher.logs.failure import Failure, find_cause
from clusterplan.launcher.runs.explain.exit_codes import explain_exit

TRACEBACK = 'Traceback (most recent call last):\n  File "train.py", line 3, in <module>\n    main()\n'
# torch/distributed/elastic/multiprocessing/errors/__init__.py
TORCHRUN = """
E0325 20:57:27.620000 2606 torch/distributed/elastic/multiprocessing/api.py:869] failed (exitcode: {code}) local_rank: 1 (pid: 7) of binary: /usr/bin/python
Traceback (most recent call last):
  File "/usr/bin/torchrun", line 8, in <module>
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
------------------------------------------------------------
Failures:
[1]:
  time      : 2026-11-28_15:43:04
  rank      : 4 (local_rank: 0)
  exitcode  : 1 (pid: 6)
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-28_15:43:03
  host      : gpu2
  rank      : 5 (local_rank: 1)
  exitcode  : {code} (pid: 7)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
============================================================
"""


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (TRACEBACK + "my.Trouble: bad\nbye\n", "my.Trouble: bad"),
        (
            (
                f"{TRACEBACK}KeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\n"
                f"{TRACEBACK}RuntimeError: bad config\n"
            ),
            "RuntimeError: bad config",
        ),
        (
            (
                "  + Exception Group Traceback (most recent call last):\n  |   File x, line 2\n"
                "  | ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)\n"
                "  +-+---------------- 1 ----------------\n    | Traceback (most recent call last):\n    |   File x\n"
                "    | ValueError: one\n    +---------------- 2 ----------------\n"
                "    | Traceback (most recent call last):\n    |   File y\n    | TypeError: two\n"
            ),
            "ValueError: one",
        ),
        (  # rich.traceback
            (
                "╭───── Traceback (most recent call last) ─────╮\n│ t.py:3 in <module> │\n"
                "│ ❱ 3 raise ValueError('bad') │\n╰────────╯\nValueError: bad\n"
            ),
            "ValueError: bad",
        ),
        (  # loguru's logger.catch
            (
                "2026-11-28 | ERROR    | __main__:<module>:12 - An error has been caught\n"
                'Traceback (most recent call last):\n\n> File "train.py", line 12, in <module>\n    main()\n'
                "    └ <function main at 0x7f>\n\n    raise Odd('bad')\n\nOdd: bad\n"
            ),
            "Odd: bad",
        ),
        (
            (
                f"{TRACEBACK}KeyError: 'a'\nException ignored in: <function x>\n{TRACEBACK}"
                "ImportError: sys.meta_path is None, Python is likely shutting down\n"
            ),
            "KeyError: 'a'",
        ),
        ("\x1b[31mValueError: red\x1b[0m\n", "ValueError: red"),
        ("train.py: error: unrecognized arguments: --foo", "train.py: error: unrecognized arguments: --foo"),
        ("bash: foo: command not found", "bash: foo: command not found"),
        (
            "OSError: [Errno 28] No space left on device\nRuntimeError: bad",
            "OSError: [Errno 28] No space left on device",
        ),
    ],
)
def test_the_line_that_says_why(log: str, line: str) -> None:
    assert find_log_error(log).line == line


@pytest.mark.parametrize(
    "line", ["epoch 3 val error 0.20", "val error: 0.20", "val_error=0.2, acc=3", "word error rate: 3.2"]
)
def test_a_metric_called_error_is_no_error(line: str) -> None:
    assert find_log_error(f"start\n{line}\n", 3).kind is ErrorKind.LAST_LINE


@pytest.mark.parametrize("code", [134, 135, 137, 139])
def test_a_process_that_a_signal_ended_has_no_last_words(code: int) -> None:
    assert find_log_error("rank 3 start\n", code).line is None


def test_an_abort_says_what_cpp_threw() -> None:
    log = "terminate called after throwing an instance of 'std::runtime_error'\n  what():  no luck\nAborted\n"
    assert find_log_error(log, 134).line == "std::runtime_error: no luck"


def test_torchruns_root_cause_is_the_rank_and_its_own_line_is_the_reason() -> None:
    ranks = "".join(
        f"[rank{rank}]: {line}\n"
        for rank, words in ((4, "RuntimeError: late"), (5, "ValueError: early"))
        for line in (TRACEBACK + words).splitlines()
    )
    error = find_log_error(ranks + TORCHRUN.format(code=1))
    assert (error.line, error.rank, error.exit_code) == ("ValueError: early", 5, 1)


def test_torchrun_says_which_rank_was_killed() -> None:
    error = find_log_error("rank 5 start\n" + TORCHRUN.format(code=-9))
    assert (error.line, error.rank, error.exit_code) == (None, 5, 137)


def failure(rank: int, time_s: float, error: str | None, code: int = 1) -> Failure:
    return Failure(rank, rank, "gpu1", code, error, find_log_error(error or "", code).kind, time_s)


@pytest.mark.parametrize(
    ("failures", "rank"),
    [
        ([failure(0, 1, "RuntimeError: Connection reset by peer"), failure(2, 2, "ValueError: bad")], 2),
        ([failure(0, 1, "ValueError: later words"), failure(2, 0.9, "ValueError: bad")], 2),
        ([failure(0, 1, "ValueError: bad"), failure(2, 2, "OSError: [Errno 28] No space left on device")], 2),
        ([failure(0, 1, "ValueError: bad"), failure(2, 2, "torch.OutOfMemoryError: CUDA out of memory.")], 2),
        ([failure(0, 1, "NCCL error: remote process exited"), failure(2, 2, None, 139)], 2),
        ([failure(0, 1, "gloo: Connection closed by peer"), failure(2, 2, "rank two is unwell")], 2),
        ([failure(0, 1, None, 143), failure(2, 2, None, 1)], 2),
    ],
)
def test_the_cause_is_the_first_failure_that_is_no_consequence(failures: list[Failure], rank: int) -> None:
    cause = find_cause(failures)
    assert cause is not None
    assert cause.rank == rank


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (124, "exit code 124: `timeout` ended the command"),
        (126, "exit code 126: the command cannot be executed"),
        (134, "aborted (SIGABRT, exit code 134)"),
        (135, "bus error (SIGBUS, exit code 135): often /dev/shm is full"),
        (143, "terminated (SIGTERM, exit code 143)"),
        (140, "ended (SIGUSR2, exit code 140)"),
        (3, "exit code 3"),
    ],
)
def test_an_exit_code_is_put_in_words(code: int, words: str) -> None:
    assert explain_exit(code) == words
