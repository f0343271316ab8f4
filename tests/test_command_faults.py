"""Commands that would hold GPUs for nothing: an srun inside, a launcher on one node of several, one process for many."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from clusterplan.estimator.job.framework import Bootstrap
from clusterplan.launcher.command.checks import why_it_cannot_start, why_it_needs_a_shell
from clusterplan.launcher.command.launchers import choose_bootstrap
from clusterplan.launcher.command.processes.faults import (
    CommandFault,
    files_to_read,
    find_command_faults,
)
from clusterplan.launcher.command.processes.nodes import Surroundings
from clusterplan.launcher.recipes.shell.written_out import write_out


def faults(
    command: str | tuple[str, ...],
    nodes: int = 2,
    gpus: int = 8,
    texts: dict[str, str] | None = None,
    stated: Bootstrap | None = None,
    **variables: str,
) -> list[CommandFault]:
    words = tuple(command.split()) if isinstance(command, str) else command
    bootstrap = choose_bootstrap(words, None, gpus, stated)
    around = Surroundings(nodes, gpus, variables)
    return find_command_faults(
        words, bootstrap, around, texts or {}, is_stated=stated is not None, write_out=write_out
    )


def alone(*args: Any, **more: Any) -> str | None:
    """What is said of the launcher before what follows from it; None if nothing is."""
    texts = [fault.text for fault in faults(*args, **more) if fault.code == "node-alone"]
    return (
        re.split(r" trains on one of 2 nodes| leaves each of 2 nodes alone", texts[0])[0] if texts else None
    )


@pytest.mark.parametrize(
    "command",
    [
        ("srun", "python", "train.py"),  # open-mpi/ompi#8378, QCG-PilotJob#49
        ("/opt/slurm/bin/srun", "-n", "4", "python", "t.py"),
        ("env", "A=1", "srun", "python", "t.py"),
        ("bash", "-c", "module load x; srun python t.py"),
        ("bash", "-c", "if true; then srun python t.py; fi"),
        ("bash", "t.sh"),
        ("bash", "-c", "cd x && bash t.sh 1"),
    ],
)
@pytest.mark.parametrize("nodes", [1, 2])
def test_srun_inside_is_refused(command: tuple[str, ...], nodes: int) -> None:
    texts = {"t.sh": "#!/bin/bash\nset -e\nsrun python t.py\n"}
    (fault,) = faults(command, nodes=nodes, texts=texts)
    assert (fault.code, fault.refuses) == ("srun", True)
    assert "leave it out: clusterplan starts the command over all nodes" in fault.text


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        ("sbatch job.sh", ["srun"]),
        ("salloc -N 2 python t.py", ["srun"]),
        ("srun --overlap hostname", []),
        ("echo srun", []),
    ],
)
def test_other_commands_of_slurm(command: str, codes: list[str]) -> None:
    assert [fault.code for fault in faults(command, nodes=1, gpus=1)] == codes


def test_a_script_may_queue_another_job_at_its_end() -> None:
    assert not faults(("bash", "-c", "python t.py && sbatch next.sh"), nodes=1, gpus=1)


@pytest.mark.parametrize(
    ("command", "lacks"),
    [
        ("torchrun train.py", "torchrun without --nnodes"),
        (
            "torchrun --nnodes=2 train.py",
            "torchrun without --node_rank or --rdzv_endpoint",
        ),  # accelerate#2096
        ("torchrun --nnodes=1 train.py", "torchrun --nnodes=1"),
        ("torchrun --standalone --nproc-per-node 4 t.py", "torchrun --standalone"),
        ("torchrun train.py --nnodes 2 --node_rank 1", "torchrun without --nnodes"),  # the script's
        (
            "torchrun --nnodes 2 --node-rank 0 --master-addr a t.py",
            "torchrun --node_rank=0, which is the same",
        ),
        ("torchrun --nnodes 2 --node_rank $R t.py", "torchrun without --master_addr"),
        ("torchrun --nnodes 2 --rdzv_endpoint a:1 t.py", "torchrun without --rdzv_backend=c10d"),
        ("torchrun --nnodes 2 --rdzv-backend c10d t.py", "torchrun without --rdzv_endpoint"),
        (
            "torchrun --nnodes 2 --rdzv-backend c10d --rdzv-endpoint localhost:1 t.py",
            "torchrun meets at localhost:1, which is another place on each node, and",
        ),
        ("torchrun --nnodes 1:2 --rdzv-backend c10d --rdzv-endpoint a:1 t.py", None),  # pytorch#137402
        ("torchrun --nnodes $N --node_rank $R --master_addr $A t.py", None),
        ("python -u -m torch.distributed.run t.py", "torchrun without --nnodes"),
        (
            "python -m torch.distributed.launch --nnodes 2 t.py",
            "torch.distributed.launch without --node_rank",
        ),
        ("uv run torchrun t.py", "torchrun without --nnodes"),
        ("tune run full_finetune", "tune without --nnodes"),
        ("deepspeed train.py", "deepspeed without --hostfile, --no_ssh or --launcher slurm"),  # gpt-neox#811
        ("deepspeed train.py --hostfile x", "deepspeed without --hostfile"),
        ("deepspeed --hostfile=h train.py", None),
        ("deepspeed --launcher SLURM train.py", None),
        ("deepspeed --no_ssh --node_rank=0 --master_addr=a train.py", "deepspeed --node_rank=0"),
        ("deepspeed --no_ssh --node_rank=$R --master_addr=$A train.py", None),
        ("accelerate launch train.py", "accelerate without --num_machines"),
        ("accelerate launch --num-machines 2 t.py", "accelerate without --machine_rank"),
        ("accelerate launch --num_machines 2 --machine_rank 0 t.py", "accelerate --machine_rank 0"),
        ("accelerate launch --config_file=absent.yaml train.py", None),
        ("accelerate-launch train.py", "accelerate without --num_machines"),
        ("python -m accelerate.commands.accelerate_cli launch t.py", "accelerate without --num_machines"),
        ("python -u /opt/conda/bin/torchrun t.py", "torchrun without --nnodes"),
        ("sudo -E deepspeed train.py", "deepspeed without --hostfile"),
        ("nsys profile -o out -t cuda,nvtx torchrun t.py", "torchrun without --nnodes"),
        ("fabric run --num-nodes 2 t.py", "fabric without --node_rank"),
        ("torchrun $DISTRIBUTED_ARGS t.py", None),  # they may hold any option
        ("mpirun -np 8 --mca btl tcp,self python t.py", "mpirun without --hostfile or --host"),
        ("mpirun -np 8 -H a,b python t.py", None),
        ("horovodrun -np 8 python t.py", "horovodrun without"),
        ("colossalai run --nproc_per_node 4 t.py", "colossalai without"),
        ("colossalai run --host a,b t.py", None),
        ("composer t.py", "composer without --world_size"),
        ("fabric run --accelerator=cuda t.py", "fabric without --num_nodes"),
        ("axolotl train x.yaml", "axolotl without --num_machines or --nnodes"),
        ("llamafactory-cli train x.yaml", None),
        ("swift sft --model x", None),
        ("python train.py", None),
    ],
)
def test_a_launcher_that_would_train_on_one_node_is_named(command: str, lacks: str | None) -> None:
    said = alone(command)
    assert said == lacks or (lacks and said.startswith(lacks))
    assert alone(command, nodes=1, gpus=4) is None
    in_shell = alone(("bash", "-c", f"cd x && {command}"))
    assert (in_shell is None) == (lacks is None)
    assert (alone(("bash", "t.sh"), texts={"t.sh": command}) is None) == (lacks is None)


@pytest.mark.parametrize(
    ("config", "lacks"),
    [
        ("num_machines: 1\nmachine_rank: 0\n", "accelerate with num_machines 1"),
        (
            "num_machines: 2\nmachine_rank: 0\nmain_process_ip: a\n",
            "accelerate without --machine_rank, and its config",
        ),
        ("num_machines: 2\nmachine_rank: 0\nrdzv_backend: c10d\nmain_process_ip: a\n", None),
        ("num_machines: 2\nrdzv_backend: c10d\n", "accelerate without --main_process_ip"),
        ("mixed_precision: bf16\n", "accelerate without --num_machines"),
        ("a: [", None),
    ],
)
def test_the_config_of_accelerate_is_read(config: str, lacks: str | None) -> None:
    """Its keys as `accelerate config` writes them (commands/config/config_args.py)."""
    said = alone("accelerate launch --config_file c.yaml train.py", texts={"c.yaml": config})
    assert said == lacks or (lacks and said.startswith(lacks))


def test_the_rank_of_the_line_wins_over_the_config() -> None:
    command = "accelerate launch --config_file c.yaml --machine_rank $NODE_RANK train.py"
    texts = {"c.yaml": "num_machines: 2\nmachine_rank: 0\nmain_process_ip: a\n"}
    assert alone(command, texts=texts) is None


def test_what_to_add_is_said() -> None:
    (fault,) = faults("torchrun --nproc_per_node=4 train.py")
    assert (
        "leave out torchrun and its options, and clusterplan starts the Python command on all of"
        in fault.text
    )
    assert "add --nnodes=$NNODES --node_rank=$NODE_RANK --master_addr=$MASTER_ADDR" in fault.text


def test_variables_stand_for_flags() -> None:
    assert alone("torchrun t.py", PET_NNODES="2", PET_NODE_RANK="$R", PET_MASTER_ADDR="a") is None
    assert alone("swift sft --model x", NNODES="1") == "swift with NNODES=1"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("torchrun train.py", "give --nproc_per_node=4"),
        ("torchrun --nproc_per_node=2 train.py", "with --nproc_per_node 2 leaves GPUs idle: the job has 4"),
        ("torchrun --nproc_per_node=gpu train.py", None),
        ("accelerate launch --num_processes 1 t.py", "with --num_processes 1 leaves GPUs idle"),
        ("deepspeed --num_gpus=2 t.py", "with --num_gpus 2 leaves GPUs idle"),
        ("deepspeed t.py", None),
        ("my-train --x", None),  # it may be anything
        ("bash t.sh", "t.sh: one process per node starts"),
        ("./t.sh", "./t.sh: one process per node starts"),
        ("hatch run train", "train: one process per node starts"),
        ("llamafactory-cli train x.yaml", None),
        ("python t.py", None),
        ("uv run t.py", None),
    ],
)
def test_one_process_for_several_gpus_is_named(command: str, said: str | None) -> None:
    texts = [fault.text for fault in faults(command, nodes=1, gpus=4, texts={"t.sh": "python t.py"})]
    assert (said in texts[0]) if said else not texts


def test_a_python_program_is_known_by_its_first_line(launched: Any) -> None:
    program = launched.file("my-train", "#!/usr/bin/python3\n")
    program.chmod(0o755)
    done = launched("submit", "--executor", "local", "--dry-run", "--gpus", "4", "--", "./my-train")
    assert "my-train: one process per node starts, and the job has 4 GPUs" in done.stderr


def test_nothing_is_said_of_a_bootstrap_that_is_stated_or_of_one_gpu() -> None:
    assert not faults("bash absent.sh", nodes=1, gpus=4, stated=Bootstrap.SINGLE)
    assert not faults("bash absent.sh", nodes=1, gpus=1)
    assert not faults(("bash", "-c", "./simulate"), nodes=1, gpus=4)
    assert not faults("bash t.sh", nodes=1, gpus=4, texts={"t.sh": "torchrun --nproc_per_node=4 t.py"})


def test_a_text_of_which_python_is_not_the_last_command_says_what_to_do() -> None:
    (fault,) = faults(("bash", "-ec", "python t.py; echo done"), nodes=1, gpus=4)
    assert "only in the last command of `bash -c`: put it last, or call torchrun" in fault.text


def test_requirements_inside_a_script_are_named() -> None:
    """docs.astral.sh/uv/guides/scripts: `uv run` installs them for the script that it starts itself."""
    texts = {"t.py": "# /// script\n# dependencies = ['torch']\n# ///\n"}
    assert [fault.code for fault in faults("uv run t.py", nodes=1, gpus=4, texts=texts)] == ["torchrun"]
    assert not faults("uv run t.py", nodes=1, gpus=1, texts=texts)
    assert not faults("uv run t.py", nodes=1, gpus=4, texts={"t.py": "import torch\n"})


def test_files_that_tell_are_read() -> None:
    assert files_to_read(("bash", "-c", "cd x; bash -e t.sh; ./u.sh")) == ("t.sh", "./u.sh")
    assert files_to_read(("bash", "{script}.sh")) == ()
    (default,) = files_to_read(("accelerate", "launch", "t.py"))
    assert default == "~/.cache/huggingface/accelerate/default_config.yaml"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["torchrun", "--rdzv_endpoint", "$MASTER_ADDR:29500", "t.py"],
            "for the shell's $MASTER_ADDR",
        ),  # pith-train#91
        (["python", "t.py", "--node_rank", "$SLURM_NODEID"], "for the shell's $SLURM_NODEID"),
        (["python", "t.py", "shards/*.tar"], "for the shell's * give bash -c 'python t.py shards/*.tar'"),
        (["python", "t.py", "~/data"], """for the shell's ~ give bash -c 'python t.py "$HOME/data"'"""),
        (["python", "t.py", "--layers", ".*attn", "${lr}", "~key", "2*3"], None),
        (["bash", "-c", "echo $HOME *"], None),
        (["awk", "{print $1}"], None),
        (["python", "t.py", "--run", "`date +%s`"], "for the shell's `date +%s` give"),
        (["python", "t.py", ">log", "2>/dev/null"], "'>log' needs a shell"),
        (["python", "t.py", "|&", "tee", "log"], "give bash -c 'python t.py |& tee log'"),
        (["python", "t.py", "&"], "leave it out: the run goes on without you"),
        (["python", "t.py", "<pad>", "->", "a>b", "`"], None),
    ],
)
def test_words_that_only_a_shell_would_replace_are_named(words: list[str], said: str | None) -> None:
    fault = why_it_needs_a_shell(words)
    assert (said in fault) if said else fault is None


