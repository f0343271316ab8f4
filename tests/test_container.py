"""A command in an image: the runtime starts it as a child of the guard, which stays outside.

The runtimes are stand-ins that take the options of the real ones (apptainer exec, enroot start) and run the words.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from clusterplan.errors import InputError
from clusterplan.launcher.command.container import choose_container

APPTAINER = """#!/bin/bash
printf '%s\\n' "$*" > "$CLUSTERPLAN_RUN_FOLDER/argv"
while [[ $1 != *.sif ]]; do [[ $1 == --pwd ]] && cd "$2"; shift; done
shift; exec "$@"
"""
# Of the host's variables it hands on those of --env alone, as enroot does.
ENROOT = """#!/bin/bash
printf '%s\\n' "$*" > "$CLUSTERPLAN_RUN_FOLDER/argv"
kept=()
while [[ $1 != *.sqsh ]]; do [[ $1 == --env ]] && kept+=("$2=${!2}"); shift; done
shift; exec env -i PATH="$PATH" "${kept[@]}" "$@"
"""
SHOW = "import json, os, sys; print(json.dumps([os.getcwd(), os.environ['CLUSTERPLAN_GPUS'], sys.argv[1:]]))"


@pytest.fixture
def runtimes(launched: Any) -> Any:
    (launched.folder / "bin").mkdir()
    for name, text in (("apptainer", APPTAINER), ("enroot", ENROOT)):
        launched.file(f"bin/{name}", text).chmod(0o755)
    launched.environment["PATH"] = f"{launched.folder}/bin:{launched.environment['PATH']}"
    return launched


def job(launched: Any, image: str, more: str = "") -> Any:
    launched.file("show.py", SHOW)
    return launched.file(
        "job.toml",
        "[data]\nsamples = 8\n[training]\nbatch_size = 8\ngpus = 1\n[run]\n"
        f"command = ['python', 'show.py', 'a b', '$HOME']\ncontainer = '{image}'\n{more}",
    )


@pytest.mark.parametrize(
    ("image", "argv"),
    [
        (
            "x.sif",
            "exec --nv --bind /data:/inside --bind {cwd} --bind {run} --bind {run}/output --pwd {cwd} {cwd}/x.sif",
        ),
        (
            "x.sqsh",
            "start --mount /data:/inside:none:x-create=auto,rbind --mount {fstab}:{fstab}:none:x-create=auto,rbind",
        ),
    ],
)
def test_the_command_runs_in_the_image_and_the_guard_outside(runtimes: Any, image: str, argv: str) -> None:
    runtimes.file(image, "")
    run = runtimes.submit(
        "--executor", "local", job(runtimes, image, "container_mounts = ['/data:/inside']\n")
    )
    assert runtimes.ended(run["run"])["state"] == "completed"
    cwd = str(runtimes.folder)
    assert json.loads(runtimes("logs", run["run"]).stdout) == [cwd, "1", ["a b", "$HOME"]]
    started = (Path(run["folder"]) / "argv").read_text()
    fstab = cwd.replace(" ", "\\040")  # fstab(5)
    assert started.startswith(argv.format(cwd=cwd, run=run["folder"], fstab=fstab))


def test_torchrun_stands_inside(runtimes: Any) -> None:
    runtimes.file("x.sif", "")
    shown = runtimes(
        "submit", "--executor", "local", "--dry-run", "--gpus", "2", job(runtimes, "x.sif")
    ).stdout
    assert "x.sif' python -m torch.distributed.run --nnodes=1 --nproc_per_node=2" in shown
    assert "clusterplan itself stays outside" in shown


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("absent.sif", "absent.sif: no such file"),
        (
            "nvcr.io#nvidia/pytorch:24.01-py3",
            "with Apptainer write docker://nvcr.io/nvidia/pytorch:24.01-py3; with",
        ),
        ("ubuntu:22.04", "`enroot import -o image.sqsh docker://ubuntu:22.04`, and give image.sqsh"),
    ],
)
def test_an_image_that_cannot_be_started_is_refused(runtimes: Any, image: str, said: str) -> None:
    done = runtimes("submit", "--executor", "local", job(runtimes, image))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr


def test_a_runtime_that_is_not_here_is_refused(without_slurm: Any) -> None:
    without_slurm.file("x.sif", "")
    done = without_slurm("submit", job(without_slurm, "x.sif"))
    assert (done.returncode, "apptainer is not found: load its module" in done.stderr) == (2, True)


def test_options_of_pyxis_for_srun_are_refused(launched: Any) -> None:
    done = launched("submit", job(launched, "x.sif", "srun = ['--container-image=x.sqsh']\n"))
    assert done.returncode == 2
    assert "use run.container" in done.stderr


def test_a_mount_is_an_absolute_folder() -> None:
    with pytest.raises(InputError, match="'data' is no absolute folder such as /data"):
        choose_container("x.sif", ["data"], "/home", [])
