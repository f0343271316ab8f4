"""Braces of a command and values of a sweep: what is a placeholder, and what arrives as it was written."""

from typing import Any

import pytest

from clusterplan.errors import WorkloadError
from clusterplan.launcher.command.placeholders import fill_placeholders
from clusterplan.launcher.submission.sweep import parse_sweep

JOB = "[data]\nsamples = 8\n[training]\nbatch_size = 8\ngpus = 1\n[run]\ncommand = {}\n"


def dry_run(launched: Any, *args: Any) -> Any:
    return launched("submit", "--executor", "local", "--dry-run", *args)


ARRIVES = {
    "echo ${SLURM_JOB_ID}": "echo ${SLURM_JOB_ID}",
    "echo ${output} ${lr:-1}": "echo ${output} ${lr:-1}",
    "awk '{print}'": "awk '{print}'",
    "awk '{print $1}'": "awk '{print $1}'",
    "{text}": "{text}",  # a template of llama.cpp, Megatron, vLLM
    "{epoch}-{step}.ckpt": "{epoch}-{step}.ckpt",  # Lightning's ModelCheckpoint(filename=)
    '{"lr": {"max": 1}}': '{"lr": {"max": 1}}',
    "{{ messages }}": "{{ messages }}",  # Jinja
    "{{gpus}}": "{gpus}",
    "{{{gpus}}}": "{{gpus}}",
    "x{gpus}y": "x1y",
}


def test_braces_after_two_dashes_arrive_unless_they_are_a_placeholder(launched: Any) -> None:
    script = launched.file("show.py", "import sys; print(*sys.argv[1:], sep='\\n')")
    run = launched.submit("--executor", "local", "--gpus", "1", "--", "python", script, *ARRIVES)
    assert launched.ended(run["run"])["state"] == "completed"
    assert launched("logs", run["run"]).stdout.splitlines() == [*ARRIVES.values()]


def test_braces_that_stay_are_named(launched: Any) -> None:
    assert "{text} is no placeholder and stays as written" in dry_run(launched, "--", "echo", "{text}").stdout


@pytest.mark.parametrize(
    ("name", "right"), [("batchsize", "batch_size"), ("ouput", "output"), ("Batch-Size", "batch_size")]
)
@pytest.mark.parametrize("in_file", [True, False])
def test_a_misspelled_placeholder_is_refused(launched: Any, name: str, right: str, *, in_file: bool) -> None:
    job = launched.file("job.toml", JOB.format(f"['echo', '{{{name}}}']"))
    done = dry_run(launched, *([job] if in_file else ["--", "echo", f"{{{name}}}"]))
    assert done.returncode == 2
    assert f"did you mean {{{right}}}? for the text {{{name}}} itself write {{{{{name}}}}}" in done.stderr


def test_an_unknown_name_in_a_job_file_is_refused_with_both_ways_out(launched: Any) -> None:
    done = dry_run(launched, launched.file("job.toml", JOB.format("""['awk', '{print}']""")))
    assert done.returncode == 2
    assert "--sweep gives values to; for the text {print} itself write {{print}}" in done.stderr
    assert "print=" not in done.stderr


def test_steps_that_are_not_known_are_no_text(launched: Any) -> None:
    done = dry_run(launched, "--", "echo", "{max_steps}")
    assert (done.returncode, "give --max-steps" in done.stderr) == (2, True)


def test_a_batch_size_that_nobody_stated_is_no_1(launched: Any) -> None:
    done = dry_run(launched, "--", "echo", "{batch_size}")
    assert (done.returncode, "give --batch-size" in done.stderr) == (2, True)
    assert "echo 8" in dry_run(launched, "--batch-size", "8", "--", "echo", "{batch_size}").stdout


def test_a_value_that_looks_like_a_placeholder_is_a_value() -> None:
    first = fill_placeholders(["{lr}"], {"lr": "{output}"}, later=["output", "latest"])
    second = fill_placeholders(first, {"output": "/runs/{latest}"}, later=["latest"])
    assert fill_placeholders(second, {"latest": "/x"}) == ("{output}",)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("x=[0.9,0.95],[0.9,0.99]", ["[0.9,0.95]", "[0.9,0.99]"]),  # hydra's lists
        ("x={a:1,b:2},{a:3}", ["{a:1,b:2}", "{a:3}"]),
        ("x=f(1,2),g((3,4),5)", ["f(1,2)", "g((3,4),5)"]),
        ("x='a,b',c", ["a,b", "c"]),
        ('x="a,b","c"', ["a,b", "c"]),
        ("""x=["a,]","b"],[]""", ["""["a,]","b"]""", "[]"]),
        ("x='a)',b", ["a)", "b"]),
        ("x=it's,that's", ["it's", "that's"]),
        ("x= 1 , 2", ["1", "2"]),
        (r"x=a\,b,c", ["a,b", "c"]),  # as hydra has it
        ("x=../data,../other", ["../data", "../other"]),
    ],
)
def test_brackets_and_quotes_hold_a_value_together(text: str, values: list[str]) -> None:
    assert [run["x"] for run in parse_sweep([text])] == values


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x=[0.9,0.95", "lacks a ]"),
        ("x=a),b", "a ) that closes nothing"),
        ("x='a,b", "lacks a '"),
        ("x=[(1,2],3", "a ] that closes nothing"),
        ("x=1,,2", "a comma without a value beside it"),
        ("x=1e-3,1e-4,", "a comma without a value beside it"),
        ("x=0.1..0.5", "list its values"),
        ("x=1..10..2", "list its values"),
        ("optimizer.lr=1,2", "--sweep optimizer_lr=1,2, and optimizer.lr={optimizer_lr} in the command"),
    ],
)
def test_what_would_make_other_runs_than_meant_is_refused(text: str, said: str) -> None:
    with pytest.raises(WorkloadError, match="--sweep") as error:
        parse_sweep([text])
    assert said in str(error.value)
