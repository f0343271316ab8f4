"""The processes that a warm program starts of our own modules: forks of it, so that they too have these loaded.

A run on this machine is a chain of five interpreters, and most of their time is to load Python and our modules.
In such a fork, everything that `exec` gives a process is set anew: signals, files, environment, command line, standard
streams.  Where that cannot be said for certain, the real interpreter starts.  Runs on Slurm always begin with it.
"""

import _posixsubprocess
import atexit
import ctypes
import gc
import io
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pynvml

_OURS = ("clusterplan.", "submitit.")
_OPTIONS = (["-P"], ["-u"])
COMMAND_LINE_BYTES = 16384  # of the first process: its forks write theirs there
_streams = list[Any]()  # of the process before: what they still hold is that one's to write


def fork_our_own(before_start: tuple[str, ...]) -> None:
    """Let `subprocess` fork where it would start our modules; variables that begin as `before_start` need a new interpreter."""
    real = _posixsubprocess.fork_exec
    at_start = _chosen(os.environ, before_start)
    if sys.version_info >= (3, 14):  # it passes them in another order
        return

    def fork_exec(args: Sequence[Any], executables: Any, close_fds: bool, keep: Any, *rest: Any) -> int:
        cwd, env, *files, _restore, session, group, gid, gids, uid, umask, preexec, _vfork = rest
        words = [os.fsdecode(word) for word in args]
        environment = (
            dict(os.environ) if env is None else dict(os.fsdecode(pair).split("=", 1) for pair in env)
        )
        module = _module(words, environment)
        is_plain = close_fds and len(keep) == 1 and group == -1 and (gid, gids, uid) == (None,) * 3
        if (
            module is None
            or not is_plain
            or threading.active_count() > 1
            or (
                pynvml.nvmlLib is not None and "FAKE_NVML" not in os.environ
            )  # a real driver may not outlive a fork
            or pynvml._nvmlLib_refcount > 0  # the scenario of its GPUs is read
            or _chosen(environment, before_start) != at_start
            or not (cwd is None or Path(os.fsdecode(cwd)).is_dir())
            or len(os.fsencode("\0".join(words))) >= COMMAND_LINE_BYTES
        ):
            return real(args, executables, close_fds, keep, *rest)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            if pid := os.fork():
                return pid
            _forget_handlers()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        _become(words, module, cwd, environment, (files[0], files[3], files[5]), session, umask, preexec)

    subprocess._fork_exec = fork_exec  # type: ignore[attr-defined]


def _chosen(environment: Mapping[str, str], before_start: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(before_start)}


def _module(words: list[str], environment: dict[str, str]) -> int | None:
    """Where in `[env -u NAME NAME=VALUE] python -P -u -m MODULE ...` the module stands, if it is ours; `env` has its effect."""
    rest = iter(words)
    word = next(rest)
    if word == "env":
        word = next(rest, "")
        while word == "-u" or "=" in word:
            if word == "-u":
                environment.pop(next(rest), None)
            else:
                name, _, value = word.partition("=")
                environment[name] = value
            word = next(rest, "")
    if word != sys.executable:
        return None
    start = len(words) - len(list(rest))
    while words[start : start + 1] in _OPTIONS:
        start += 1
    is_ours = words[start : start + 1] == ["-m"] and words[start + 1].startswith(_OURS)
    return start + 1 if is_ours else None


def _forget_handlers() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGINT}:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _become(
    words: list[str],
    module: int,
    cwd: Any,
    environment: dict[str, str],
    files: Sequence[int],
    session: bool,
    umask: int,
    preexec: Any,
) -> NoReturn:
    code = 1
    try:
        gc.freeze()  # what the process before left to be collected may close files, whose numbers are others' now
        atexit._clear()
        for source, target in zip(files, (0, 1, 2), strict=True):
            if source != -1:
                os.dup2(source, target)
        if cwd is not None:
            os.chdir(cwd)
        if umask >= 0:
            os.umask(umask)
        if session:
            os.setsid()
        if preexec:
            preexec()
        for number in {int(file.name) for file in Path("/proc/self/fd").iterdir()} - {0, 1, 2}:
            with suppress(OSError):  # the folder's own, which is closed by now
                os.close(number)
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
        _write_command_line(words)
        _open_streams(unbuffered="-u" in words[:module])
        sys.argv = words[module:]
        sys.modules.pop(words[module], None)
        runpy.run_module(words[module], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001  as an interpreter ends
        traceback.print_exc()
    end_process(code)


def _write_command_line(words: list[str]) -> None:
    """Write what others read of this process in /proc."""
    fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    line = b"".join(os.fsencode(word) + b"\0" for word in words)
    ctypes.memmove(start, line.ljust(end - start, b"\0"), end - start)


def _open_streams(*, unbuffered: bool) -> None:
    _streams.extend((sys.stdin, sys.stdout, sys.stderr))
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    for name, number in (("stdout", 1), ("stderr", 2)):
        raw = open(number, "wb", buffering=0, closefd=False)  # noqa: SIM115
        writer: Any = raw if unbuffered else io.BufferedWriter(raw)
        errors = "strict" if number == 1 else "backslashreplace"
        stream = io.TextIOWrapper(
            writer, "utf-8", errors, write_through=unbuffered, line_buffering=number == 2
        )
        setattr(sys, name, stream)


def end_process(code: int) -> NoReturn:
    """End as an interpreter does: wait for threads, run what was registered for the end, write what is left."""
    with suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
