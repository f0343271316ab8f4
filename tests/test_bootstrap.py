"""Bootstrap: what each task of a job runs, with which ranks."""

from typing import Any

import pytest

from clusterplan.errors import InputError
from clusterplan.estimator.job.framework import Bootstrap, Framework
from clusterplan.launcher.command.launchers import (
    choose_bootstrap,
    master_port,
    own_variables,
    reaches_other_nodes,
    task_command,
    task_environment,
    tasks_per_node,
)
from clusterplan.launcher.command.processes.program import with_arguments
from clusterplan.launcher.command.task import Task

HOSTILE = (
    "a b",
    "it's",
    'say "x"',
    "$(touch x)",
    "; rm -rf /",
    "two\nlines",
    "Schrödinger-猫",
    "",
    "--nnodes=9",
    "*",
)


def task(rank: int = 0, nodes: int = 2, per_node: int = 1, job: str = "17", cpus: int = 32) -> Task:
    return Task(
        job=job,
        rank=rank,
        ranks=nodes * per_node,
        local_rank=rank % per_node,
        local_ranks=per_node,
        node_rank=rank // per_node,
        nodes=nodes,
        first_host="gpu1",
        cpus=cpus,
    )


def command_of(bootstrap: Any, command: Any, gpus: int = 4, **place: Any) -> Any:
    return task_command(bootstrap, command, task(**place), gpus)


def environment_of(bootstrap: Any, given: Any, gpus: int = 4, **place: Any) -> Any:
    return task_environment(bootstrap, task(**place), gpus, given)


def torchrun(*command: str, **shape: Any) -> str:
    """The command of a task under torchrun, its rendezvous written R."""
    made = command_of(Bootstrap.TORCHRUN, command, **shape)
    start = next(i for i, word in enumerate(made) if word.startswith("--nnodes="))
    return " ".join((*made[:start], "R", *made[start + 5 :]))


@pytest.mark.parametrize(
    ("command", "framework", "gpus", "expected"),
    [
        ("python train.py", None, 1, "single"),
        ("python train.py", None, 2, "torchrun"),
        ("/opt/env/bin/python3.12 -m pkg.train", Framework.HF, 16, "torchrun"),
        ("env A=1 python train.py", Framework.DEEPSPEED, 8, "torchrun"),
        ("uv run --no-sync python train.py", None, 8, "torchrun"),
        ("uv run --with accelerate python train.py", None, 8, "torchrun"),
        ("./train.py --lr 1", None, 8, "torchrun"),
        ("python train.py", Framework.LIGHTNING, 8, "per-gpu"),
        ("my-lightning-cli fit", Framework.LIGHTNING, 8, "per-gpu"),
        ("python train.py", Framework.LIGHTNING, 1, "single"),
        ("torchrun train.py", Framework.LIGHTNING, 8, "single"),
        ("python -m torch.distributed.run train.py", None, 8, "single"),
        ("python -u -m accelerate.commands.launch train.py", None, 8, "single"),
        ("env A=1 accelerate launch train.py", None, 8, "single"),
        ("mpirun -np 8 python train.py", None, 8, "single"),
        ("bash train.sh", None, 8, "single"),
        ("python train.py -m torch.distributed.run", None, 8, "torchrun"),
    ],
)
def test_the_default_follows_the_command(
    command: str, framework: Framework | None, gpus: int, expected: str
) -> None:
    assert choose_bootstrap(tuple(command.split()), framework, gpus) == expected


@pytest.mark.parametrize("asked", Bootstrap)
def test_what_is_asked_for_is_done(asked: Bootstrap) -> None:
    assert choose_bootstrap(("python", "train.py"), Framework.LIGHTNING, 8, asked) is asked


@pytest.mark.parametrize("asked", [Bootstrap.TORCHRUN, Bootstrap.PER_GPU])
def test_a_launcher_is_not_started_by_another(asked: Bootstrap) -> None:
    with pytest.raises(
        InputError, match="would start accelerate, which starts the processes itself: set single"
    ):
        choose_bootstrap(("accelerate", "launch", "train.py"), None, 8, asked)


