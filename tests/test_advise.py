"""`clusterplan advise`: what it reads, what it says first, and what a stop saves."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from loss_curves import linear, train

import clusterplan
from clusterplan.estimator.stopping.curve import Curve

SEED = ("--samples", "30M", "--batch-size", 32, "--gpus", 8, "--samples-per-s", 44.3)


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    """PKU-YuanGroup/MoE-LLaVA#28: the loss as the user saw it."""
    return write_table(tmp_path / "seed.csv", ("step", "loss"), [(3000, 1.4), (7000, 1.1)])


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_state(path: Path, curve: Curve, **values: object) -> Path:
    """Write a curve as Hugging Face Trainer does."""
    history: list[Mapping[str, object]] = [
        {"step": point.step, "loss": point.value, "learning_rate": rate.value}
        for point, rate in zip(curve.losses, curve.learning_rates, strict=True)
    ]
    history += [
        {"step": point.step, "eval_loss": point.value, "eval_runtime": 9.0} for point in curve.validations
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"max_steps": curve.total_steps, "log_history": history, **values}), encoding="utf-8"
    )
    return path


def answer_of(run: Command, *args: object) -> Any:
    done = run("advise", *args, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_seed_is_an_unconfirmed_plateau_and_a_stop_saves_177_hours(in_process: Command, seed: Path) -> None:
    answer = answer_of(in_process, seed, "--band", "1.0,1.2", *SEED)
    left = answer["left"]
    assert (answer["state"], answer["may_stop"], answer["in_band"]) == ("plateau_unconfirmed", False, True)
    assert (answer["total_steps"], left["steps"]) == (117_188, 110_188)
    assert left["time_s"] / 3600 == pytest.approx(177, abs=1)
    assert left["gpu_hours"] == pytest.approx(8 * 177, abs=8)
    assert left["cost"] is None


def test_first_line_says_the_state_and_what_to_do(in_process: Command, seed: Path) -> None:
    first = in_process("advise", seed, "--band", "1.0,1.2", *SEED).stdout.splitlines()[0]
    assert first == (
        "plateau, unconfirmed: do not stop yet; nothing validates: log a validation loss, and wait for 3 without an improvement"
    )


PROFILE = """
name = "mine"
[rates]
currency = "EUR"
date = 2026-01-01
per_gpu_hour = 2
[[partitions]]
name = "gpu"
nodes = 4
gpus_per_node = 8
gpu = "a100-sxm4-80gb"
"""


def test_cost_is_at_the_rates_of_the_user_with_their_date(
    in_process: Command, seed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The profile is named by a flag, or in the settings."""
    (tmp_path / "mine.toml").write_text(PROFILE, encoding="utf-8")
    command = (seed, "--band", "1.0,1.2", *SEED)
    assert answer_of(in_process, *command)["left"]["cost"] is None
    by_flag = answer_of(in_process, *command, "--profile", tmp_path / "mine.toml")["left"]
    (tmp_path / "config/clusterplan").mkdir(parents=True)
    (tmp_path / "config/clusterplan/config.toml").write_text(
        f'profile = "{tmp_path}/mine.toml"', encoding="utf-8"
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    by_settings = answer_of(in_process, *command)["left"]
    for left in (by_flag, by_settings):
        assert left["cost"] == pytest.approx(2 * left["gpu_hours"])
        assert (left["currency"], left["rates_of"]) == ("EUR", "2026-01-01")


def test_trainer_with_other_steps_is_told(in_process: Command, tmp_path: Path) -> None:
    """The seed's user had counted 500,000 steps: GPUs that are not in one process group."""
    table = write_table(
        tmp_path / "a.csv",
        ("step", "loss", "max_steps"),
        [(s, 2.0, 500_000) for s in range(100, 20_000, 100)],
    )
    answer = answer_of(in_process, table, *SEED)
    assert answer["total_steps"] == 500_000
    assert any("500,000" in warning for warning in answer["warnings"])


def test_trainer_state_tells_length_speed_and_the_best_checkpoint(
    in_process: Command, tmp_path: Path
) -> None:
    curve = train(linear)
    evaluations = tuple(p._replace(value=2.0 + abs(p.step - 3000) / 5000) for p in curve.validations)
    falling = tuple(p._replace(value=2.0 * math.exp(-p.step / 2000)) for p in curve.losses)
    curve = Curve(falling, evaluations, curve.learning_rates, curve.total_steps)
    state = write_state(tmp_path / "out/checkpoint-8000/trainer_state.json", curve.until(8000))
    history = json.loads(state.read_text())
    history["log_history"].append({"step": 8000, "train_steps_per_second": 0.5})
    state.write_text(json.dumps(history))
    answer = answer_of(in_process, tmp_path / "out", "--gpus", 2)
    assert answer["state"] == "overfitting"
    assert answer["validation"]["best"] == {"step": 3000, "value": pytest.approx(2.0)}
    assert answer["since_best"]["gpu_hours"] == pytest.approx(5000 * 2 * 2 / 3600)


def test_metric_of_the_user_counts(in_process: Command, tmp_path: Path) -> None:
    state = write_state(tmp_path / "trainer_state.json", train(linear).until(9000))
    values = json.loads(state.read_text())
    for entry in values["log_history"]:
        if "eval_loss" in entry:
            entry |= {"eval_wer": 30 - entry["step"] / 1000, "eval_magic": entry["step"]}
    state.write_text(json.dumps(values))
    validation = answer_of(in_process, state, "--metric", "eval_wer")["validation"]
    assert (validation["metric"], validation["best"]["step"]) == ("eval_wer", 9000)
    assert answer_of(in_process, state, "--metric", "eval_magic:more")["state"] == "improving"
    vague = in_process("advise", state, "--metric", "eval_magic")
    assert (vague.returncode, "eval_magic:more or eval_magic:less" in vague.stderr) == (2, True)


@pytest.mark.parametrize(
    "header",
    [
        ("step", "train_loss", "val_loss", "lr-AdamW"),
        ("trainer/global_step", "run 7 - train/loss", "run 7 - eval/loss", "run 7 - train/learning_rate"),
        ("Iteration", "lm loss", "validation_loss", "learning rate"),
        ("epoch", "loss", "val_loss", "lr"),
    ],
)
def test_columns_are_found_by_their_names(in_process: Command, tmp_path: Path, header: Sequence[str]) -> None:
    curve = train(linear)
    rates = {p.step: p.value for p in curve.learning_rates}
    evaluations = {p.step: p.value for p in curve.validations}
    rows = [(p.step, p.value, evaluations.get(p.step, ""), rates[p.step]) for p in curve.losses]
    answer = answer_of(in_process, write_table(tmp_path / "a.csv", header, rows), "--max-steps", 10_000)
    assert answer["validation"]["count"] == 40
    assert answer["learning_rate"] == 0.0
    assert answer["total_steps"] == 10_000


def test_rows_of_validation_are_told_by_a_column(in_process: Command, tmp_path: Path) -> None:
    rows = [(step, kind, 2.0) for step in range(100, 5000, 100) for kind in ("train", "val")]
    table = write_table(tmp_path / "a.csv", ("step", "kind", "loss"), rows)
    answer = answer_of(in_process, table)
    assert answer["validation"]["count"] == 49
    assert answer["metric"] == "loss"


def test_log_of_a_framework_is_read(in_process: Command, tmp_path: Path) -> None:
    """nanoGPT (karpathy/nanoGPT, train.py): a line per iteration, and validations between them."""
    lines = []
    for step in range(0, 4000, 10):
        if step % 500 == 0:
            lines.append(f"step {step}: train loss 3.1, val loss {3.3 - step / 10_000:.4f}")
        lines.append(f"iter {step}: loss {4 - step / 4000:.4f}, time 145.20ms, mfu 35.10%")
    (tmp_path / "train.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    answer = answer_of(in_process, tmp_path / "train.log", "--max-steps", 5000)
    assert (answer["state"], answer["validation"]["count"]) == ("improving", 8)
    assert answer["left"]["time_s"] == pytest.approx(answer["left"]["steps"] * 0.1452, rel=0.01)


def test_divergence_is_exit_code_1(in_process: Command, tmp_path: Path) -> None:
    table = write_table(
        tmp_path / "a.csv",
        ("step", "loss"),
        [*((s, 2.0) for s in range(50)), *((s, "nan") for s in range(50, 60))],
    )
    done = in_process("advise", table)
    assert (done.returncode, done.stdout.split(":")[0]) == (1, "diverged")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "", "the file is empty"),
        ("a.csv", "a,b\n1,2\n", "--columns step=NAME"),
        ("a.csv", "step,b\n1,2\n", "--columns loss=NAME"),
        ("a.csv", "\0\1\2,\3", "it is not text"),
        ("a.csv", "step,loss\nx,2\n", "holds no whole number"),
        ("a.csv", "run,step,loss\na,1,2\na,2,2\nb,1,2\nb,2,2\n", "holds 2 trainings by its column run"),
        ("trainer_state.json", '{"log_history": [{"step"', "is torn"),
        ("a.log", "hello\nworld\n", "no line of a framework"),
    ],
)
def test_source_that_tells_nothing_is_one_clear_line(
    in_process: Command, tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    done = in_process("advise", tmp_path / name)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert words in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--band", "1.2,1.0"), "lower end first"),
        (("--band", "low"), "lower end first"),
        (("--min-gain", "much"), "write 1%, or 0.01"),
        (("--columns", "loss"), "QUANTITY=NAME"),
        (("--columns", "loss=nll"), "no column 'nll'"),
        (("--metric", "eval_f1"), "no such metric"),
    ],
)
def test_wrong_option_is_one_clear_line(
    in_process: Command, seed: Path, options: tuple[str, ...], words: str
) -> None:
    done = in_process("advise", seed, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_columns_can_be_stated(in_process: Command, tmp_path: Path) -> None:
    table = write_table(tmp_path / "a.csv", ("a", "b"), [(step, 2.0) for step in range(100, 5000, 100)])
    answer = answer_of(in_process, table, "--columns", "step=a,loss=b")
    assert (answer["step"], answer["metric"], answer["value"]) == (4900, "b", 2.0)


def test_python_gives_the_same_answer(in_process: Command, seed: Path) -> None:
    answer = clusterplan.advise(
        seed, band=(1.0, 1.2), samples="30M", batch_size=32, gpus=8, samples_per_s=44.3
    )
    assert answer.as_dict() == answer_of(in_process, seed, "--band", "1.0,1.2", *SEED)
    assert not answer.may_stop


def test_run_is_judged_by_what_its_loop_and_its_log_tell(in_process: Command, tmp_path: Path) -> None:
    """The loop counts the steps with `track`; the losses and validations stand in what the framework prints."""
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    facts = {"format": 1, "run": "a", "kind": "submit", "steps": 10_000, "shape": {"gpus": 4}}
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    curve, rates = train(linear), {p.step: p.value for p in train(linear).learning_rates}
    lines: list[dict[str, object]] = [{"kind": "start", "time_s": 1, "step": 0, "total": 10_000}]
    for point in curve.losses[:150]:
        log = {
            "kind": "steps",
            "source": "log:hf",
            "time_s": 1,
            "step": point.step,
            "steps": 50,
            "seconds": 99,
        }
        lines.append(log | {"longest_s": 2, "loss": point.value, "learning_rate": rates[point.step]})
        loop = {"kind": "steps", "time_s": 1, "step": point.step, "steps": 50, "seconds": 100}
        lines.append(loop | {"longest_s": 2, "loss": None, "learning_rate": None})
    lines += [
        {"kind": "evaluation", "source": "log:hf", "time_s": 1, "step": p.step, "loss": p.value}
        for p in curve.validations
        if p.step <= 7_500
    ]
    (folder / "progress.jsonl").write_text(
        "".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8"
    )
    answer = answer_of(in_process, folder)
    assert (answer["state"], answer["step"], answer["validation"]["count"]) == ("improving", 7_500, 30)
    assert answer["left"]["gpu_hours"] == pytest.approx(2_500 * 2 * 4 / 3600)


def test_run_of_sample_is_found_by_its_id(
    in_process: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(tmp_path / "history.db"))
    folder = tmp_path / "mine-20261128T000000-abcd"
    folder.mkdir()
    (tmp_path / "history.runs").mkdir()
    (tmp_path / "history.runs" / folder.name).symlink_to(folder)
    (folder / "run.json").write_text(json.dumps({"format": 1, "run": folder.name, "kind": "sample"}))
    line = {"kind": "steps", "time_s": 1, "step": 10, "steps": 10, "seconds": 9, "longest_s": 1, "loss": 2.0}
    (folder / "progress.jsonl").write_text(json.dumps(line) + "\n")
    assert answer_of(in_process, "mine")["step"] == 10


def test_run_that_nobody_knows_is_one_clear_line(in_process: Command) -> None:
    done = in_process("advise", "no-such-run")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "no-such-run: no such file, and no run begins with it" in done.stderr


def test_source_of_another_type_is_one_clear_line() -> None:
    with pytest.raises(clusterplan.ClusterplanError, match="5 is neither a run nor a log"):
        clusterplan.advise(5)  # type: ignore[arg-type]


def test_length_that_the_log_contradicts_is_refused_or_left_out(in_process: Command, tmp_path: Path) -> None:
    """The user's is refused; that of the log itself is left out, as of a run that was submitted for fewer steps."""
    rows = [(step, 3.0 - step / 100) for step in range(50)]
    table = write_table(tmp_path / "a.csv", ("step", "loss"), rows)
    done = in_process("advise", table, "--max-steps", 10)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "the length contradicts the log: it is at step 49, beyond the 10 steps" in done.stderr
    assert answer_of(in_process, table, "--gpus", 2)["total_steps"] is None
    own = write_table(tmp_path / "b.csv", ("step", "loss", "max_steps"), [(*row, 10) for row in rows])
    answer = answer_of(in_process, own)
    assert (answer["total_steps"], len(answer["warnings"])) == (None, 1)
    assert "beyond the 10 steps that it gives as its length" in answer["warnings"][0]
    answer = answer_of(in_process, own, "--max-steps", 100)
    assert answer["total_steps"] == 100


def test_value_that_is_not_finite_is_told(in_process: Command, tmp_path: Path) -> None:
    rows = [(step, 3.0 - step / 100, "inf" if step == 20 else 4.0 - step / 100) for step in range(50)]
    answer = answer_of(in_process, write_table(tmp_path / "a.csv", ("step", "loss", "eval_loss"), rows))
    assert answer["state"] == "improving"
    assert answer["warnings"] == [
        "eval_loss: 1 of 50 values left out, because not finite; the latest is inf at step 20"
    ]


@pytest.mark.parametrize(("loss", "shown"), [(1e300, "1e+300"), (0.0, "0"), (1e-300, "1e-300")])
def test_extreme_loss_is_a_short_number(in_process: Command, tmp_path: Path, loss: float, shown: str) -> None:
    table = write_table(tmp_path / "a.csv", ("step", "loss"), [(step, loss) for step in range(50)])
    text = in_process("advise", table).stdout
    assert ["loss", shown] == next(line.split()[:2] for line in text.splitlines() if line.startswith("loss"))
    assert "-0" not in text.replace("1e-300", "")
    assert "+0" not in text


@pytest.mark.parametrize(("rate", "words"), [(1.0, "start its decay"), (0.3, "let its decay end")])
def test_plateau_at_a_high_rate_says_what_its_schedule_needs(
    in_process: Command, tmp_path: Path, rate: float, words: str
) -> None:
    rows = [(step, 2.0, 1.0 - (1.0 - rate) * step / 7000) for step in range(100, 7001, 100)]
    table = write_table(tmp_path / "a.csv", ("step", "loss", "lr"), rows)
    first = in_process("advise", table, "--max-steps", 10_000).stdout
    assert first.startswith("plateau at a high learning rate: do not stop yet; ")
    assert words in first


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", "step,loss\n"), ("trainer_state.json", '{"log_history": []}')]
)
def test_training_that_has_logged_nothing_yet_is_unknown(
    in_process: Command, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    answer = answer_of(in_process, tmp_path / name)
    assert (answer["state"], answer["step"], answer["value"]) == ("unknown", 0, None)
