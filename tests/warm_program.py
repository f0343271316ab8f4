"""The program `clusterplan` in processes that have its modules loaded: a fork of one that waits, as a user's has its own.

The tests run the program more than a thousand times, and most of its time is to load Python and our modules.
A call for which these must be loaded anew (another interpreter's environment, standard input ...) runs the real program,
and so do all calls where there is no /proc or coverage is counted.
"""

import ctypes
import gc
import grp
import json
import os
import pkgutil
import pwd
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

from warm_children import COMMAND_LINE_BYTES, end_process, fork_our_own

Process = subprocess.CompletedProcess[str]

PROGRAM = Path(sys.executable).with_name("clusterplan")
_BEFORE_START = (
    "PYTHON",
    "LD_",
    "LC_",
    "LANG",
    "COV",
    "OPENBLAS_",
)  # what Python and libraries read at their start
_AS_USER = {"user", "group", "extra_groups"}
_PLAIN = {"cwd", "env", "umask", *_AS_USER}
_PR_SET_DUMPABLE = 4
_AtStart = tuple[tuple[str, str], ...]


class WarmProgram:
    """Start the processes that wait: one per environment that Python and libraries read at their start.

    `program` is what a user runs, and `python` its interpreter.
    """

    def __init__(self, python: str = sys.executable, program: Sequence[object] = (PROGRAM,)) -> None:
        self._python, self._program = python, program
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory()
        self._servers = dict[_AtStart, subprocess.Popen[bytes] | None]()

    def run(self, args: Sequence[object], **more: Any) -> Process:
        """Run `clusterplan ARGS`, its output captured; `more` as of subprocess.run."""
        words = [str(word) for word in args]
        environment = more.get("env") or dict(os.environ)
        address = self._address(environment) if _PLAIN.issuperset(more) and _CAN_BE_WARM else None
        if address is None:
            captured = {"capture_output": True, "text": True, **more}
            return subprocess.run([*map(str, self._program), *words], check=False, **captured)
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            socket.socket(socket.AF_UNIX) as ask,
        ):
            ask.connect(address)
            start = {
                "cwd": str(more.get("cwd") or Path.cwd()),
                "umask": more.get("umask", _umask()),
                **{name: more[name] for name in _AS_USER & more.keys()},
            }
            request = json.dumps([words, dict(environment), start])
            socket.send_fds(ask, [f"{len(request):8}".encode()], [out.fileno(), err.fileno()])
            ask.sendall(request.encode())
            code = int(ask.makefile().read())
            out.seek(0), err.seek(0)
            return Process([str(PROGRAM), *words], code, _text(out.read()), _text(err.read()))

    def close(self) -> None:
        for server in filter(None, self._servers.values()):
            server.stdin.close()
            server.stdout.close()
            server.wait()
        self._folder.cleanup()

    def _address(self, environment: Mapping[str, str]) -> str | None:
        """The socket of the process for this environment; None at its first call, which may be its only one."""
        at_start = tuple(sorted((k, v) for k, v in environment.items() if k.startswith(_BEFORE_START)))
        with self._lock:
            if at_start not in self._servers:
                self._servers[at_start] = None
                return None
            address = f"{self._folder.name}/{list(self._servers).index(at_start)}"
            if self._servers[at_start] is None:
                self._servers[at_start] = self._start(address, at_start)
        return address

    def _start(self, address: str, at_start: _AtStart) -> subprocess.Popen[bytes]:
        nobody = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME"), self._folder.name)
        server = subprocess.Popen(
            [self._python, __file__, address, "." * COMMAND_LINE_BYTES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], **dict(at_start), **nobody},
        )
        assert server.stdout.readline() == b"ready\n"
        return server


_CAN_BE_WARM = "coverage" not in sys.modules and Path("/proc/self/status").exists()


def _umask() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("Umask")).split()[1], 8)


def _text(output: bytes) -> str:
    return output.decode().replace("\r\n", "\n").replace("\r", "\n")  # as subprocess does


def _serve(address: str) -> None:
    import clusterplan  # noqa: PLC0415  the server's alone

    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for module in pkgutil.walk_packages(clusterplan.__path__, "clusterplan."):
        if not module.name.endswith("__main__"):
            with suppress(ModuleNotFoundError):  # of an extra that is not installed
                import_module(module.name)
    import_module("submitit.local.local")
    _run_once()
    del os.environ["OPENBLAS_NUM_THREADS"]
    fork_our_own(_BEFORE_START)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        threading.Thread(target=_end_with_parent, daemon=True).start()
        os.write(1, b"ready\n")
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _answer(connection)
            connection.close()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _run_once() -> None:
    """Let a first command build what a process builds at first use: models, and the table of GPUs."""
    from clusterplan.cli import main  # noqa: PLC0415  the server's alone

    with redirect_stdout(StringIO()), suppress(SystemExit):
        main("estimate --samples 1000 --batch-size 32 --gpus 8 --step-time 1".split())


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _answer(connection: socket.socket) -> None:
    """Run one call in a child of this child, which tells its exit code."""
    head, output, *_ = socket.recv_fds(connection, 8, 2)
    with connection.makefile("rb") as stream:
        words, environment, start = json.loads(stream.read(int(head)))
    if (pid := os.fork()) == 0:
        connection.close()
        _become_program(words, environment, start, output)
    _, status = os.waitpid(pid, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become_user(user: str, group: str, groups: list[int]) -> None:
    os.setgroups(groups)
    os.setgid(grp.getgrnam(group).gr_gid)
    os.setuid(pwd.getpwnam(user).pw_uid)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1)  # as after exec: /proc shows the process as the user's


def _become_program(
    words: list[str], environment: dict[str, str], start: Mapping[str, Any], output: list[int]
) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in zip((null, *output), (0, 1, 2), strict=True):
        os.dup2(source, target)
        os.close(source)
    code = 1
    try:
        os.umask(start["umask"])
        if "user" in start:
            _become_user(start["user"], start["group"], start["extra_groups"])
        os.chdir(start["cwd"])
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
        sys.argv = [str(PROGRAM), *words]
        from clusterplan.cli import main  # noqa: PLC0415  the server's alone

        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:  # noqa: BLE001  as an interpreter ends
        traceback.print_exc()
    end_process(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