@pytest.mark.parametrize(
    ("script", "said"),
    [
        # NVIDIA/Megatron-LM, examples/gpt3
        ("A=(\n --nnodes $N --node_rank $R\n --master_addr $M\n)\ntorchrun ${A[@]} t.py", None),
        ("A=(--nproc_per_node 4 --nnodes 1)\ntorchrun ${A[@]} t.py", "torchrun --nnodes=1"),
        # huggingface/accelerate, examples/slurm
        ('export LAUNCHER="accelerate launch --num_processes 8"\n$LAUNCHER t.py', "accelerate without"),
        ("NNODES=${NNODES:-1}\ntorchrun --nnodes=$NNODES --node_rank=$NODE_RANK --master_addr=$M t.py", None),
        ("$(which accelerate) launch t.py", "accelerate without --num_machines"),
        ("python `which deepspeed` t.py", "deepspeed without --hostfile"),
    ],
)
def test_what_a_script_says_in_its_own_variables_counts(script: str, said: str | None) -> None:
    found = alone(("bash", "t.sh"), texts={"t.sh": script})
    assert (said in (found or "")) if said else found is None
    assert (alone(("bash", "-c", script)) is None) == (said is None)


def test_srun_in_a_variable_is_found() -> None:
    for text in ('CMD="srun python t.py"; $CMD', "eval 'srun python t.py'", "f() { srun $1; }; f a"):
        assert faults(("bash", "-c", text), nodes=1, gpus=1)[0].code == "srun"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "torchrun --nproc_per_node=8 t.py",
            "starts more processes than there are GPUs: the job has 4 per node",
        ),
        ("accelerate launch --num_processes 1 t.py", "leaves GPUs idle: the job has 4 of all nodes"),
        ("deepspeed --include localhost:0,1 t.py", "with --include localhost:0,1: 2 leaves GPUs idle"),
        ("env CUDA_VISIBLE_DEVICES=0,1 torchrun --nproc_per_node=4 t.py", "hides GPUs that the job holds"),
        ("env CUDA_VISIBLE_DEVICES=0,1 python t.py", "hides GPUs that the job holds"),
        ("docker run --gpus all image python t.py", "docker: one process per node"),
        ("script -c 'python t.py' log", "script: one process per node"),
        ("make train", "make: one process per node"),
        ("wandb agent me/project/1", "wandb: one process per node"),
        ("./simulate --input t.xyz", None),
        ("nsys profile -o out python t.py", None),
        ("hatch run cuda:python t.py", None),
        ("apptainer run --nv torch.sif python t.py", None),
    ],
)
def test_a_wrong_number_of_processes_is_named(command: str, said: str | None) -> None:
    texts = [fault.text for fault in faults(tuple(shlex.split(command)), nodes=1, gpus=4)]
    assert (said in " ".join(texts)) if said else not texts


