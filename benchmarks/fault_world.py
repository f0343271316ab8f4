"""The world that benchmarks/faults.py damages: runs of each kind, their history, settings, and files to enter."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fault_world_files import (
    add_framework_files,
    add_seldom_files,
    add_spool,
    forget_end,
    pretend_slurm,
    write_inputs,
)

from clusterplan.launcher.run_folder.folder import register_run

CLUSTERPLAN = str(Path(sys.executable).with_name("clusterplan"))
READY_S = 60


@dataclass(frozen=True)
class World:
    """A folder with everything in it; `run_ids` are the runs by the role that they play."""

    folder: Path
    run_ids: Mapping[str, str]

    @property
    def history(self) -> Path:
        return self.folder / "history.db"

    @property
    def submitted(self) -> set[str]:
        """The runs that `status` shows."""
        return {run for role, run in self.run_ids.items() if role not in ("sampled", "measured")}

    @property
    def environment(self) -> dict[str, str]:
        return world_environment(self.folder)

    def run_folder(self, role: str) -> Path:
        return self.folder / "runs" / self.run_ids[role]

    def files_of(self, role: str) -> list[Path]:
        """Every file of a run, in an order that does not hang on what is random in names."""
        files = (path for path in self.run_folder(role).rglob("*") if path.is_file())
        return sorted(files, key=lambda path: (path.parent.name, path.suffix, path.stat().st_size, path.name))

    def others(self, role: str | None) -> Iterator[str]:
        return (run for name, run in self.run_ids.items() if name != role)


def world_environment(folder: Path) -> dict[str, str]:
    """A user who has nothing but this folder, and no Slurm."""
    return {
        "PATH": f"{folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}",
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_CONFIG_DIRS": str(folder / "site"),
        "CLUSTERPLAN_HISTORY": str(folder / "history.db"),
        "CLUSTERPLAN_RUNS": str(folder / "runs"),
        "CLUSTERPLAN_LOCKS": str(folder),
        "OPENBLAS_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",
    }


def call_program(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Run the program in a process; return what it prints."""
    done = subprocess.run(
        [CLUSTERPLAN, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"clusterplan {' '.join(words)}: {done.stderr}")
    return done.stdout


def build_world(
    folder: Path, run: Callable[[Sequence[str], Path, Mapping[str, str]], str] = call_program
) -> World:
    """Run trainings through clusterplan: one that completes, that fails, that is sampled, that is lost, that is on Slurm."""
    (folder / "bin").mkdir(parents=True)
    for name in ("env", "sh", "git", "true"):
        if program := shutil.which(name):
            (folder / "bin" / name).symlink_to(program)
    environment = world_environment(folder)

    def call(*words: str) -> str:
        return run(words, folder, environment)

    write_inputs(folder)
    ids = {
        role: json.loads(call("submit", "--executor", "local", "--force", "--json", f"{role}.toml"))["run"]
        for role in ("whole", "failed")
    }
    world = World(folder, ids)
    for role in ids:
        _wait_for(world.run_folder(role) / "status.json")
    ids |= {role: _copy_run(world.run_folder("whole"), role, world.history) for role in ("lost", "slurm")}
    call("sample", "--name", "sampled", "--", "true")
    call("history", "add", "--csv", "measured.csv")
    others = [path.name for path in (folder / "runs").iterdir() if path.name not in ids.values()]
    ids |= {name.partition("-")[0]: name for name in sorted(others)}
    for role in ("whole", "failed", "lost", "slurm", "sampled"):
        add_spool(world.run_folder(role), role)
    add_framework_files(world.run_folder("whole") / "output")
    for role in ("whole", "slurm"):
        add_seldom_files(world.run_folder(role), world.run_ids[role])
    forget_end(world.run_folder("lost"))
    pretend_slurm(world.run_folder("slurm"))
    call("history", "import")
    return world


def _wait_for(path: Path) -> None:
    end_s = time.monotonic() + READY_S
    while not path.exists():
        if time.monotonic() > end_s:
            sys.exit(f"{path}: the run did not end in {READY_S} s")
        time.sleep(0.1)


def _copy_run(folder: Path, role: str, history: Path) -> str:
    """Make another run of the same files."""
    copy = folder.with_name(folder.name.replace("whole", role))
    shutil.copytree(folder, copy)
    facts = json.loads((copy / "run.json").read_text()) | {"run": copy.name, "name": role}
    (copy / "run.json").write_text(json.dumps(facts))
    register_run(copy, history)
    return copy.name


def restore(base: Path, folder: Path) -> None:
    """Put a copy of the world that is at `base` at `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        sys.exit(f"{folder}: cannot be removed: {sorted(folder.iterdir())}")
    shutil.copytree(base, folder, symlinks=True)
