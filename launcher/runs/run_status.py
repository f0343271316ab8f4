"""A run as `clusterplan status` shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...cluster_profiles.local_time import format_utc
from ...cluster_profiles.units import format_duration
from ...estimator.measurements.clock_steps import length_s
from ..run_folder.checkpoints import Checkpoint
from ..run_folder.progress.progress import Progress
from ..run_folder.records.run_facts import RunFacts
from .explain.remedy import EndedFacts, Remedy, find_remedy
from .explain.restarts import Restart
from .run_files import RunFault
from .state import RunState


@dataclass(frozen=True)
class RunStatus:
    """A run as `clusterplan status` shows it; None is not known.

    `preemptions` are those of its restarts that Slurm called preemptions; `sweep` has the values that set this run
    apart from the others of its sweep.  `began_s` is its first start, `nodes` are those of its last one, `starts` its
    restarts, and `waited_between_s` is the time between an attempt's end and the next start.  `facts` are the values of
    run.json, and `memory_option` asks Slurm for more memory.  `has_saved` is whether any attempt had a checkpoint;
    `checkpoint` is looked for if the run is the only one asked for.  `slurm_silence` says that Slurm did not answer, of
    a run that only Slurm knows.  `faults` are those of files in its folder, and `clocks_ahead_s` are the seconds by
    which clocks of its nodes are ahead of the folder's.  Times are in Unix seconds.
    """

    run: str
    folder: Path
    state: RunState
    job: str | None
    restarts: int
    progress: Progress | None
    preemptions: int = 0
    sweep: Mapping[str, str] = field(default_factory=dict)
    began_s: float | None = None
    nodes: tuple[str, ...] = ()
    starts: tuple[Restart, ...] = ()
    waited_between_s: float = 0.0
    facts: RunFacts = field(default_factory=RunFacts)
    memory_option: str = ""
    checkpoint: Checkpoint | None = None
    has_saved: bool = False
    looked_s: float = 0.0
    continued_by: str | None = None
    slurm_silence: str = ""
    clocks_ahead_s: Mapping[str, float] = field(default_factory=dict)
    faults: tuple[RunFault, ...] = ()

    @property
    def user(self) -> str:
        """Return the name of the user who submitted it; empty for a run of an earlier clusterplan."""
        return str(self.facts.get("user") or "")

    @property
    def elapsed_s(self) -> float | None:
        """Return the seconds from its first start to its end, or until now; None before it began, and where clocks contradict each other."""
        return length_s(self.began_s, self.state.known_at if self.state.final else self.looked_s)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return why what is said of a run that goes on may not be so."""
        texts = list[str]()
        if self.slurm_silence:
            texts.append(f"{self.slurm_silence}; what follows is as of each run's last sign of life")
        if self.state.final:
            return tuple(texts)
        for node, ahead_s in self.clocks_ahead_s.items():
            off = f"{format_duration(abs(ahead_s))} {'ahead of' if ahead_s > 0 else 'behind'}"
            texts.append(
                f"{node}: its clock is {off} the one that all times are by, that of the run's folder"
            )
        if self.began_s is not None and self.elapsed_s is None:
            began = format_utc(self.began_s)
            texts.append(f"{self.run}: it began {began}, which clocks contradict: for how long is not known")
        return tuple(texts)

    @property
    def remedy(self) -> Remedy | None:
        """Return what to do about a run that has ended otherwise than it should, and that no other run goes on from."""
        if self.continued_by:
            return None
        facts = EndedFacts(
            run=self.facts,
            has_checkpoint=self.has_saved or self.checkpoint is not None,
            has_begun=self.began_s is not None,
            step=self.checkpoint.step if self.checkpoint else None,
            progress=self.progress,
            nodes=self.nodes,
            memory_option=self.memory_option,
        )
        return find_remedy(self.run, self.state, facts)
