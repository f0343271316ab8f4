"""One command in a process of its own, forked from one that has the modules, under limits of time and memory."""

import faulthandler
import os
import pkgutil
import re
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from pathlib import Path

import clusterplan
from clusterplan.cli import main

LIMIT_S = 5  # of computing: a machine that others use does not count
WAITED_S = 60
LIMIT_BYTES = 500 << 20
KILLED_S = 120
_PAGE = resource.getpagesize()
_FRAME = re.compile(r'File "([^"]*)", line (\d+)(?:,)? in (\S+)')
EXIT_CODES = (0, 1, 2, 3)
LARGEST_FILE_BYTES = 200 << 20
MOST_CHARACTERS = 10_000_000
_SIGNAL = "SIGNAL "


@dataclass(frozen=True)
class Outcome:
    """How a command ended: `fault` is what must not be, in one line, or None."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    peak_bytes: int
    fault: str | None


def load_modules() -> None:
    """Load what any command loads, once for all of them."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for module in pkgutil.walk_packages(clusterplan.__path__, "clusterplan."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):  # of an extra that is not installed
                import_module(module.name)
    with suppress(SystemExit):
        sys.stdout = StringIO()
        main(["estimate", "--samples", "1000", "--batch-size", "32", "--gpus", "8", "--step-time", "1"])
    sys.stdout = sys.__stdout__


def run_command(
    words: Sequence[str], cwd: Path, environment: Mapping[str, str], scratch: Path, *, limited: bool = True
) -> Outcome:
    """Run `clusterplan WORDS`; what it prints goes through files in `scratch`.

    Without limits it may signal processes, and may start some that have none either.
    """
    out, err = scratch / "stdout", scratch / "stderr"
    began_s = time.monotonic()
    if (pid := os.fork()) == 0:
        _become_command(words, cwd, environment, (out, err), limited=limited)
    watch = threading.Timer(KILLED_S, os.kill, (pid, signal.SIGKILL))
    watch.start()
    _, status, usage = os.wait4(pid, 0)
    watch.cancel()
    seconds = time.monotonic() - began_s
    code = os.waitstatus_to_exitcode(status)
    stdout, stderr = (path.read_text(encoding="utf-8", errors="replace") for path in (out, err))
    peak_bytes = usage.ru_maxrss * 1024
    return Outcome(code, stdout, stderr, seconds, peak_bytes, _fault(code, stdout, stderr, peak_bytes))


def _fault(code: int, stdout: str, stderr: str, peak_bytes: int) -> str | None:
    if "Timeout (" in stderr or code == -signal.SIGPROF:
        return f"hang, {'waits' if code >= 0 else 'computes'}: {_place(stderr, newest_first=True)}"
    if "Traceback (most recent call last)" in stderr or "Exception ignored in" in stderr:
        last = next((line for line in reversed(stderr.splitlines()) if line and line[0] != " "), "")
        return f"{last.partition(':')[0]}: {_place(stderr)} | {last[:150]}"
    limits = {
        f"sends a signal: {stderr.partition(_SIGNAL)[2][:40]}": _SIGNAL in stderr,
        f"exit code {code}: {stderr[-200:]!r}": code not in EXIT_CODES,
        f"memory: {peak_bytes >> 20} MiB": peak_bytes > LIMIT_BYTES,
        f"prints {len(stdout):,} characters": len(stdout) > MOST_CHARACTERS,
    }
    return next((words for words, is_over in limits.items() if is_over), None)


def _place(stderr: str, *, newest_first: bool = False) -> str:
    """The innermost place of ours in a traceback."""
    frames = [
        (f, line, name)
        for f, line, name in _FRAME.findall(stderr)
        if "/clusterplan/" in f or "estimator/" in f or "launcher/" in f
    ]
    if not frames:
        frames = _FRAME.findall(stderr)
    if not frames:
        return "?"
    file, line, name = frames[0 if newest_first else -1]
    return f"{'/'.join(Path(file).parts[-3:])}:{line} {name}"


def _become_command(
    words: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    output: tuple[Path, Path],
    *,
    limited: bool,
) -> None:
    code = 1
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        files = [os.open(path, flags, 0o600) for path in output]
        for source, target in zip((null, *files), range(3), strict=True):
            os.dup2(source, target)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
        sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w", encoding="utf-8")
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace")
        sys.argv = ["clusterplan", *words]
        if limited:
            _limit()
        main(list(words))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:  # noqa: BLE001  as an interpreter ends
        traceback.print_exc()
    with suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001  as an interpreter ends
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _limit() -> None:
    """Limit this process: its computing, its waiting, its memory, the files that it writes; and let no signal out."""
    _refuse_signals()
    now_bytes = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * _PAGE
    resource.setrlimit(resource.RLIMIT_AS, (now_bytes + LIMIT_BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE_BYTES, resource.RLIM_INFINITY))
    faulthandler.register(signal.SIGPROF, chain=True)  # says where it is, and ends
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    faulthandler.dump_traceback_later(WAITED_S, exit=True)


def _refuse_signals() -> None:
    """Let no signal out: a process id in a damaged file may be anybody's."""

    def kill(pid: int, number: int) -> None:
        if number:
            sys.stderr.write(f"{_SIGNAL}{number} to {pid}\n")
        raise ProcessLookupError

    os.kill = kill
    os.killpg = kill
