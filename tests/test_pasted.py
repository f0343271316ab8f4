"""What people paste, in each option that takes such a value: numbers with commas, rates of progress bars, days in words.

tqdm writes `3.70s/it` and `1.20it/s` (tqdm/std.py, format_meter); Hugging Face's docs say `pytorch` and "Hugging Face".
"""

import json
from datetime import datetime
from typing import Any

import pytest
from conftest import Command

from clusterplan.cluster_profiles.local_time import parse_deadline_s
from clusterplan.cluster_profiles.units import DAY_S, HOUR_S, parse_count, parse_duration_s
from clusterplan.estimator.job.workload import list_flags

NOW = datetime(2026, 11, 26, 12)  # noqa: DTZ001  a Thursday, in the zone of the machine
ONE_SHAPE = ["estimate", "--json", "--gpus", "8", "--batch-size", "32"]
TIMED = [*ONE_SHAPE, "--samples", "1,000,000"]


@pytest.mark.parametrize(
    "text",
    [
        "1000000",
        "1,000,000",
        "1_000_000",
        "1M",
        "1m",
        "1e6",
        "1 000 000",
        "1\u202f000\u202f000",
        " 1,000,000 ",
    ],
)
def test_a_million_is_taken_as_people_write_it(text: str) -> None:
    assert parse_count(text) == 10**6


@pytest.mark.parametrize("text", ["1,00,000", "1,000 000", "1.000.000", "1,000,000.5", "million"])
def test_what_could_be_another_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        parse_count(text)


def _counts() -> list[str]:
    """Return the flags of the job file that take a count."""
    extras = [(flag, field.json_schema_extra) for flag, _, field in list_flags()]
    return [flag for flag, extra in extras if isinstance(extra, dict) and extra["metavar"] == "N"]


@pytest.mark.parametrize("flag", _counts())
def test_each_option_that_takes_a_count_takes_commas(in_process: Command, flag: str) -> None:
    """Whether the value fits beside the others is another question: it is never said to be no number."""
    base = ["--samples", "1,000,000", "--batch-size", "32", "--gpus", "8"]
    if flag in base:
        base[base.index(flag) + 1] = "1,024"
        given = base
    else:
        given = [*base, flag, "1,024"]
    if flag == "--gpus":
        pytest.skip("a comma separates two shapes there")
    done = in_process("estimate", *given)
    assert "is not a whole number" not in done.stderr
    assert "1,024' is not" not in done.stderr


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3.7s/it", 3.7),
        ("3.7 s/it", 3.7),
        ("3.70s/it", 3.7),
        ("0.27it/s", 1 / 0.27),
        ("0.27 it/s", 1 / 0.27),
        ("3.7 sec", 3.7),
        ("3.7s/step", 3.7),
        ("370 ms/it", 0.37),
        ("3.7", 3.7),
    ],
)
@pytest.mark.parametrize("flag", ["--step-time", "--micro-batch-time"])
def test_a_rate_of_a_progress_bar_is_a_time(
    in_process: Command, flag: str, text: str, seconds: float
) -> None:
    done = in_process(*TIMED, flag, text)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["step_time_s"]["p50"] == pytest.approx(seconds, rel=0.02)


@pytest.mark.parametrize(
    ("flag", "texts"),
    [
        ("--samples-per-s", ["44.3", "44.3 samples/s", "44.3 samples per second", "44.3/s", "44.3 img/s"]),
        ("--samples-per-s-per-gpu", ["5,537.5", "5,537.5 samples/s"]),
        ("--tokens-per-s", ["36,653.2", "36,653.2 tokens/s", "300k tok/s"]),
    ],
)
def test_a_throughput_may_have_its_unit(in_process: Command, flag: str, texts: list[str]) -> None:
    more = ["--seq-len", "2048"] if "tokens" in flag else []
    for text in texts:
        done = in_process(*TIMED, *more, flag, text)
        assert done.returncode == 0, (text, done.stderr)


def test_a_throughput_in_another_unit_is_refused(in_process: Command) -> None:
    done = in_process(*TIMED, "--samples-per-s", "12k tokens/s")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--samples-per-s" in done.stderr


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("tomorrow 18:00", 30),
        ("tomorrow", 12),
        ("18:00", 6),
        ("9:30", 21.5),
        ("friday 18:00", 30),
        ("Fri 18:00", 30),
        ("2 days", 48),
        ("2d", 48),
        ("1 day 6 hours", 30),
        ("2026-11-27", 12),
        ("2026-11-27 18:00", 30),
        ("2026-11-27T18:00", 30),
    ],
)
def test_a_deadline_is_taken_in_words(text: str, hours: float) -> None:
    assert parse_deadline_s(text, NOW) / HOUR_S == hours


@pytest.mark.parametrize("text", ["18:00:00", "25:00", "soon", "18"])
def test_a_deadline_that_could_be_either_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is neither|must be in|has no unit"):
        parse_deadline_s(text, NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2 days", 2 * DAY_S),
        ("36h", 36 * HOUR_S),
        ("1 day 12 hours", 36 * HOUR_S),
        ("1 day, 12 hrs", 36 * HOUR_S),
        ("90 mins", 1.5 * HOUR_S),
        ("90 minutes", 1.5 * HOUR_S),
        ("1-12:00:00", 36 * HOUR_S),
        ("2 weeks", 14 * DAY_S),
    ],
)
def test_a_duration_is_taken_in_words(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    "command",
    [
        ("submit", "--dry-run", "--force", "--executor", "local", "--time", "2 days", "--", "true"),
        ("calibrate", "--budget", "1 hour"),
        ("history", "list", "--since", "2 days"),
        ("history", "prune", "--keep", "14 days"),
        ("sample", "--for", "1 sec", "--period", "1 second", "--", "true"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_each_option_that_takes_a_duration_takes_words(in_process: Command, command: tuple[Any, ...]) -> None:
    done = in_process(*command)
    assert "is not a duration" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "pytorch",
        "PyTorch",
        "torch",
        "huggingface",
        "Hugging Face",
        "HF",
        "transformers",
        "pytorch-lightning",
        "TRL",
    ],
)
def test_a_framework_is_known_by_the_names_that_people_use(in_process: Command, name: str) -> None:
    assert in_process(*TIMED, "--framework", name).returncode == 0