def test_only_one_task_per_gpu_takes_more_than_a_task_a_node() -> None:
    assert [tasks_per_node(bootstrap, 8) for bootstrap in Bootstrap] == [1, 8, 1]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("mpirun -np 16 ./train", True),
        ("/opt/slurm/bin/srun ./train", True),
        ("env A=1 deepspeed train.py", True),
        ("python -m deepspeed.launcher.runner train.py", True),
        ("torchrun --nnodes 2 train.py", False),
        ("accelerate launch train.py", False),
        ("python train.py", False),
    ],
)
def test_launchers_that_reach_the_other_nodes_are_known(command: str, expected: bool) -> None:
    assert reaches_other_nodes(tuple(command.split())) is expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python train.py a b", "python -m torch.distributed.run R train.py a b"),
        ("/env/bin/python3 -u train.py", "/env/bin/python3 -m torch.distributed.run R train.py"),
        ("python -m pkg.train -u", "python -m torch.distributed.run R --module pkg.train -u"),
        ("python -u -m pkg.train", "python -m torch.distributed.run R --module pkg.train"),
        ("python -O -W error x.py", "python -m torch.distributed.run R --no_python python -O -W error x.py"),
        ("python -c pass", "python -m torch.distributed.run R --no_python python -c pass"),
        ("env A=1 python x.py", "env A=1 python -m torch.distributed.run R x.py"),
        ("my-train fit", "torchrun R --no_python my-train fit"),
        ("/env/bin/my-train fit", "/env/bin/torchrun R --no_python /env/bin/my-train fit"),
        ("./tools/train.py", "torchrun R --no_python ./tools/train.py"),
    ],
)
def test_torchrun_starts_any_program(command: str, expected: str) -> None:
    assert torchrun(*command.split()) == expected


def test_every_node_meets_at_the_first() -> None:
    made = command_of(Bootstrap.TORCHRUN, ("python", "t.py"), rank=1, nodes=2, gpus=4)
    expected = ["--nnodes=2", "--nproc_per_node=4", "--node_rank=1", "--master_addr=gpu1"]
    assert list(made[3:7]) == expected


@pytest.mark.parametrize("bootstrap", [Bootstrap.PER_GPU, Bootstrap.SINGLE])
def test_without_torchrun_the_command_is_as_it_was(bootstrap: Bootstrap) -> None:
    command = ("python", "-u", "train.py", *HOSTILE)
    assert command_of(bootstrap, command) == command


@pytest.mark.parametrize(
    "before", [("python", "t.py"), ("python", "-m", "t"), ("my-train",), ("python", "-X", "dev", "t.py")]
)
def test_hostile_arguments_stay_one_element_each(before: tuple[Any, ...]) -> None:
    made = command_of(Bootstrap.TORCHRUN, (*before, *HOSTILE))
    assert made[-len(HOSTILE) :] == HOSTILE


def test_python_without_a_program_is_refused() -> None:
    with pytest.raises(
        InputError, match="'python -u' names no program for Python to run: add a script, or -m MODULE"
    ):
        command_of(Bootstrap.TORCHRUN, ("python", "-u"))


