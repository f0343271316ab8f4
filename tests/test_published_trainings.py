"""What people published of their trainings, against what an estimate says; the sources are in the table."""

import json
import sys

import pytest
from conftest import ROOT, Command

sys.path.insert(0, str(ROOT / "benchmarks"))
from published_trainings import PRIOR, Training, read_trainings

TRAININGS = read_trainings()
EXAMPLES = {"pretrain-7b": 3.5, "finetune-7b": 10}  # hours; https://github.com/haotian-liu/LLaVA#train


def name_of(training: Training) -> str:
    return training.name


def test_every_number_has_a_source() -> None:
    assert all(url.startswith("https://") for t in TRAININGS for url in t.source)
    assert all(t.source for t in TRAININGS)


@pytest.mark.parametrize("training", [t for t in TRAININGS if t.steps], ids=name_of)
def test_steps_are_those_published(training: Training) -> None:
    steps = training.estimates()[PRIOR].steps.total
    assert steps == pytest.approx(training.steps, abs=training.steps_rounding, rel=0)


@pytest.mark.parametrize("training", [t for t in TRAININGS if t.published_hours], ids=name_of)
def test_the_published_time_is_inside_the_range_or_the_table_says_why_not(training: Training) -> None:
    for kind, estimate in training.estimates().items():
        assert training.is_inside(estimate.clock.total) or training.outside.get(kind), kind


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_hold_the_published_time(name: str, clusterplan: Command) -> None:
    done = clusterplan("estimate", ROOT / f"examples/llava-1.5/{name}.toml", "--json")
    total = json.loads(done.stdout)["wall_clock_s"]
    assert total["p10"] <= EXAMPLES[name] * 3600 <= total["p90"]


def test_the_seed_is_as_fast_as_the_training_that_its_rate_is_from(clusterplan: Command) -> None:
    # 1,000,000 samples of the 558,128 that took 3.5 h; the maintainer counts 3,906 full steps.
    done = clusterplan("estimate", ROOT / "examples/moe-llava/seed.toml", "--json")
    answer = json.loads(done.stdout)
    assert (answer["steps"]["total"], answer["steps"]["full"]) == (3907, 3906)
    assert answer["wall_clock_s"]["p10"] <= 3.5 * 3600 * 1_000_000 / 558_128 <= answer["wall_clock_s"]["p90"]
