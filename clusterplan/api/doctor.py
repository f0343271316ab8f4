"""Is this installation fit: Python, torch, Slurm, the runs' folder, clocks, NVML, the history, the profile."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..cluster_profiles.catalog import load_profile
from ..cluster_profiles.configuration import Configuration, find_group, read_configuration
from ..cluster_profiles.modes import group_name, user_name
from ..cluster_profiles.units import format_significant, plural
from ..errors import ClusterplanError, NvmlUnavailable, SlurmUnavailable
from ..launcher.run_folder.folder import file_exists, history_path, runs_root
from ..launcher.run_folder.owners.own_files import OPEN_REMEDY, find_open_folders
from ..launcher.sampler import nvml
from ..launcher.slurm import client as slurm
from ..launcher.slurm import discovery
from ..launcher.slurm.cluster import Cluster
from ..launcher.slurm.cluster_reader import read_cluster
from ..render.doctor import Finding, findings_as_dict, write_findings
from ..render.layout import Page
from .result import Result

_SKEW_S = 2.0
_ROOM_BYTES = 1 << 30
_TIMEOUT_S = 20.0
# File systems of one machine: other nodes do not see what lies there.
_OWN_DISK = {"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"}
_TORCH = "import importlib.metadata as m; print(m.version('torch'))"


@dataclass(frozen=True, repr=False)
class Checkup(Result):
    """What was checked, and what to do about each fault."""

    findings: tuple[Finding, ...]

    @property
    def is_fit(self) -> bool:
        """Return whether no finding is a fault."""
        return all(finding.state != "fault" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan doctor --json`; docs/reference/json.md describes the keys."""
        return findings_as_dict(self.findings)

    def write(self, page: Page) -> None:
        """Write one row per finding, and below it what to do."""
        write_findings(page, self.findings)


def check_installation() -> Checkup:
    """Check what a run needs here: nothing is changed but for a temporary file in the folder of the runs.

    Examples:
        >>> check_installation().findings[0].name
        'python'
    """
    return Checkup(tuple(_findings()))


def _findings() -> Iterator[Finding]:
    yield _python()
    yield _torch()
    try:
        settings = read_configuration(os.environ)
        yield Finding("settings", "ok", "`clusterplan config show` lists them")
    except ClusterplanError as error:
        yield Finding("settings", "fault", str(error), "correct the file; until then no command runs")
        return
    cluster, finding = _slurm()
    yield finding
    if cluster:
        yield _requeue(cluster)
    yield from _runs(on_slurm=cluster is not None)
    yield _gpus(on_slurm=cluster is not None)
    yield _history()
    yield from _profile(settings, cluster)


def _python() -> Finding:
    from .. import __version__  # noqa: PLC0415  the package itself, which imports this module lazily

    return Finding(
        "python", "ok", f"clusterplan {__version__} in Python {platform.python_version()}, {sys.executable}"
    )


