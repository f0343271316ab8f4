"""Scripts of the frameworks as people have them, through `clusterplan submit`, on a real Slurm, without GPUs.

`make frameworks` runs this, in a virtual environment of its own.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from slurm_cluster import Cluster, until

pytest.importorskip("torch", reason="torch is not installed; `make frameworks` has it")
pytest.importorskip("transformers")
pytest.importorskip("lightning")

pytestmark = pytest.mark.usefixtures("slurm")
SCRIPTS = Path(__file__).parent / "scripts"
OVER = {"completed", "failed", "out_of_memory", "timed_out", "cancelled", "node_failure", "lost"}


class Run:
    """A submitted run, asked about as a user would."""

    def __init__(self, clusterplan: Any, submitted: Any) -> None:
        self._clusterplan = clusterplan
        self.name, self.job, self.folder = (submitted[key] for key in ("run", "job_id", "folder"))

    @property
    def output(self) -> Path:
        return Path(self.folder) / "output"

    def status(self) -> Any:
        done = self._clusterplan("status", self.name, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["runs"][0]

    def printed(self) -> Any:
        return self._clusterplan("logs", self.name).stdout

    def completed(self) -> Any:
        """Wait for its end, which must be a good one; gives what it printed."""
        until(
            lambda: (state := self.status()["state"]) in OVER and state,
            f"the end of {self.name}",
            within_s=240,
        )
        assert self.status()["state"] == "completed", f"{self.status()}\n{self.printed()}"
        return self.printed()


@pytest.fixture
def submit(clusterplan: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Submit a script; what is left out of the job file follows from the script."""
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(tmp_path / "history.db"))
    monkeypatch.setenv("CLUSTERPLAN_RUNS", str(tmp_path / "runs"))

    def submit(
        script: Any,
        *arguments: Any,
        gpus: int = 2,
        nodes: int = 1,
        framework: Any = None,
        precision: str = "fp32",
        resume: Any = (),
        options: Any = (),
    ) -> Run:
        job = tmp_path / "job.toml"
        stated = f'framework = "{framework}"\n' if framework else ""
        job.write_text(
            f'name = "{Path(script).stem}"\n'
            "[data]\nsamples = 512\n"
            f'[training]\nbatch_size = 4\ngpus = {gpus}\nprecision = "{precision}"\n{stated}'
            f"[cluster]\nnodes = {nodes}\n"
            f"[run]\ncommand = {json.dumps([sys.executable, str(SCRIPTS / script), *arguments])}\n"
            f"resume = {json.dumps(list(resume))}\n",
            encoding="utf-8",
        )
        done = clusterplan("submit", job, "--json", "--time", "10m", *options)
        assert done.returncode == 0, done.stderr
        return Run(clusterplan, json.loads(done.stdout))

    return submit


def test_torch_trains_on_two_nodes_by_torchrun(submit: Callable[..., Run]) -> None:
    # Nodes that are all this machine see its /tmp, which is not what the check takes it for.
    run = submit("torch_ddp.py", "{output}", gpus=4, nodes=2, options=["--force"])
    run.completed()
    result = json.loads((run.output / "result.json").read_text(encoding="utf-8"))
    assert (result["world"], result["alike"]) == (4, True)
    assert result["loss"] < 0.1


def test_trainer_trains_in_the_precision_asked_for(submit: Callable[..., Run]) -> None:
    run = submit(
        "hf_trainer.py",
        "--output_dir",
        "{output}",
        "--use_cpu",
        "--max_steps",
        "20",
        framework="hf",
        precision="bf16",
    )
    assert "bf16 True, world 2, steps 20" in run.completed()


def test_trainer_goes_on_from_its_checkpoint_when_it_is_requeued(
    submit: Callable[..., Run], slurm: Cluster
) -> None:
    steps = 1_000
    run = submit(
        *("hf_trainer.py", "--output_dir", "{output}", "--use_cpu", "--max_steps", str(steps)),
        *("--save_steps", "50", "--save_total_limit", "2"),
        framework="hf",
        resume=["--resume_from_checkpoint", "{latest}"],
    )
    until(lambda: list(run.output.glob("checkpoint-*/trainer_state.json")), "a checkpoint", within_s=120)
    slurm.ask("scontrol", "requeue", run.job)
    assert f"world 2, steps {steps}" in run.completed()
    assert run.status()["attempts"] == 2


def test_trainer_saves_as_it_is_stopped(submit: Callable[..., Run], slurm: Cluster) -> None:
    """One rank: several have a timer each, may stop at different steps, and then leave no whole checkpoint."""
    steps = 2_000
    run = submit(
        *("hf_trainer.py", "--output_dir", "{output}", "--use_cpu", "--max_steps", str(steps)),
        *("--save_strategy", "no", "--logging_steps", "10"),
        framework="hf",
        gpus=1,
        resume=["--resume_from_checkpoint", "{latest}"],
    )
    until(lambda: "'loss'" in run.printed(), "steps", within_s=120)
    slurm.ask("scancel", "--signal=USR2", run.job)
    assert f"world 1, steps {steps}" in run.completed()
    first, second = (
        json.loads((Path(run.folder) / "tasks" / f"{run.job}.{start}.0.json").read_text(encoding="utf-8"))
        for start in (0, 1)
    )
    assert 0 < first["saved_step"] == second["resume_step"] < steps


def test_lightning_gets_a_task_a_gpu_and_its_precision(submit: Callable[..., Run]) -> None:
    run = submit("lightning_fit.py", "{output}", framework="lightning", precision="bf16")
    assert "precision bf16-mixed, world 2, steps 50, on SLURMEnvironment" in run.completed()