def test_a_script_that_starts_its_own_processes_is_named() -> None:
    """pytorch/examples, distributed/ddp-tutorial-series/multigpu.py."""
    texts = {"t.py": "import torch.multiprocessing as mp\nmp.spawn(main, args=(n,), nprocs=n)"}
    (fault,) = faults("python t.py", nodes=1, gpus=4, texts=texts)
    assert "t.py starts processes itself (mp.spawn)" in fault.text
    assert not faults("python t.py", nodes=1, gpus=1, texts=texts)
    assert not faults(
        "python t.py", nodes=1, gpus=4, texts={"t.py": "rank = os.environ['LOCAL_RANK']\nmp.spawn(f)"}
    )


def test_lines_that_end_as_on_windows_are_named() -> None:
    (fault,) = faults(("bash", "t.sh"), nodes=1, gpus=1, texts={"t.sh": "python t.py\r\n"})
    assert "its lines end as on Windows" in fault.text
    assert not faults(
        ("python", "t.py"), nodes=1, gpus=1, texts={"t.py": "print(1)\r\n"}
    )  # Python reads them


def test_a_shell_that_does_not_wait_is_named() -> None:
    (fault, *_) = faults(("bash", "-c", "nohup python t.py > log &"), nodes=1, gpus=1)
    assert "does not wait for python, which is killed as the shell ends: leave out the &" in fault.text
    assert not faults(("bash", "-c", "python a.py & python b.py & wait"), nodes=1, gpus=1)


