"""A real Slurm on this machine: five nodes of eight fake GPUs, in a folder and on ports of its own.

A keeper process is the parent of every daemon and adopts what they leave behind; when its standard input
ends, all of it dies.  So a test run that is killed leaves nothing, and no other Slurm is ever touched.

By hand: `make slurm-up`, `make slurm-down`.
"""

import argparse
import ctypes
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from string import Template
from typing import TypeVar

T = TypeVar("T")
TEMPLATES = Path(__file__).parent / "slurm"
NODES = ("gpu1", "gpu2", "gpu3", "gpu4", "gpu5")
GPUS_PER_NODE = 8
BY_HAND = Path(tempfile.gettempdir()) / "clusterplan-test-slurm"
_DEBIAN_KEEPS_DAEMONS_IN = "/usr/sbin"
_NVIDIA_MAJOR = 195
_UP_S, _DOWN_S = 60, 30
_SET_CHILD_SUBREAPER = 36  # prctl(2)
_NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none"
_ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$accounting_port
AccountingStoragePass=$folder/munge.sock"""


class Cluster:
    """The running cluster; `keeper` starts again the daemons that a test has ended."""

    def __init__(self, folder: Path, keeper: "subprocess.Popen[str] | None" = None) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self._keeper = keeper

    def ask(self, *command: str) -> str:
        """What one of Slurm's commands prints on this cluster."""
        done = subprocess.run(
            command, env=_environment(self.folder), capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def sbatch(self, *options: str, command: str) -> str:
        """The id of a job that runs `command` in a shell."""
        where = f"--output={self.folder}/%j.log"
        return self.ask("sbatch", "--parsable", where, *options, f"--wrap={command}").strip()

    def state(self, job_id: str) -> str:
        """The state squeue gives for one job; empty when it is forgotten."""
        with suppress(RuntimeError):
            return self.ask("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job_id}").strip()
        return ""

    def log(self, job_id: str) -> str:
        """What a job printed so far."""
        path = self.folder / f"{job_id}.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def wait_for(self, job_id: str, *states: str, within_s: float = 180) -> str:
        """Wait until the job is in one of `states`, and give that one."""
        return until(
            lambda: state if (state := self.state(job_id)) in states else "", f"{job_id} {states}", within_s
        )

    def end(self, daemon: str, number: int = signal.SIGTERM) -> None:
        """End one daemon (slurmctld, or a node's by its name); what it has started lives on."""
        pid = self._pid(daemon)
        os.kill(pid, number)
        until(lambda: not Path(f"/proc/{pid}").exists(), f"the end of {daemon}")

    def start(self, daemon: str) -> None:
        """Start a daemon again that has ended."""
        self._keeper.stdin.write(f"{daemon}\n")
        self._keeper.stdin.flush()

    @contextmanager
    def without(self, daemon: str = "slurmctld", number: int = signal.SIGTERM) -> Iterator[None]:
        """One daemon is down while the block runs, then starts again."""
        self.end(daemon, number)
        try:
            yield
        finally:
            self.start(daemon)
            self._wait_until_up()

    @contextmanager
    def hung(self) -> Iterator[None]:
        """The controller takes connections but does not answer while the block runs."""
        pid = self._pid("slurmctld")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _pid(self, daemon: str) -> int:
        return int((self.folder / f"{daemon}.pid").read_text(encoding="ascii"))

    def _wait_until_up(self) -> None:
        def up() -> bool:
            with suppress(RuntimeError):
                states = self.ask("sinfo", "--noheader", "--Node", "--format=%N %T").split("\n")
                ready = {
                    line.split()[0] for line in states if line.endswith((" idle", " mixed", " allocated"))
                }
                return ready == set(NODES)
            return False

        try:
            until(up, "all nodes", _UP_S)
        except TimeoutError:
            log = (self.folder / "keeper.log").read_text(encoding="utf-8")
            raise RuntimeError(f"the Slurm in {self.folder} does not come up:\n{log}") from None


def until(condition: Callable[..., T], what: str, within_s: float = 180) -> T:
    """Call `condition` ten times per second; return its first true value."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise TimeoutError(f"waited {within_s:g} s in vain for {what}")


def missing(*, accounting: bool = False) -> str | None:
    """Why no Slurm, with accounting or without, can be started here, or None."""
    needed = dict.fromkeys(("munged", "slurmctld", "slurmd", "srun"), "slurm-wlm munge")
    if accounting:
        needed |= dict.fromkeys(("slurmdbd", "mariadbd"), "slurmdbd mariadb-server-core")
    for program, packages in needed.items():
        if not shutil.which(program, path=_path()):
            return f"{program} is not installed (Debian: apt-get install {packages})"
    if os.geteuid() != 0:
        return "only root may make the device files of the fake GPUs"
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.mknod(f"{folder}/gpu", stat.S_IFCHR | 0o666, os.makedev(_NVIDIA_MAJOR, 0))
        except OSError as error:
            return f"device files cannot be made here: {error.strerror}"
    return None


@contextmanager
def running(folder: Path, *, accounting: bool = False) -> Iterator[Cluster]:
    """A cluster in `folder`, until the block or this process ends, however it ends."""
    _write(folder, accounting=accounting)
    keeper = _keeper(folder, subprocess.PIPE)
    try:
        cluster = Cluster(folder, keeper)
        cluster._wait_until_up()
        yield cluster
    finally:
        keeper.stdin.close()
        keeper.wait(_DOWN_S)


def up(folder: Path) -> None:
    """Start a cluster that stays until `down`."""
    reason = missing()
    if reason:
        sys.exit(reason)
    if folder.exists():
        down(folder)
    folder.mkdir(mode=0o755)
    _write(folder)
    os.mkfifo(folder / "control", 0o600)
    # Open for writing too: no end of file comes, only a line that says stop.
    _keeper(folder, os.open(folder / "control", os.O_RDWR))
    Cluster(folder)._wait_until_up()
    sys.stdout.write(
        f"export SLURM_CONF={folder}/slurm.conf\n"
        "# Paste that line, and sinfo, sbatch and clusterplan use the test Slurm; `make slurm-down` ends it.\n"
    )


def down(folder: Path) -> None:
    """End a cluster that `up` started, and remove its folder."""
    control = folder / "control"
    with suppress(OSError):  # nobody reads it: it is down
        writer = os.open(control, os.O_WRONLY | os.O_NONBLOCK)
        os.write(writer, b"stop\n")
        os.close(writer)
        until(lambda: not control.exists(), f"the end of the Slurm in {folder}", _DOWN_S)
    shutil.rmtree(folder, ignore_errors=True)


def keep(folder: Path) -> None:
    """Be the parent of the daemons until standard input ends or says stop, then kill all that came of them."""
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    ended = threading.Event()

    def end(*_: object) -> None:
        ended.set()
        _kill_children()

    def obey() -> None:
        for line in sys.stdin:
            if line == "stop\n":
                break
            _start(line.strip(), folder)
        end()

    database = ("mariadbd", "slurmdbd") if (folder / "slurmdbd.conf").exists() else ()
    for name in ("munged", *database, "slurmctld", *NODES):
        _start(name, folder)
    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=obey, daemon=True).start()
    with suppress(ChildProcessError):
        while True:
            os.wait()  # whoever outlives its parent is our child now
            if ended.is_set():
                _kill_children()
    (folder / "control").unlink(missing_ok=True)


def _kill_children() -> None:
    for children in Path("/proc/self/task").glob("*/children"):  # each thread has its own
        with suppress(OSError):  # that thread has ended, and its children are another's
            pids = children.read_text(encoding="ascii").split()
            for pid in map(int, pids):
                os.kill(pid, signal.SIGKILL)  # a zombie at least: only we wait for it


def _keeper(folder: Path, control: int) -> "subprocess.Popen[str]":
    with (folder / "keeper.log").open("w", encoding="utf-8") as log:
        return subprocess.Popen(
            [sys.executable, __file__, "keep", folder],
            stdin=control,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the tests, which then end it in order
            text=True,
        )


def _start(name: str, folder: Path) -> None:
    conf = folder / "slurm.conf"
    if name == "munged":
        files = {
            "key-file": "munge.key",
            "socket": "munge.sock",
            "pid-file": "munged.pid",
            "log-file": "munged.log",
        }
        options = [
            f"--{option}={folder / file}" for option, file in (files | {"seed-file": "munge.seed"}).items()
        ]
        command = ["munged", "--foreground", "--force", *options]
    elif name == "mariadbd":
        # An empty folder is enough: nobody but the folder's owner can reach the socket.
        options = ["--no-defaults", "--skip-networking", "--skip-grant-tables", "--user=root"]
        command = ["mariadbd", *options, f"--datadir={folder}/database", f"--socket={folder}/database.sock"]
    elif name == "slurmdbd":
        command = ["slurmdbd", "-D"]
    elif name == "slurmctld":
        command = ["slurmctld", "-D", "-f", str(conf)]
    else:
        command = ["slurmd", "-D", "-f", str(conf), "-N", name]
    subprocess.Popen(command, env=_environment(folder), stdin=subprocess.DEVNULL)
    if name in ("munged", "mariadbd"):
        socket_ = folder / {"munged": "munge.sock", "mariadbd": "database.sock"}[name]
        until(socket_.exists, name, _UP_S)
    if name == "slurmdbd":
        # The controller does not start without its cluster in there.
        until(lambda: _added(folder), name, _UP_S)


def _added(folder: Path) -> bool:
    command = ["sacctmgr", "--immediate", "add", "cluster", "test"]
    done = subprocess.run(command, env=_environment(folder), capture_output=True, check=False, timeout=_UP_S)
    return done.returncode == 0


def _write(folder: Path, *, accounting: bool = False) -> None:
    for name in ("dev", "state", *(["database"] if accounting else []), *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir(exist_ok=True)
    for index in range(GPUS_PER_NODE):
        # Plain files give no CUDA_VISIBLE_DEVICES.
        os.mknod(folder / f"dev/nvidia{index}", stat.S_IFCHR | 0o666, os.makedev(_NVIDIA_MAJOR, index))
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    (folder / "jobcomp").touch()
    host = socket.gethostname().partition(".")[0]
    ports = dict(
        zip(
            ("controller_port", "accounting_port", *(f"{node}_port" for node in NODES)),
            _free_ports(2 + len(NODES)),
            strict=True,
        )
    )
    known = {"folder": folder, "host": host, **ports}
    known["accounting"] = Template(_ACCOUNTING if accounting else _NO_ACCOUNTING).substitute(known)
    for name in ("slurm.conf", "gres.conf", *(["slurmdbd.conf"] if accounting else [])):
        text = Template((TEMPLATES / name).read_text(encoding="utf-8"))
        (folder / name).touch(mode=0o600)  # slurmdbd insists
        (folder / name).write_text(text.substitute(known), encoding="utf-8")


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below those the kernel gives to clients and those of the jobs' rendezvous."""
    free = []
    for port in random.sample(range(10_000, 20_000), 1000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            free.append(port)
        if len(free) == count:
            return free
    raise RuntimeError("no free ports between 10000 and 20000")


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:{_DEBIAN_KEEPS_DAEMONS_IN}"


def _environment(folder: Path) -> dict[str, str]:
    outside = {
        name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))
    }
    database = {"MYSQL_UNIX_PORT": f"{folder}/database.sock"}
    return outside | database | {"PATH": _path(), "SLURM_CONF": f"{folder}/slurm.conf", "LC_ALL": "C"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The test Slurm, by hand.")
    parser.add_argument("action", choices=["up", "down", "keep"])
    parser.add_argument("folder", type=Path, nargs="?", default=BY_HAND)
    given = parser.parse_args()
    {"up": up, "down": down, "keep": keep}[given.action](given.folder)
