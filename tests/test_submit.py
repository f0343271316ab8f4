"""What `submit` decides, shows and refuses before anything is queued; no Slurm runs here."""

import json
import re
import resource
import shutil
from typing import Any

import pytest
from conftest import Command
from launched import in_one_row, job_file


@pytest.mark.parametrize(
    ("stated", "saved"),
    [
        ("every_steps = 50", "--save_steps 50"),
        ("", "--save_steps 200"),
        ("every_steps = 0", None),
        ("every_steps = 0.1", "--save_steps 0.1"),
        ("every_epochs = 1", "--save_strategy epoch"),
        ("every_epochs = 0.5", "--save_steps 100"),
    ],
)
def test_a_trainer_saves_as_the_job_file_says_else_before_its_end(
    launched: Any, stated: str, saved: str | None
) -> None:
    job = launched.file(
        "hf.toml",
        "[data]\nsamples = 12800\n[training]\nbatch_size = 32\ngpus = 2\nframework = 'hf'\n"
        f"[throughput]\nstep_time = 1\n[checkpoint]\n{stated}\n[run]\ncommand = ['python', 'train.py']\n",
    )
    shown = launched("submit", "--executor", "local", "--dry-run", job).stdout
    assert saved in shown if saved else "--save" not in shown


@pytest.mark.parametrize(
    ("knows", "command", "added"),
    [
        ("enable_jit_checkpoint: bool", "'python', 'train.py'", True),
        ("", "'python', 'train.py'", False),  # as transformers 4
        pytest.param(
            "enable_jit_checkpoint: bool",
            "'python', 'train.py', '--enable_jit_checkpoint', 'False'",
            False,
            marks=pytest.mark.slow,
        ),
        ("enable_jit_checkpoint: bool", "'bash', 'train.sh'", False),
        (
            "enable_jit_checkpoint: bool",
            "'env', 'A=1', 'bash', '-c', 'ulimit -n 99; exec python train.py'",
            True,
        ),
        pytest.param(
            "enable_jit_checkpoint: bool",
            "'bash', '-c', 'exec python train.py \"$@\"'",
            True,
            marks=pytest.mark.slow,
        ),
        ("enable_jit_checkpoint: bool", "'bash', '-c', 'python t.py --enable_jit_checkpoint=False'", False),
    ],
)
def test_a_trainer_that_can_save_as_it_is_stopped_is_told_to(
    launched: Any, knows: str, command: str, added: bool
) -> None:
    library = launched.folder / "transformers"
    library.mkdir()
    (library / "__init__.py").write_text("raise SystemExit('it takes seconds to import')")
    (library / "training_args.py").write_text(knows)
    job = launched.file(
        "hf.toml",
        f"[data]\nsamples = 8\n[training]\nbatch_size = 8\ngpus = 1\nframework = 'hf'\n[run]\ncommand = [{command}]\n",
    )
    shown = launched(
        "submit", "--executor", "local", "--dry-run", job, env={"PYTHONPATH": str(launched.folder)}
    ).stdout
    assert (
        re.search(r"train\.py( \"\$@\"' bash)? --enable_jit_checkpoint'?\n", shown) is not None or not added
    )
    assert ("saving when it is stopped: --enable_jit_checkpoint added" in shown) is added


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--gpus", "1", "--", "no-such-program"], "command 'no-such-program' is not found"),
        (["--gpus", "1"], "there is no command"),
        (["--gpus", "1,2", "--", "true"], "give one value of each"),
        (["--gpus", "1", "--sweep", "lr=1,2", "--", "true"], "no placeholder {lr}"),
        (["--gpus", "1", "--sweep", "lr", "--", "true"], "is no sweep"),
        (
            ["--gpus", "1", *(f"--sweep={name}=1..9999" for name in "abc"), "--", "true"],
            "--sweep: 999,700,029,999 runs are more than 10,000",
        ),
        (["--gpus", "1", "--time", "soon", "--", "true"], "--time: 'soon'"),
        (["--gpus", "1", "--", "echo", "{latest}"], "{latest} is known only"),
        (["--gpus", "1", "--", "echo", "{gpu}"], "did you mean {gpus}?"),
        (["--executor", "local", "--nodes", "2", "--gpus", "2", "--", "true"], "this machine is one"),
        (
            ["--gpus", "1", "--sweep", "lr=1,2", "--parallel", "1", "--", "echo", "{lr}"],
            "--parallel: on this machine",
        ),
        (
            ["--gpus", "1", "--partition", "long", "--", "true"],
            "partition 'long': partitions are Slurm's, and this machine runs the job: leave it out",
        ),
        (["--gpus", "1", "--dry-run", "--json", "--", "true"], "--dry-run prints text: leave out --json"),
        (
            ["python", "train.py", "--gpus", "2"],
            "put -- before the command: clusterplan submit --executor local -- python train.py --gpus 2",
        ),
        (
            ["job.toml", "--gpus", "2", "env", "-i"],
            "submit --executor local job.toml --gpus 2 -- env -i",
        ),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_made(launched: Any, args: list[Any], said: str) -> None:
    done = (
        launched("submit", "--executor", "local", *args)
        if "--executor" not in args
        else launched("submit", *args)
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (launched.folder / "runs").exists() or not list((launched.folder / "runs").iterdir())


@pytest.mark.parametrize("before", [["--gpus", "2"], ["--gpus", "2", "--"], ["{job}", "--gpus", "2", "--"]])
def test_flags_stand_before_the_command(launched: Any, before: list[str]) -> None:
    words = [word.format(job=job_file(launched, where="")) for word in before]
    done = launched("submit", "--executor", "local", "--dry-run", *words, "env", *["-i"] * ("--" in before))
    assert done.returncode == 0, done.stderr
    assert "CLUSTERPLAN_GPUS=2" in done.stdout
    assert ("  task 0: env -i\n" in done.stdout) is ("--" in before)


def test_the_help_offers_no_table(clusterplan: Command) -> None:
    assert "several" not in clusterplan("submit", "--help").stdout
    assert in_one_row(clusterplan("estimate", "--help").stdout).count("several make a table") == 2


def test_flags_may_follow_a_job_file(launched: Any) -> None:
    shown = launched("submit", job_file(launched, where=""), "--dry-run", "--executor", "local", "--gpus", 3)
    assert "CLUSTERPLAN_GPUS=3" in shown.stdout


@pytest.mark.parametrize(
    ("flag", "placeholder"), [("--batch-size", "{batch_size}"), ("--epochs", "{max_steps}")]
)
def test_a_changed_number_that_does_not_reach_the_command_is_refused(
    launched: Any, flag: str, placeholder: str
) -> None:
    job = job_file(launched, where="").read_text().replace(placeholder, "32")
    done = launched("submit", "--executor", "local", launched.file("job.toml", job), flag, "64")
    assert (done.returncode, f"{flag}: the command has no placeholder {placeholder}" in done.stderr) == (
        2,
        True,
    )


def test_no_sbatch_and_slurm_asked_for(without_slurm: Any) -> None:
    done = without_slurm("submit", "--executor", "slurm", "--gpus", "1", "--", "env")
    assert done.returncode == 3
    assert "sbatch is not found here" in done.stderr


def test_the_script_is_shown_where_there_is_no_slurm(without_slurm: Any) -> None:
    done = without_slurm("submit", "--executor", "slurm", "--dry-run", "--gpus", "2", "--", "env")
    assert (done.returncode, done.stderr) == (0, "")
    assert "#SBATCH --gpus-per-node=2" in done.stdout


@pytest.mark.parametrize(("own", "account"), [("", "lab"), ('[slurm]\naccount = "own"', "own")])
def test_the_account_that_a_user_keeps_for_all_jobs_pays_unless_the_job_file_has_one(
    without_slurm: Any, own: str, account: str
) -> None:
    job = job_file(without_slurm, more=own, where="")
    asked = ["--executor", "slurm", "--dry-run", "--force", job]
    kept = {"SBATCH_ACCOUNT": "lab", "SBATCH_PARTITION": "cpu"}
    shown = without_slurm("submit", *asked, env=kept).stdout
    assert f"#SBATCH --account={account}\n" in shown
    assert ("--account=lab, as SBATCH_ACCOUNT says" in shown) is (account == "lab")
    assert "partition" not in shown


@pytest.mark.parametrize(("more", "alone"), [([], True), (["--nnodes", "2"], False)])
def test_torchrun_that_is_told_of_no_other_node_is_warned_of(
    without_slurm: Any, more: list[Any], alone: bool
) -> None:
    (without_slurm.folder / "bin" / "torchrun").symlink_to(shutil.which("env"))
    (without_slurm.folder / "train.py").touch()
    asked = ["--executor", "slurm", "--dry-run", "--gpus", "16", "--", "torchrun", *more, "train.py"]
    assert ("torchrun without --nnodes" in without_slurm("submit", *asked).stderr) is alone


def test_a_shared_folder_may_be_a_link(without_slurm: Any) -> None:
    (without_slurm.folder / "gpfs").mkdir()
    (without_slurm.folder / "home").symlink_to(without_slurm.folder / "gpfs")
    home = json.dumps(str(without_slurm.folder / "home"))
    shape = '[[partitions]]\nname = "gpu"\nnodes = 2\ngpus_per_node = 8\n'
    profile = without_slurm.file("site.toml", f'name = "site"\nshared_folders = [{home}]\n{shape}')
    asked = ["--executor", "slurm", "--dry-run", "--profile", profile, "--gpus", "16", "--", "env"]
    runs = {"CLUSTERPLAN_RUNS": str(without_slurm.folder / "home" / "runs")}
    assert without_slurm("submit", *asked, env=runs).stderr == ""
    assert "would not all see" in without_slurm("submit", *asked).stderr


@pytest.mark.parametrize(
    ("option", "right"),
    [("no-requeue", "use --no-requeue"), ("ntasks", "use run.bootstrap"), ("wait", "use --follow")],
)
def test_an_option_of_sbatch_that_contradicts_ours_is_refused_with_the_right_place(
    without_slurm: Any, option: str, right: str
) -> None:
    job = job_file(without_slurm, more=f"[slurm]\n{option} = true\n", where="")
    done = without_slurm("submit", "--executor", "slurm", "--dry-run", job)
    assert (done.returncode, f"{option} is set by clusterplan: {right}" in done.stderr) == (2, True)


def test_gpus_that_do_not_divide_over_their_nodes_are_refused_with_what_does(without_slurm: Any) -> None:
    done = without_slurm("submit", "--executor", "slurm", "--dry-run", "--gpus", "9", "--", "env")
    said = "Error: 9 GPUs do not divide over 2 nodes of 8: give 8, 10 or 16, or --nodes 3\n"
    assert (done.returncode, done.stderr) == (2, said)


@pytest.fixture
def silent_slurm(launched: Any) -> Any:
    """Slurm's commands are there, and no cluster."""
    if not shutil.which("scontrol"):
        pytest.skip("Slurm is not installed")
    nobody = "ClusterName=none\nSlurmctldHost=none(127.0.0.1)\nSlurmctldPort=1\nMessageTimeout=1\n"
    launched.environment["SLURM_CONF"] = str(launched.file("slurm.conf", nobody))
    return launched


def test_a_slurm_that_does_not_answer_is_no_reason_to_stop(silent_slurm: Any) -> None:
    done = silent_slurm("submit", "--gpus", "1", "--", "true")
    assert done.returncode == 3
    assert done.stderr.startswith("Error: Slurm does not answer: ")
    assert done.stderr.endswith("; --executor local runs it on this machine\n")


def test_a_script_is_shown_where_slurm_does_not_answer(silent_slurm: Any) -> None:
    shown = silent_slurm("submit", "--dry-run", "--profile", "slurm-a100", "--gpus", "2", "--", "true")
    assert (shown.returncode, shown.stderr.count("\n")) == (0, 1)
    assert shown.stderr.startswith("Slurm does not answer: ")
    assert "#SBATCH --gpus-per-node=a100:2" in shown.stdout


def test_a_full_disk_at_submission_is_one_line_and_leaves_nothing(launched: Any) -> None:
    done = launched(
        "submit", "--executor", "local", "--", "true", preexec_fn=lambda: _most_bytes_of_a_file(10)
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    assert not list((launched.folder / "runs").glob("*"))


def _most_bytes_of_a_file(most: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