def test_variables_before_a_program_need_env() -> None:
    fault = why_it_cannot_start(["CUDA_LAUNCH_BLOCKING=1", "python", "t.py"], Path(), {})
    assert fault
    assert fault.endswith("put env before it: -- env CUDA_LAUNCH_BLOCKING=1 python t.py")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("python t.py 2>&1 | tee log", "the code of tee, so a failed python would count as completed"),
        ("torchrun --nproc_per_node=4 t.py; echo done", "the code of echo, so a failed torchrun"),
        ("python t.py\ncp x y\necho done", "the code of echo"),
        ("set -o pipefail; python t.py | tee log", None),
        ("set -eu\npython t.py\necho done", None),
        ("python t.py && echo done", None),
        ("python t.py; code=$?; echo done; exit $code", None),
        ("if true; then\n python t.py\nfi", None),
        ("module load x; python t.py", None),
        ("./simulate | tee log", None),
    ],
)
def test_a_shell_that_would_hide_a_failure_is_named(text: str, said: str | None) -> None:
    texts = [
        fault.text for fault in faults(("bash", "-c", text), nodes=1, gpus=4) if fault.code == "exit-code"
    ]
    assert (said in texts[0]) if said else not texts
    script = [
        fault.code
        for fault in faults(("bash", "t.sh"), texts={"t.sh": text}, nodes=1, gpus=4, stated=Bootstrap.SINGLE)
    ]
    assert script == (["exit-code"] if said else [])