def test_one_task_per_gpu_gets_its_ranks() -> None:
    added = environment_of(Bootstrap.PER_GPU, {}, rank=6, nodes=2, gpus=4, per_node=4)
    ranks = {
        name: added[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK")
    }
    expected = {"RANK": "6", "WORLD_SIZE": "8", "LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "4", "NODE_RANK": "1"}
    assert ranks == expected


@pytest.mark.parametrize("bootstrap", [Bootstrap.TORCHRUN, Bootstrap.SINGLE])
def test_where_others_give_the_ranks_none_is_given(bootstrap: Bootstrap) -> None:
    added = {"MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS", "PYTHONUNBUFFERED"}
    assert set(environment_of(bootstrap, {}, nodes=1, gpus=1)) == added


@pytest.mark.parametrize("bootstrap", Bootstrap)
def test_gpus_are_never_remapped(bootstrap: Bootstrap) -> None:
    assert "CUDA_VISIBLE_DEVICES" not in environment_of(bootstrap, {"CUDA_VISIBLE_DEVICES": "3,4"})


@pytest.mark.parametrize(
    ("bootstrap", "cpus", "gpus", "threads"),
    [
        ("torchrun", 32, 4, "8"),
        ("per-gpu", 8, 4, "8"),
        ("single", 6, 1, "6"),
        ("torchrun", 3, 8, "1"),
        ("single", 4, 0, "4"),
    ],
)
def test_threads_share_the_cpus_of_the_task(bootstrap: str, cpus: int, gpus: int, threads: str) -> None:
    assert environment_of(Bootstrap(bootstrap), {}, cpus=cpus, gpus=gpus)["OMP_NUM_THREADS"] == threads


@pytest.mark.parametrize(("name", "value"), [("OMP_NUM_THREADS", "2"), ("PYTHONUNBUFFERED", "")])
def test_what_is_given_stays(name: str, value: str) -> None:
    assert name not in environment_of(Bootstrap.TORCHRUN, {name: value})


def test_every_rank_of_a_job_meets_at_one_port() -> None:
    ports = {environment_of(b, {}, rank=r)["MASTER_PORT"] for b in Bootstrap for r in (0, 1)}
    assert ports == {str(master_port("17"))}


def test_jobs_near_each_other_meet_at_different_ports() -> None:
    """Those that may share a node: the elements of an array, and jobs submitted one after the other."""
    jobs = [str(n) for n in range(4700, 4716)] + [f"4711_{i}" for i in range(16)]
    assert len({master_port(job) for job in jobs}) == len(jobs)


def test_ports_stay_below_those_of_outgoing_connections() -> None:
    assert all(20_000 <= master_port(str(job)) < 32_768 for job in range(2_000))


def test_a_program_that_starts_its_processes_itself_is_told_where_it_is() -> None:
    """As LLaMA-Factory (launcher.py) and ms-swift (cli/main.py) read them."""
    added = environment_of(Bootstrap.SINGLE, {}, rank=1, nodes=2, gpus=4)
    told = {name: added[name] for name in ("NNODES", "NODE_RANK", "NPROC_PER_NODE")}
    assert told == {"NNODES": "2", "NODE_RANK": "1", "NPROC_PER_NODE": "4"}
    assert "FORCE_TORCHRUN" not in added
    assert environment_of(Bootstrap.SINGLE, {}, nodes=2, gpus=1)["FORCE_TORCHRUN"] == "1"


def test_own_variables_stand_in_place_of_ours() -> None:
    """As accelerate#1489 asks for the port, and pytorch#73656 for the address."""
    own = {"MASTER_ADDR": "gpu1i", "MASTER_PORT": "29501", "NPROC_PER_NODE": "2"}
    added = task_environment(Bootstrap.SINGLE, task(), 4, {}, own)
    assert (added["MASTER_ADDR"], added["MASTER_PORT"]) == ("gpu1i", "29501")
    assert "NPROC_PER_NODE" not in added
    command = task_command(Bootstrap.TORCHRUN, ("python", "t.py"), task(), 4, own)
    assert command[-3:] == ("--master_addr=gpu1i", "--master_port=29501", "t.py")
    command = task_command(Bootstrap.TORCHRUN, ("env", "MASTER_PORT=1234", "python", "t.py"), task(), 4, own)
    assert "--master_port=1234" in command


def test_variables_of_a_run_around_the_submission_are_not_its_users() -> None:
    inherited = {"MASTER_ADDR": "gpu1", "NNODES": "2", "CLUSTERPLAN_ATTEMPT": "7.0"}
    assert own_variables(inherited) == {}
    assert own_variables({"MASTER_ADDR": "gpu1", "NODE_RANK": "0"}) == {"MASTER_ADDR": "gpu1"}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        # docs.astral.sh/uv: `uv run` starts a script with Python, and a module with -m
        ("uv run train.py a", "uv run python -m torch.distributed.run R train.py a"),
        ("uv run --with x -m pkg.t a", "uv run --with x python -m torch.distributed.run R --module pkg.t a"),
        ("uv run --python 3.12 python t.py", "uv run --python 3.12 python -m torch.distributed.run R t.py"),
        ("pdm run train.py", "pdm run python -m torch.distributed.run R train.py"),
        ("hatch -e gpu run python t.py", "hatch -e gpu run python -m torch.distributed.run R t.py"),
        ("rye run python t.py", "rye run python -m torch.distributed.run R t.py"),
        ("poetry run python t.py", "poetry run python -m torch.distributed.run R t.py"),
        ("conda run -n e python t.py", "conda run -n e python -m torch.distributed.run R t.py"),
        ("pipenv run python t.py", "pipenv run python -m torch.distributed.run R t.py"),
        ("pixi run -e gpu python t.py", "pixi run -e gpu python -m torch.distributed.run R t.py"),
        ("micromamba run -n e python t.py", "micromamba run -n e python -m torch.distributed.run R t.py"),
        (
            "nice -n 5 numactl -N 0 python t.py",
            "nice -n 5 numactl -N 0 python -m torch.distributed.run R t.py",
        ),
        ("nohup stdbuf -oL python t.py", "nohup stdbuf -oL python -m torch.distributed.run R t.py"),
        (
            "time -p taskset -c 0-7 python t.py",
            "time -p taskset -c 0-7 python -m torch.distributed.run R t.py",
        ),
        (
            "apptainer exec --nv -B /a:/b img.sif python t.py",
            "apptainer exec --nv -B /a:/b img.sif python -m torch.distributed.run R t.py",
        ),
    ],
)
def test_torchrun_stands_behind_wrappers(command: str, expected: str) -> None:
    assert choose_bootstrap(tuple(command.split()), None, 4) is Bootstrap.TORCHRUN
    assert torchrun(*command.split()) == expected


