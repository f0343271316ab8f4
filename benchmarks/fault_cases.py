"""Cases of benchmarks/faults.py: one file of a world is damaged in one way, and a few commands run over it.

A fault is a traceback, a hang, an exit code other than 0 to 3, much memory, a signal to a process, or a run that another
run's damage hides.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fault_commands import Outcome, load_modules, run_command
from fault_damage import (
    Damage,
    damage_bytes,
    damage_folder,
    damage_given,
    damage_json,
    damage_kind,
    damage_text,
)
from fault_records import damage_block, damage_cell, damage_pages, damage_spool
from fault_world import World, build_world, restore

COMMANDS_PER_CASE = 4
ALL_RUNS = (("status", "--json"), ("history", "list", "--json"))
ROLES = ("whole", "whole", "failed", "lost", "slurm", "sampled", "measured")

OF_RUNS: Sequence[tuple[str, ...]] = (
    ("status",),
    ("status", "--json"),
    ("status", "{run}"),
    ("status", "{run}", "--json"),
    ("history", "list"),
    ("history", "list", "--json"),
    ("history", "show", "{run}"),
    ("history", "show", "{run}", "--json"),
    ("history", "export", "{run}"),
    ("history", "export", "{run}", "--jsonl"),
    ("history", "import"),
    ("history", "import", "{folder}"),
    ("history", "import", "--rebuild"),
    ("history", "check"),
    ("history", "compare", "{run}", "{other}"),
    ("history", "accuracy"),
    ("history", "prune", "--keep", "0d"),
    ("history", "vacuum"),
    ("report", "{run}"),
    ("report", "{run}", "--json"),
    ("report", "{other}"),
    ("advise", "{run}"),
    ("advise", "{folder}/output"),
    ("advise", "{run}", "--json"),
    ("logs", "{run}", "-n", "20"),
    ("logs", "{run}", "--all"),
    ("cancel", "{run}"),
    ("resume", "{run}", "--dry-run"),
    ("resume", "{run}", "--max-steps", "100", "--dry-run", "--executor", "local"),
    ("estimate", "whole.toml"),
    ("estimate", "whole.toml", "--explain", "--json"),
    ("submit", "whole.toml", "--dry-run", "--executor", "local", "--force"),
    ("doctor",),
)
OF_INPUTS: Sequence[tuple[str, ...]] = (
    ("history", "add", "--csv", "measured.csv"),
    ("history", "add", "--csv", "measured.csv", "--json"),
    ("estimate", "whole.toml"),
    ("estimate", "whole.toml", "--json"),
    ("submit", "whole.toml", "--dry-run", "--executor", "local", "--force"),
    ("init", "job.sbatch"),
    ("estimate", "job.sbatch"),
    ("config", "show"),
    ("config", "show", "--json"),
    ("profiles", "show", "slurm-a100"),
    ("status",),
)
OF_LOGS: Sequence[tuple[str, ...]] = (
    ("history", "add", "{file}", "--model", "m", "--gpu", "h200", "--gpus", "8", "--batch-size", "4"),
    ("advise", "{file}"),
    ("advise", "{file}", "--json"),
)


@dataclass(frozen=True)
class Kind:
    """Damage of one kind: the files that it may be done to, in a world or in one run of it, the ways, the commands."""

    ways: Sequence[Damage]
    commands: Sequence[tuple[str, ...]]
    pattern: str = "*"
    is_of_run: bool = False
    weight: int = 1


def _of_run(*ways: Damage, pattern: str = "*", weight: int = 1) -> Kind:
    return Kind(ways, OF_RUNS, pattern, is_of_run=True, weight=weight)


def _of_input(name: str) -> Kind:
    commands = [words for words in OF_INPUTS if Path(name).name in words]
    return Kind((damage_text, damage_text, damage_text, damage_given), commands or OF_INPUTS, name)


KINDS: Mapping[str, Kind] = {
    "json": _of_run(damage_json, pattern="*.json*", weight=3),
    "bytes": _of_run(damage_bytes),
    "file": _of_run(damage_kind),
    "folder": _of_run(damage_folder),
    "spool": _of_run(damage_spool, pattern="*.spool", weight=2),
    "block": Kind((damage_block,), OF_RUNS, "history.db"),
    "cell": Kind((damage_cell,), OF_RUNS, "history.db", weight=2),
    "page": Kind((damage_pages,), OF_RUNS, "history.db"),
    "log": Kind((damage_bytes, damage_text, damage_json, damage_kind), OF_LOGS, "logs/**/*"),
    "csv": _of_input("measured.csv"),
    "job": _of_input("whole.toml"),
    "script": _of_input("job.sbatch"),
    "settings": _of_input("config/clusterplan/config.toml"),
}


@dataclass
class Tally:
    """What the cases showed: the lines of each fault by its name, and the worst command."""

    cases: Counter[str] = field(default_factory=Counter)
    commands: int = 0
    longest_s: float = 0.0
    peak_bytes: int = 0
    faults: dict[str, list[str]] = field(default_factory=dict)


class Cases:
    """Make cases in one place, and count what they show."""

    def __init__(self, scratch: Path, seed: int, report: Callable[[str], None] = print) -> None:
        self._scratch, self._seed, self._report = scratch, seed, report
        (scratch / "out").mkdir()
        load_modules()
        folder = scratch / "world"
        self._world = World(folder, build_world(folder, self._call).run_ids)
        folder.rename(scratch / "base")
        self.tally = Tally()

    def _call(self, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
        done = run_command(words, folder, environment, self._scratch / "out", limited=False)
        assert done.code == 0, done.stderr  # noqa: S101  the world is not to be damaged yet
        return done.stdout

    def run(self, number: int, kinds: Sequence[str] = tuple(KINDS)) -> list[Outcome]:
        """Run the case of this number: it is the same for the same seed and the same kinds."""
        rng = random.Random(f"{self._seed}:{number}")
        restore(self._scratch / "base", self._world.folder)
        name = rng.choice([each for each in kinds for _ in range(KINDS[each].weight)])
        kind = KINDS[name]
        role = rng.choice(ROLES) if kind.is_of_run else None
        if role and rng.random() < 1 / 2:
            self._world.history.unlink()  # so that every folder is read anew
        file = rng.choice(self._files(role, kind.pattern))
        what = rng.choice(kind.ways)(rng, file)
        commands = rng.sample(kind.commands, min(COMMANDS_PER_CASE, len(kind.commands)))
        if role:
            commands[-1:] = [rng.choice(ALL_RUNS)]
        self.tally.cases[name] += 1
        place = f"case {number} [{name}] {file.relative_to(self._world.folder)}: {what}"
        return [self._run(command, role, file, place) for command in commands]

    def _files(self, role: str | None, pattern: str) -> list[Path]:
        if role is None:
            return sorted(path for path in self._world.folder.glob(pattern) if path.is_file())
        files = self._world.files_of(role)
        return [path for path in files if path.match(pattern)] or files

    def _run(self, command: Sequence[str], role: str | None, file: Path, place: str) -> Outcome:
        run = self._world.run_ids[role or "whole"]
        names = {
            "run": run,
            "other": next(self._world.others(role or "whole")),
            "folder": str(self._world.folder / "runs" / run),
            "file": str(file),
        }
        words = [word.format(**names) for word in command]
        done = run_command(words, self._world.folder, self._world.environment, self._scratch / "out")
        self.tally.commands += 1
        self.tally.longest_s = max(self.tally.longest_s, done.seconds)
        self.tally.peak_bytes = max(self.tally.peak_bytes, done.peak_bytes)
        if fault := done.fault or self._hidden(role, command, done):
            line = f"{place} -> clusterplan {' '.join(command)}"
            if fault not in self.tally.faults:
                self._report(f"{fault}\n    {line}\n    {done.stderr[-200:]!r}")
            self.tally.faults.setdefault(fault, []).append(line)
        return done

    def _hidden(self, role: str | None, command: Sequence[str], done: Outcome) -> str | None:
        """Return why a run that is whole is not shown by a command that shows all."""
        if role is None or command not in ALL_RUNS:
            return None
        shown = [
            run for run in self._world.others(role) if command[0] == "history" or run in self._world.submitted
        ]
        missing = sorted(run.partition("-")[0] for run in shown if run not in done.stdout)
        return f"a whole run is hidden: {' '.join(command)} ends with {done.code}" if missing else None