def test_options_of_the_shell_count() -> None:
    assert not faults(("bash", "-eo", "pipefail", "-c", "python t.py | tee log"), nodes=1, gpus=1)
    assert not faults(("bash", "-e", "t.sh"), nodes=1, gpus=1, texts={"t.sh": "python t.py\necho done"})


def test_an_address_that_is_another_place_on_each_node_is_named() -> None:
    assert [fault.code for fault in faults("python t.py", MASTER_ADDR="localhost")] == ["node-alone"]
    assert not faults("python t.py", MASTER_ADDR="gpu1i")
    assert not faults("python t.py", nodes=1, gpus=4, MASTER_ADDR="localhost")


def test_it_is_all_said_before_the_job_is_queued(launched: Any) -> None:
    launched.file("t.sh", "srun python t.py\n")
    done = launched("submit", "--executor", "local", "--", "bash", "t.sh")
    assert done.returncode == 2
    assert "srun in the command: leave it out" in done.stderr
    launched.file("c.yaml", "num_machines: 2\nmachine_rank: 0\n")
    command = ("accelerate", "launch", "--config_file", "c.yaml", "t.py")
    shown = launched(
        "submit", "--executor", "slurm", "--dry-run", "--nodes", "2", "--gpus", "4", "--", *command
    )
    assert "accelerate without --machine_rank, and its config file says 0 on each node" in shown.stderr


def test_own_port_is_kept_and_said(launched: Any) -> None:
    launched.file("t.py", "")
    shown = launched(
        *("submit", "--executor", "local", "--dry-run", "--gpus", "2", "--", "python", "t.py"),
        env={"MASTER_PORT": "29501"},
    ).stdout
    assert "--master_port=29501 t.py" in shown
    assert "MASTER_PORT=29501 of your environment is kept" in shown