RENDEZVOUS = "--nnodes=2 --nproc_per_node=4 --node_rank=0 --master_addr=gpu1 --master_port=" + str(
    master_port("17")
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python t.py", "python -m torch.distributed.run R t.py"),
        (
            "module load cuda && exec python t.py --lr $LR",
            "module load cuda && exec python -m torch.distributed.run R t.py --lr $LR",
        ),
        ("A=1 python -u t.py 2>&1 | tee log", "A=1 python -m torch.distributed.run R t.py 2>&1 | tee log"),
        (
            'source x; uv run -m pkg.t "a b"',
            'source x; uv run python -m torch.distributed.run R --module pkg.t "a b"',
        ),
        (
            "set -e\npython t.py \\\n  --x '{1}'",
            "set -e\npython -m torch.distributed.run R t.py \\\n  --x '{1}'",
        ),
        ("python t.py # done", "python -m torch.distributed.run R t.py # done"),
    ],
)
@pytest.mark.parametrize("shell", [("bash", "-c"), ("env", "A=1", "bash", "-o", "pipefail", "-lc")])
def test_torchrun_takes_the_place_of_python_in_the_text_of_a_shell(
    text: str, expected: str, shell: tuple[str, ...]
) -> None:
    command = (*shell, text, "zero", "one")
    assert choose_bootstrap(command, None, 4) is Bootstrap.TORCHRUN
    made = command_of(Bootstrap.TORCHRUN, command)
    assert made == (*shell, expected.replace("R", RENDEZVOUS, 1), "zero", "one")


@pytest.mark.parametrize(
    "text",
    [
        "python t.py; echo done",
        "if true; then python t.py; fi",
        "python t.py &",
        "for x in 1 2; do python t.py; done",
        "f() { python t.py; }; f",
        "cat <<X\npython t.py\nX",
        "python t.py 'it",
    ],
)
def test_a_text_in_which_python_is_not_surely_last_is_left_alone(text: str) -> None:
    assert choose_bootstrap(("bash", "-c", text), None, 4) is Bootstrap.SINGLE


def test_a_launcher_in_the_text_of_a_shell_is_one() -> None:
    assert choose_bootstrap(("bash", "-c", "cd x && torchrun t.py"), None, 4) is Bootstrap.SINGLE
    assert reaches_other_nodes(("bash", "-c", "exec mpirun -H a,b t"))
    assert not reaches_other_nodes(("deepspeed", "--no_ssh", "--node_rank=0", "t.py"))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("python", "t.py"), ("python", "t.py", "--from", "a b")),
        (
            ("bash", "-c", "cd x && python t.py 2>&1 | tee l"),
            ("bash", "-c", "cd x && python t.py --from 'a b' 2>&1 | tee l"),
        ),
        (
            ("bash", "-c", 'python t.py "$@"', "bash"),
            ("bash", "-c", 'python t.py "$@"', "bash", "--from", "a b"),
        ),
        (("bash", "t.sh"), ("bash", "t.sh", "--from", "a b")),
        # bash(1): the first word behind the text is $0
        (("bash", "-c", 'python t.py "$@"'), ("bash", "-c", 'python t.py "$@"', "bash", "--from", "a b")),
        (
            ("env", "A=1", "/bin/sh", "-ec", "python t.py $*"),
            ("env", "A=1", "/bin/sh", "-ec", "python t.py $*", "sh", "--from", "a b"),
        ),
    ],
)
def test_the_arguments_of_a_restart_reach_the_program(
    command: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert with_arguments(command, ("--from", "a b")) == expected