def _torch() -> Finding:
    python = shutil.which("python") or shutil.which("python3")
    if python is None:
        return Finding("torch", "note", "no python is on PATH", "give a command with the path of its Python")
    try:
        answer = subprocess.run(  # noqa: S603  the interpreter that a command would start
            [python, "-c", _TORCH], capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("torch", "note", f"{python}: does not answer: {error}")
    if answer.returncode:
        return Finding(
            "torch", "note", f"{python} has no torch", "activate the environment of your training first"
        )
    return Finding("torch", "ok", f"{answer.stdout.strip()} of {python}")


def _slurm() -> tuple[Cluster | None, Finding]:
    if not slurm.is_available():
        advice = "run on a machine of the cluster to submit to Slurm"
        return None, Finding("slurm", "note", "sbatch is not found: runs start on this machine", advice)
    began_s = time.monotonic()
    try:
        cluster = read_cluster()
    except SlurmUnavailable as error:
        return None, Finding(
            "slurm", "fault", str(error), "ask your administrators; `scontrol ping` says who answers"
        )
    seconds = format_significant(time.monotonic() - began_s, 2)
    gpus = plural(sum(count for node in cluster.nodes for _, count in node.gpus), "GPU")
    text = f"cluster {cluster.settings.cluster}, {plural(len(cluster.nodes), 'node')}, {gpus}; answered in {seconds} s"
    return cluster, Finding("slurm", "ok", text)


def _requeue(cluster: Cluster) -> Finding:
    if cluster.settings.requeue:
        return Finding("requeue", "ok", "Slurm may requeue a job at its limit and after a preemption")
    return Finding(
        "requeue",
        "note",
        "Slurm requeues no job here (JobRequeue=0)",
        "none needed: each restart is a new job",
    )


def _runs(*, on_slurm: bool) -> Iterator[Finding]:
    root = runs_root(os.environ)
    nearest = next(folder for folder in (root, *root.parents) if file_exists(folder))
    try:
        with tempfile.NamedTemporaryFile(dir=nearest) as file:
            file.write(b"\0" * 4096)
            file.flush()
            skew_s = os.fstat(file.fileno()).st_mtime - time.time()
    except OSError as error:
        advice = "set CLUSTERPLAN_RUNS, or `runs` in the settings, to a folder that you may write"
        yield Finding("runs", "fault", f"{nearest}: cannot be written: {error.strerror}", advice)
        return
    free_bytes = shutil.disk_usage(nearest).free
    kind = _file_system(nearest)
    text = f"{root} on {kind or 'an unknown file system'}, {free_bytes / (1 << 30):,.1f} GiB free"
    if free_bytes < _ROOM_BYTES:
        yield Finding(
            "runs", "fault", text, "make room: checkpoints go there unless your command writes elsewhere"
        )
    elif on_slurm and kind in _OWN_DISK:
        advice = "set CLUSTERPLAN_RUNS, or `runs` in the settings, to a folder that every node sees"
        yield Finding("runs", "note", f"{text}: other nodes may not see it", advice)
    else:
        yield Finding("runs", "ok", text)
    for folder in islice(find_open_folders(root), 1):
        yield Finding("runs", "note", str(folder), OPEN_REMEDY)
    if abs(skew_s) > _SKEW_S:
        advice = "ask your administrators about NTP: ages and ends of runs are wrong by that much"
        yield Finding("clock", "fault", f"the disk's clock is {skew_s:+.0f} s from this machine's", advice)
    else:
        yield Finding("clock", "ok", "this machine and its disk agree")


def _file_system(folder: Path) -> str | None:
    """Return the type of the file system that holds `folder`, as the kernel calls it."""
    best, kind, place = "", None, str(folder.resolve())
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in mounts:
        _, mount, name, *_ = line.split()
        mount = mount.replace("\\040", " ")
        inside = place == mount or place.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, name
    return kind


def _gpus(*, on_slurm: bool) -> Finding:
    try:
        with nvml.open_library() as library:
            devices, failures = library.devices()
            driver = library.driver_version()
    except NvmlUnavailable as error:
        text = f"no GPU here: {error}"
        if on_slurm:
            return Finding("gpus", "ok", f"{text}; nodes are asked when a run starts there")
        return Finding("gpus", "note", text, "runs on this machine train on the CPU")
    if failures:
        return Finding(
            "gpus", "fault", "; ".join(failure.text for failure in failures), "`nvidia-smi` says more"
        )
    names = ", ".join(sorted({device.identity.name or "unknown" for device in devices}))
    return Finding("gpus", "ok", f"{plural(len(devices), 'GPU')} ({names}), driver {driver}")


def _history() -> Finding:
    from .history.history import History  # noqa: PLC0415  SQLite, after what is quicker to check

    path = history_path(os.environ)
    if not file_exists(path):
        return Finding("history", "ok", f"{path}: made with the first run")
    try:
        with History() as history:
            runs = len(history.runs())
            with history.writing():
                pass
    except ClusterplanError as error:
        return Finding("history", "fault", str(error), "`clusterplan history check` says what can be saved")
    group = find_group(path)
    whose = f"of {user_name()} alone" if group is None else f"of group {group_name(group)}"
    return Finding("history", "ok", f"{path}: {plural(runs, 'run')}, {whose}")


def _profile(settings: Configuration, cluster: Cluster | None) -> Iterator[Finding]:
    name = settings.text("profile")
    if name is None:
        advice = "`clusterplan profiles discover --name NAME` writes one; `profile` in the settings makes it the default"
        yield Finding("profile", "note", "no default: estimates know no limits of your cluster", advice)
        return
    try:
        profile = load_profile(name)
        differences = discovery.differences(profile, cluster) if cluster else []
    except ClusterplanError as error:
        yield Finding("profile", "fault", str(error), "correct `profile` in the settings")
        return
    if differences:
        more = f" and {len(differences) - 1} more" if len(differences) > 1 else ""
        advice = f"`clusterplan profiles check {name}` lists every difference"
        yield Finding("profile", "fault", f"{name}: {differences[0]}{more}", advice)
        return
    yield Finding("profile", "ok", f"{name}{' agrees with the cluster' if cluster else ''}")
